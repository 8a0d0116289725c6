"""Every URL of the web service."""

from kit import ids
from kit.routing import Route
from web.pages import (
    appearance,
    chat_events,
    chat_list,
    chat_settings,
    chats,
    devices,
    exports,
    health,
    messages,
    metrics,
    presets,
    pwa,
    search,
    streams,
)

ids.register()

routes = [
    Route("/", chats.home),
    Route("/healthz", health.healthz),
    Route("/readyz", health.readyz),
    Route("/metrics", metrics.show),
    Route("/manifest.webmanifest", pwa.manifest),
    Route("/sw.js", pwa.service_worker),
    Route("/offline", pwa.offline),
    Route("/appearance", appearance.show),
    Route("/appearance", appearance.change, methods=["POST"]),
    Route("/search", search.show),
    # The list of chats
    Route("/chats", chat_list.index),
    Route("/chats/archived", chat_list.archive),
    Route("/chats/selected", chat_list.change, methods=["POST"]),
    # Chats
    Route("/chats", chats.create, methods=["POST"]),
    Route("/chats/{chat_id:id}", chats.show),
    Route("/chats/{chat_id:id}.json", exports.show_json),
    Route("/chats/{chat_id:id}.md", exports.show_markdown),
    Route("/chats/{chat_id:id}.txt", exports.show_text),
    Route("/chats/{chat_id:id}/list", chat_list.sidebar),
    Route("/chats/{chat_id:id}/events", chat_events.show),
    Route("/chats/{chat_id:id}/title", chats.rename, methods=["POST"]),
    Route("/chats/{chat_id:id}/pin", chats.pin, methods=["POST"]),
    Route("/chats/{chat_id:id}/unpin", chats.unpin, methods=["POST"]),
    Route("/chats/{chat_id:id}/archive", chats.archive, methods=["POST"]),
    Route("/chats/{chat_id:id}/unarchive", chats.unarchive, methods=["POST"]),
    Route("/chats/{chat_id:id}/delete", chats.delete, methods=["POST"]),
    Route("/chats/{chat_id:id}/restore", chats.restore, methods=["POST"]),
    Route("/chats/{chat_id:id}/leave", chats.leave, methods=["POST"]),
    Route("/chats/{chat_id:id}/return", chats.come_back, methods=["POST"]),
    Route("/chats/{chat_id:id}/keep", chats.keep, methods=["POST"]),
    Route("/chats/{chat_id:id}/settings", chat_settings.show),
    Route("/chats/{chat_id:id}/settings", chat_settings.change, methods=["POST"]),
    Route("/chats/{chat_id:id}/presets/{preset_id:id}/delete", presets.delete, methods=["POST"]),
    # Devices, and the link that adds one to a session
    Route("/devices", devices.index),
    Route("/devices/link", devices.create_link, methods=["POST"]),
    Route("/devices/sign-out", devices.sign_out_all, methods=["POST"]),
    Route("/devices/{device_id:id}/sign-out", devices.sign_out, methods=["POST"]),
    Route("/join", devices.show_link),
    Route("/join", devices.join, methods=["POST"]),
    # Messages, and the answer to the last of them
    Route("/chats/{chat_id:id}/messages", messages.create, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/stream", streams.show),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/stop", messages.stop, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/regenerate", messages.regenerate, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/continue", messages.continue_answer, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/show", messages.show_version, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/edit", messages.edit_answer, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/delete", messages.delete, methods=["POST"]),
]
