"""The data for the template of a message."""

from web.contract import FINAL, Message
from web.rendering import blocks
from web.rendering.templates import content_html, id_prefix


class MessageView(Message):
    is_live: bool  # the answer is unfinished
    snapshot: blocks.Step | None  # the text so far of a live answer, for a page that loads now
    html: str | None  # the content of a finished answer


def message_view(message: Message) -> MessageView:
    is_live, snapshot, html = message["status"] not in FINAL, None, None
    if is_live:
        snapshot = blocks.snapshot(message["content"], id_prefix(message["id"]))
    elif message["role"] == "assistant":
        html = content_html(message)
    return {**message, "is_live": is_live, "snapshot": snapshot, "html": html}


def new_answer_view(message: Message) -> MessageView:
    """A new answer for htmx. It has no text yet, and no frame for browsers without JavaScript: htmx would load it."""
    return {**message, "is_live": True, "snapshot": None, "html": None}
