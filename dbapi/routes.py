"""Every URL."""

from dbapi import chat_list, chats, devices, events, generations, messages, presets, readiness, search, sessions, turns
from kit import ids
from kit.routing import Route

ids.register()

routes = [
    Route("/healthz", readiness.healthz),
    Route("/readyz", readiness.readyz),
    # The generation log first: it gets by far the most requests
    Route("/generations/claim", generations.claim, methods=["POST"]),
    Route("/generations/append", generations.append, methods=["POST"]),
    Route("/generations/finish", generations.finish, methods=["POST"]),
    Route("/generations/rename", generations.rename, methods=["POST"]),
    Route("/generations/release", generations.release, methods=["POST"]),
    Route("/generations/read", generations.read, methods=["POST"]),
    Route("/events", events.index),
    # Sessions and their devices
    Route("/sessions", sessions.create, methods=["POST"]),
    Route("/sessions/find", sessions.find, methods=["POST"]),
    Route("/devices", devices.index),
    Route("/devices", devices.create, methods=["POST"]),
    Route("/devices", devices.delete_all, methods=["DELETE"]),
    Route("/devices/{device_id:id}", devices.delete, methods=["DELETE"]),
    Route("/links", devices.create_link, methods=["POST"]),
    # Presets: named settings that any chat of the session can take over
    Route("/presets", presets.index),
    Route("/presets", presets.save, methods=["PUT"]),
    Route("/presets/{preset_id:id}", presets.show),
    Route("/presets/{preset_id:id}", presets.delete, methods=["DELETE"]),
    # Titles and messages of the session
    Route("/search", search.index),
    # Chats
    Route("/chats", chats.create, methods=["POST"]),
    Route("/chats", chat_list.index),
    Route("/chats", chat_list.change_many, methods=["PATCH"]),
    Route("/chats/{chat_id:id}", chats.show),
    Route("/chats/{chat_id:id}", chats.change, methods=["PATCH"]),
    Route("/chats/{chat_id:id}", chats.delete, methods=["DELETE"]),
    Route("/chats/{chat_id:id}/state", chats.state),
    Route("/chats/{chat_id:id}/defaults", chats.set_defaults, methods=["PUT"]),
    Route("/chats/{chat_id:id}/restore", chats.restore, methods=["POST"]),
    Route("/chats/{chat_id:id}/title", chats.request_title, methods=["POST"]),
    Route("/chats/{chat_id:id}/title", chats.store_title, methods=["PUT"]),
    Route("/chats/{chat_id:id}/leave", chats.leave, methods=["POST"]),
    Route("/chats/{chat_id:id}/return", chats.come_back, methods=["POST"]),
    Route("/chats/{chat_id:id}/keep", chats.keep, methods=["POST"]),
    Route("/chats/{chat_id:id}/tip", chats.show_branch, methods=["PUT"]),
    Route("/chats/username/{username:path}", chats.show_latest),
    # Messages
    Route("/chats/{chat_id:id}/message", messages.create, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}", messages.show),
    Route("/chats/{chat_id:id}/messages/{message_id:id}", messages.delete, methods=["DELETE"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/versions", messages.edit, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/prompt", messages.prompt),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/stop", messages.stop, methods=["POST"]),
    # Turns: a user's message with its answer
    Route("/chats/{chat_id:id}/turns", turns.create, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/answers", turns.regenerate, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/continue", turns.continue_answer, methods=["POST"]),
]
