"""Reads settings from the environment: one frozen dataclass per service, one field per variable.

The field `dbapi_url` is read from DBAPI_URL, or from the file that DBAPI_URL_FILE names.
"""

import dataclasses
import math
import os
import sys
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

MIN_SECRET_LENGTH = 32  # characters; 32 random bytes have 43 characters in base64

PLACEHOLDERS = (
    "changeme",
    "change-me",
    "change_me",
    "example",
    "placeholder",
    "default",
    "password",
    "insecure",
    "your-",
    "your_",
)
TYPE_NAMES = {int: "a whole number", float: "a number", bool: "yes or no"}
LAST_PORT = 65535
ENVIRONMENTS = ("production", "development")

Settings = TypeVar("Settings")


class SettingsError(Exception):
    """A setting is missing or invalid. The message is for the operator and names the variable."""


def secret() -> Any:
    """Declare a required field of comma-separated keys. The first key is current, older keys are still accepted."""
    return dataclasses.field(metadata={"secret": True}, repr=False)


def positive(default: float) -> Any:
    """Declare a number that must be greater than 0. Other numbers must not be negative."""
    return dataclasses.field(default=default, metadata={"positive": True})


def choice(*values: str) -> Any:
    """Declare a field that has one of these values, by default the first."""
    return dataclasses.field(default=values[0], metadata={"values": values})


def read(cls: type[Settings], environ: Mapping[str, str] = os.environ) -> Settings:
    """Return an instance of the dataclass `cls`. Raises SettingsError for a missing, malformed or weak value."""
    values: dict[str, Any] = {}
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        name = field.name.upper()
        text = _text(name, environ)
        if text is None:
            if field.default is dataclasses.MISSING:
                raise SettingsError(f"{name} is not set (nor is {name}_FILE)")
            continue
        values[field.name] = _convert(name, text, hints[field.name])
        _check_range(name, values[field.name], field.metadata)
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
        raise SettingsError(f"{name} must be {TYPE_NAMES.get(kind, kind.__name__)}, not {text!r}") from error


def _check_range(name: str, value: Any, metadata: Mapping[str, Any]) -> None:
    values = metadata.get("values")
    if values and value not in values:
        raise SettingsError(f"{name} must be {' or '.join(values)}, not {value!r}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if not math.isfinite(value):
        raise SettingsError(f"{name} must be a finite number, not {value}")
    if name.endswith("PORT") and not 1 <= value <= LAST_PORT:
        raise SettingsError(f"{name} must be from 1 to {LAST_PORT}, not {value}")
    if metadata.get("positive") and value <= 0:
        raise SettingsError(f"{name} must be greater than 0, not {value}")
    if value < 0:
        raise SettingsError(f"{name} must not be negative, but is {value}")


def _check_keys(name: str, keys: tuple[str, ...]) -> None:
    remedy = "generate one with `openssl rand -base64 32`"
    if not keys or any(len(key) < MIN_SECRET_LENGTH or len(set(key)) < 8 for key in keys):
        raise SettingsError(f"{name}: every key needs at least {MIN_SECRET_LENGTH} random characters; {remedy}")
    if any(word in key.lower() for key in keys for word in PLACEHOLDERS):
        raise SettingsError(f"{name} contains a placeholder instead of a random key; {remedy}")
    if len(set(keys)) < len(keys):
        raise SettingsError(f"{name} contains the same key twice")
