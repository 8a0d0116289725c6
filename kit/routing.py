"""Routes that match the whole path. Starlette's end with `$`, which also matches before a final line feed."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from starlette import routing
from starlette.types import ASGIApp


class Route(routing.Route):
    def __init__(self, path: str, endpoint: Callable[..., Any], *, methods: Sequence[str] | None = None) -> None:
        super().__init__(path, endpoint, methods=methods)
        self.path_regex = _whole(self.path_regex)


class Mount(routing.Mount):
    def __init__(self, path: str, app: ASGIApp) -> None:
        super().__init__(path, app)
        self.path_regex = _whole(self.path_regex)


def _whole(path: re.Pattern[str]) -> re.Pattern[str]:
    assert path.pattern.endswith("$")
    return re.compile(path.pattern[:-1] + r"\Z", re.DOTALL)  # with DOTALL, a parameter keeps its line feeds
