"""The model servers of MODELS_FILE. Without the file, LLAMA_URL is the only one."""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from kit.settings import SettingsError
from web.settings import Settings

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,49}")
MAX_SLOTS = 100_000
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
BACKEND_KEYS = {"name", "url", "key", "slots", "models", "drop"}
MODEL_KEYS = {"id", "title", "hidden"}


@dataclass(frozen=True)
class Backend:
    """A model server. Ids of its models begin with its name, unless it is the only server and has none."""

    name: str
    url: str
    key: str = field(repr=False)
    slots: int  # if it does not report them
    models: tuple[str, ...] = ()  # those that users may choose; empty: all that it lists
    left_out: frozenset[str] = frozenset()  # parameters that it refuses
    titles: tuple[tuple[str, str], ...] = ()  # of models, for people
    hidden: frozenset[str] = frozenset()  # models that users may not choose


class Backends(NamedTuple):
    servers: list[Backend]  # at least one
    default_model: str  # its id; empty: the first model of the first server


def read(settings: Settings) -> Backends:
    """Raises SettingsError."""
    if settings.models_file:
        return _read_file(settings.models_file, settings.llama_slots)
    only = Backend("", settings.llama_url, settings.llama_api_key, settings.llama_slots)
    return Backends([only], settings.model)


def _read_file(path: str, slots: int) -> Backends:
    """`slots` is for backends without this key."""
    try:
        tables = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise SettingsError(f"MODELS_FILE: cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    _check_keys(path, "the file", tables, {"backend", "model", "default"})
    models = [_model(path, each) for each in _tables(path, tables, "model")]
    backends = [_backend(path, each, slots, models) for each in _tables(path, tables, "backend")]
    names = [backend.name for backend in backends]
    if not names:
        raise SettingsError(f"{path}: it has no [[backend]]")
    if len(set(names)) < len(names):
        raise SettingsError(f"{path}: two backends have the same name")
    default = _text(path, "the file", tables, "default", "")
    for model in [*(model["id"] for model in models), *([default] if default else [])]:
        name, _, rest = model.partition("/")
        if name not in names or not rest:
            raise SettingsError(f"{path}: the model {model!r} does not begin with a backend's name and a slash")
    return Backends(backends, default)


def _tables(path: str, tables: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    found = tables.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise SettingsError(f"{path}: write [[{name}]], with two brackets")
    return found


def _model(path: str, table: Mapping[str, Any]) -> Mapping[str, Any]:
    where = f"the model {table.get('id')!r}"
    _check_keys(path, where, table, MODEL_KEYS)
    return {
        "id": _text(path, where, table, "id"),
        "title": _text(path, where, table, "title", ""),
        "hidden": table.get("hidden") is True,
    }


def _backend(path: str, table: Mapping[str, Any], slots: int, models: Sequence[Mapping[str, Any]]) -> Backend:
    name = _text(path, f"the backend {table.get('name')!r}", table, "name")
    where = f"the backend {name!r}"
    _check_keys(path, where, table, BACKEND_KEYS)
    if not NAME.fullmatch(name):
        raise SettingsError(f"{path}: {where}: a name has lower-case letters, digits and . _ -")
    url = _expanded(path, where, table, "url")
    if _scheme(path, where, url) not in ("http", "https"):
        raise SettingsError(f"{path}: {where}: url must begin with http:// or https://")
    slots = table.get("slots", slots)
    if isinstance(slots, bool) or not isinstance(slots, int) or not 1 <= slots <= MAX_SLOTS:
        raise SettingsError(f"{path}: {where}: slots must be a whole number from 1 to {MAX_SLOTS}")
    own = [(model["id"].removeprefix(f"{name}/"), model) for model in models if model["id"].startswith(f"{name}/")]
    return Backend(
        name=name,
        url=url,
        key=_expanded(path, where, table, "key", ""),
        slots=slots,
        models=_texts(path, where, table, "models"),
        left_out=frozenset(_texts(path, where, table, "drop")),
        titles=tuple((model, values["title"]) for model, values in own if values["title"]),
        hidden=frozenset(model for model, values in own if values["hidden"]),
    )


def _scheme(path: str, where: str, url: str) -> str:
    try:
        return httpx.URL(url).scheme
    except httpx.InvalidURL as error:
        raise SettingsError(f"{path}: {where}: url is invalid: {error}") from error


def _check_keys(path: str, where: str, table: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(table.keys() - known):
        raise SettingsError(f"{path}: {where} has an unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")


def _text(path: str, where: str, table: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or (not value and default is None):
        raise SettingsError(f"{path}: {where} needs a text for {key!r}")
    return value


def _texts(path: str, where: str, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = table.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise SettingsError(f"{path}: {where}: {key} must be a list of texts")
    return tuple(values)


def _expanded(path: str, where: str, table: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """With the values of ${VARIABLES}."""
    text = _text(path, where, table, key, default)
    return VARIABLE.sub(lambda found: _variable(path, where, found[1]), text)


def _variable(path: str, where: str, name: str) -> str:
    """The value of a variable of the environment, or the content of the file that NAME_FILE names."""
    try:
        value = os.environ.get(name) or Path(os.environ.get(f"{name}_FILE", "")).read_text().strip()
    except OSError:
        value = ""
    if not value:
        raise SettingsError(f"{path}: {where} needs the variable {name}, or {name}_FILE")
    return value
