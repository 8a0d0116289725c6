"""The models that people can choose, and the model servers that they are on.

With one server, ids of models are its names for them. With several, an id begins with the name of its server:
`home/qwen3-8b`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kit.logs import event
from kit.settings import SettingsError
from web.clients.backends import Backend, read
from web.clients.llama import Health, Llama
from web.contract import Pool
from web.settings import Settings

RESTART_SECONDS = 1.0

logger = logging.getLogger("web.models")


class Target(NamedTuple):
    """Where an answer is written."""

    llama: Llama
    name: str  # of the model, as its server knows it; empty for the server's default
    pool: str  # the slots that it takes one of


class Choice(NamedTuple):
    """A model that users can choose."""

    id: str
    title: str  # empty if the operator has set none


class Models:
    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError if MODELS_FILE is invalid."""
        self._settings = settings
        self._backends, self._default_model = read(settings)
        self._llamas = {backend.name: _llama(backend) for backend in self._backends}
        self._removed: list[Llama] = []  # answers may still be written there
        self._changed = asyncio.Event()

    # Finding a model

    def find(self, model: str | None) -> Target | None:
        """Where answers of this model are written. None names the default. Returns None if there is no such model.

        A name without a server is a model of the default server: chats may be older than MODELS_FILE.
        """
        model = model or self._default_model
        if self._is_only:
            return Target(self._llamas[""], model, "")
        backend, name = self._split(model)
        llama = self._llamas[backend.name]
        known = backend.models or (llama.models if name == model else ())  # a server may have more than it lists
        if name and known and name not in known:
            return None
        return Target(llama, name or next(iter(backend.models), ""), backend.name)

    def of(self, model: str | None) -> Llama:
        """The server of this model, or else of the default model."""
        return (self.find(model) or self.default).llama

    @property
    def default(self) -> Target:
        if target := self.find(""):
            return target
        backend = self._default_backend
        return Target(self._llamas[backend.name], next(iter(backend.models), ""), backend.name)

    @property
    def default_id(self) -> str:
        """The id of the model of chats that name none; empty if its server names none."""
        llama, name, pool = self.default
        name = name or next(iter(llama.models), "")
        return f"{pool}/{name}" if pool and name else name

    @property
    def choices(self) -> list[Choice]:
        """What users can choose."""
        return [choice for backend in self._backends for choice in self._choices(backend)]

    @property
    def all(self) -> Sequence[tuple[Backend, Llama]]:
        return [(backend, self._llamas[backend.name]) for backend in self._backends]

    @property
    def state(self) -> Health:
        """Of the default model's server."""
        return self.default.llama.state

    def pools(self) -> list[Pool]:
        default = self.default.pool
        return [
            Pool(name=backend.name, slots=llama.slots, prefixes=_prefixes(backend.name, backend.name == default))
            for backend, llama in self.all
        ]

    @property
    def _is_only(self) -> bool:
        return not self._backends[0].name

    def _split(self, model: str) -> tuple[Backend, str]:
        """The server in an id, or the default one, and the rest of the id."""
        prefix, _, name = model.partition("/")
        backend = self._named(prefix)
        return (backend, name) if backend and name else (self._default_backend, model)

    def _named(self, name: str) -> Backend | None:
        return next((backend for backend in self._backends if backend.name == name), None)

    @property
    def _default_backend(self) -> Backend:
        return self._named(self._default_model.partition("/")[0]) or self._backends[0]

    def _choices(self, backend: Backend) -> list[Choice]:
        prefix = f"{backend.name}/" if backend.name else ""
        names = backend.models or self._llamas[backend.name].models
        titles = dict(backend.titles)
        return [Choice(prefix + name, titles.get(name, "")) for name in names if name not in backend.hidden]

    # Keeping up to date

    def reload(self) -> None:
        """Reads MODELS_FILE again. Answers that are being written continue where they are.

        If the file is invalid, everything stays as it is.
        """
        try:
            backends, default_model = read(self._settings)
        except SettingsError as error:
            logger.error("MODELS_FILE is invalid, and was not loaded: %s", error)
            return
        kept = dict(zip(self._backends, self._llamas.values(), strict=True))
        llamas = {backend.name: kept.pop(backend) if backend in kept else _llama(backend) for backend in backends}
        self._removed += kept.values()
        self._backends, self._default_model, self._llamas = backends, default_model, llamas
        event(logger, "MODELS_FILE was loaded", backends=[backend.name for backend in backends])
        self._changed.set()

    async def run(self, on_change: Callable[[], None]) -> None:
        """Keeps the state of all servers up to date."""
        tasks: dict[Llama, asyncio.Task[None]] = {}
        try:
            while True:
                self._changed.clear()
                for llama in tasks.keys() - set(self._llamas.values()):
                    tasks.pop(llama).cancel()
                for llama in self._llamas.values():
                    if llama not in tasks or tasks[llama].done():
                        tasks[llama] = asyncio.create_task(_checked(llama, on_change))
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait([changed, *tasks.values()], return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                on_change()
        finally:
            for task in tasks.values():
                task.cancel()

    async def close(self) -> None:
        for llama in [*self._llamas.values(), *self._removed]:
            await llama.close()


async def _checked(llama: Llama, on_change: Callable[[], None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        try:
            await llama.run(on_change)
        except Exception:
            logger.exception("checking a model server failed")
            await asyncio.sleep(RESTART_SECONDS)


def _llama(backend: Backend) -> Llama:
    return Llama(backend.url, backend.key, backend.slots, backend.left_out)


def _prefixes(name: str, is_default: bool) -> list[str]:
    return list(dict.fromkeys(["", name])) if is_default else [name]
