"""Where the API of a model server begins: at `/v1` below its address, or at the address itself.

`https://host` and `https://host/v1` mean the same. `https://host/openai/v1beta` has no `/v1` below it. The list of
models shows which one it is; without a list, the first request for an answer does.
"""

import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import orjson

_VERSION = re.compile(r"/v\d+\w*$")


class Found(NamedTuple):
    status: int
    models: list[dict[str, object]]


class Endpoints:
    def __init__(self, path: str) -> None:
        """`path` of the address that the operator set."""
        path = re.sub(r"/(chat/completions|completions|models)$", "", path.rstrip("/")).rstrip("/")
        if path.endswith("/v1"):
            self._candidates = [path]
        elif _VERSION.search(path):
            self._candidates = [path, path + "/v1"]
        else:
            self._candidates = [path + "/v1", path]
        self._index = 0
        self._is_known = False  # by its list of models

    @property
    def root(self) -> str:
        """Where llama.cpp has what is not part of OpenAI's API."""
        return self._candidates[self._index].removesuffix("/v1")

    @property
    def completions(self) -> str:
        return self._candidates[self._index] + "/chat/completions"

    @property
    def tried(self) -> list[str]:
        """The paths that were requested."""
        candidates = self._candidates if not self._is_known else [self._candidates[self._index]]
        return [path + "/chat/completions" for path in candidates]

    def take_next(self) -> bool:
        """The current path does not exist. Returns False if no other is left."""
        if self._is_known or self._index + 1 >= len(self._candidates):
            return False
        self._index += 1
        return True

    async def find(self, list_models: Callable[[str], Awaitable[tuple[int, bytes]]]) -> Found:
        """Takes the path that has a list of models. Else the first response tells the state of the server."""
        first: Found | None = None
        for index in [self._index] if self._is_known else range(len(self._candidates)):
            status, body = await list_models(self._candidates[index])
            models = _models(body) if 200 <= status < 300 else None
            if models is not None:
                self._index, self._is_known = index, True
                return Found(status, models)
            if first is None or (first.status in (200, 404, 405) and status not in (200, 404, 405)):
                first = Found(status, [])
                if status not in (200, 404, 405):  # it is there, but refuses
                    self._index = index
        assert first is not None
        return first


def _models(body: bytes) -> list[dict[str, object]] | None:
    """The models of `{"data": [...]}` or a list. None if the body is something else."""
    try:
        value = orjson.loads(body)
    except ValueError:
        return None
    listed = value
    if isinstance(value, dict):
        listed = [] if "data" in value and value["data"] is None else value.get("data")
    return [model for model in listed if isinstance(model, dict)] if isinstance(listed, list) else None
