"""Templates, and what all of them may use."""

import hashlib
import uuid
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from web.rendering.event_templates import Moulds
from web.rendering.markdown import render

HERE = Path(__file__).parent.parent
VERSION_CHARACTERS = 10
KEPT_ANSWERS, KEPT_CHARACTERS = 256, 16_000  # as HTML, so that a chat opens without rendering all of it anew


class Pages:
    def __init__(self) -> None:
        self.moulds = Moulds()
        self._versions: dict[str, str] = {}
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(static=self.static, new_id=lambda: str(uuid.uuid4()))
        self._globals = dict(self._environment.globals)

    def static(self, name: str) -> str:
        """The address of a static file, which changes with its content and so may be cached for ever."""
        if name not in self._versions:
            self._versions[name] = hashlib.sha256((HERE / "static" / name).read_bytes()).hexdigest()[:VERSION_CHARACTERS]
        return f"/static/{name}?v={self._versions[name]}"

    def html(self, template: str, **values: Any) -> str:
        """What `Template.render` does, in half the time: it merges the globals in anew for every call."""
        found = self._environment.get_template(template)
        return "".join(found.root_render_func(found.new_context(self._globals | values, shared=True)))

    def answer(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        return HTMLResponse(self.html(template, **values), status)


def prefix(message_id: str) -> str:
    """What the ids inside a message's content begin with, so that no two on a page are the same."""
    return f"message-{message_id}-"


def rendered(message: dict[str, Any]) -> str:
    """A finished message's content, as HTML that is safe: the renderer ends with a sanitiser."""
    make = _kept if len(message["content"]) <= KEPT_CHARACTERS else render
    return make(message["content"], prefix(message["id"]))


_kept = lru_cache(KEPT_ANSWERS)(render)


def is_htmx(request: Request) -> bool:
    return request.headers.get("hx-request") == "true"
