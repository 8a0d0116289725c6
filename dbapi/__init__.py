"""What the data talks to: chats, messages and the generation log, as JSON over HTTP."""
