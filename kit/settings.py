"""Settings from the environment: one frozen dataclass per service, one field per variable.

The field `dbapi_url` is read from DBAPI_URL, or from the file that DBAPI_URL_FILE names.
"""

import dataclasses
import os
import sys
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

SECRET_LENGTH = 32  # characters at least; 32 random bytes are 43 of them in base64

PLACEHOLDERS = ("changeme", "change-me", "change_me", "example", "placeholder", "default", "password", "insecure", "your-", "your_")

Settings = TypeVar("Settings")


class SettingsError(Exception):
    """A sentence for the operator that names the variable."""


def secret() -> Any:
    """A field without a default, of one or more comma-separated keys: the newest first, the older ones still accepted."""
    return dataclasses.field(metadata={"secret": True}, repr=False)


def read(cls: type[Settings], environ: Mapping[str, str] = os.environ) -> Settings:
    """An instance of `cls`, a dataclass. Raises SettingsError for what is missing, malformed or weak."""
    values: dict[str, Any] = {}
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        name = field.name.upper()
        text = _text(name, environ)
        if text is None:
            if field.default is dataclasses.MISSING:
                raise SettingsError(f"{name} is not set (nor {name}_FILE)")
            continue
        values[field.name] = _convert(name, text, hints[field.name])
        if field.metadata.get("secret"):
            _check_keys(name, values[field.name])
    return cls(**values)


def read_or_exit(cls: type[Settings], service: str) -> Settings:
    try:
        return read(cls)
    except SettingsError as error:
        sys.exit(f"{service}: {error}")


def _text(name: str, environ: Mapping[str, str]) -> str | None:
    if path := environ.get(f"{name}_FILE"):
        try:
            with open(path, encoding="utf-8") as file:
                return file.read().strip()
        except OSError as error:
            raise SettingsError(f"{name}_FILE: cannot read {path}: {error.strerror}") from error
    return environ.get(name) or None


def _convert(name: str, text: str, kind: Any) -> Any:
    try:
        if kind == tuple[str, ...]:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if kind is bool:
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
        return kind(text)
    except (ValueError, KeyError) as error:
        raise SettingsError(f"{name} is {text!r}, which is no {kind.__name__}") from error


def _check_keys(name: str, keys: tuple[str, ...]) -> None:
    if not keys or any(len(key) < SECRET_LENGTH or len(set(key)) < 8 for key in keys):
        raise SettingsError(f"{name}: every key needs at least {SECRET_LENGTH} random characters, e.g. from `openssl rand -base64 32`")
    if any(word in key.lower() for key in keys for word in PLACEHOLDERS):
        raise SettingsError(f"{name} still has the words of an example in it: make a random one, e.g. with `openssl rand -base64 32`")
    if len(set(keys)) < len(keys):
        raise SettingsError(f"{name} names the same key twice")
