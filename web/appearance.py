"""The theme and the text size of a browser, and whether it shows the list of chats next to a chat.

Cookies keep them, so that a page has them before it is first painted.
"""

from contextvars import ContextVar
from typing import NamedTuple

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

THEMES = {"": "Like this device", "light": "Light", "dark": "Dark"}
TEXT_SIZES = {"small": "Small", "": "Normal", "large": "Large", "larger": "Larger"}
SIDEBARS = {"": "Shown", "hidden": "Hidden"}
MAX_AGE_SECONDS = 365 * 86_400

_scope: ContextVar[Scope | None] = ContextVar("scope", default=None)


class Appearance(NamedTuple):
    theme: str = ""  # one of THEMES; empty means that of the device
    text_size: str = ""  # one of TEXT_SIZES
    sidebar: str = ""  # one of SIDEBARS; for wide screens


class RememberAppearance:
    """Makes `current` work in all templates."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _scope.set(scope)
        await self.app(scope, receive, send)


def current() -> Appearance:
    """The appearance in this request's cookies. Reading them waits until a page needs it."""
    scope = _scope.get()
    return chosen(HTTPConnection(scope).cookies) if scope and scope["type"] == "http" else Appearance()


def chosen(values: dict[str, str], before: Appearance | None = None) -> Appearance:
    """Missing values are those `before`, and unknown ones mean the default."""
    choices = {"theme": THEMES, "text_size": TEXT_SIZES, "sidebar": SIDEBARS}
    wanted = (before or Appearance())._asdict() | values
    return Appearance(**{name: wanted[name] if wanted[name] in known else "" for name, known in choices.items()})


def save(response: Response, appearance: Appearance, *, secure: bool) -> None:
    for name, value in appearance._asdict().items():
        response.set_cookie(
            name, value, MAX_AGE_SECONDS if value else 0, path="/", secure=secure, httponly=True, samesite="lax"
        )
