"""The Jinja templates and the functions that pages share to fill them."""

import uuid
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request, StateT
from starlette.responses import HTMLResponse

from web.appearance import current
from web.contract import Chat, Message
from web.rendering import assets
from web.rendering.byte_cache import ByteCache
from web.rendering.event_templates import EventTemplates
from web.rendering.markdown import render
from web.rendering.versions import version

WEB = Path(__file__).parent.parent
MAX_CACHED_BYTES = 32 * 1024 * 1024  # of texts and their HTML, so that a chat opens without rendering it all


class _Environment(Environment):
    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """All templates share the environment's globals. Jinja's ChainMap makes an include half as expensive again."""
        assert not d
        return self.globals


class Templates:
    def __init__(self) -> None:
        self.event_templates = EventTemplates()
        self._versions: dict[str, str] = {}
        self._environment = _Environment(
            loader=FileSystemLoader(WEB / "templates"),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["model_name"] = model_name
        self._environment.filters["title_of"] = title_of
        self._environment.globals.update(appearance=current, static=self.static, new_id=lambda: str(uuid.uuid4()))

    def static(self, name: str) -> str:
        """The URL of a static file. It contains a hash of the content, so browsers may cache it for ever."""
        if name not in self._versions:
            self._versions[name] = version(assets.content(name))
        return f"/static/{name}?v={self._versions[name]}"

    def html(self, template: str, **values: Any) -> str:
        return self._environment.get_template(template).render(values)

    def response(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        return HTMLResponse(self.html(template, **values), status)


def model_name(model: str) -> str:
    """A model's id without its folders and file extension."""
    return model.rpartition("/")[2].removesuffix(".gguf") or model


def title_of(chat: Chat) -> str:
    """What the page shows as the title of a chat."""
    return chat["title"] or ("Temporary chat" if chat["is_temporary"] else "New chat")


def id_prefix(message_id: str) -> str:
    """The prefix of all element ids inside a message's content. It keeps them unique on the page."""
    return f"message-{message_id}-"


def content_html(message: Message) -> str:
    """The content of a finished message as safe HTML: the renderer ends with a sanitizer."""
    text, prefix = message["content"], id_prefix(message["id"])
    return _answers.get((text, prefix), lambda: render(text, prefix))


_answers: ByteCache[str] = ByteCache(MAX_CACHED_BYTES)


def is_htmx(request: Request[StateT]) -> bool:
    return request.headers.get("hx-request") == "true"
