"""The database service: chats, messages and the generation log, as JSON over HTTP."""
