"""Finds variables that are no settings, such as a misspelt name, which would be ignored without a word."""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

SIMILAR = 0.85
FOREIGN = ("LLAMA_ARG_",)  # llama.cpp's own variables


def warnings(root: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each unknown name in `.env`, and for each variable that resembles a setting."""
    known = _names(root / ".env.example", r"^#?([A-Z][A-Z0-9_]*)=")
    for name in sorted(_names(root / ".env", r"^(?:export\s+)?([A-Za-z][A-Za-z0-9_]*)=")):
        if not _is_known(name, known):
            yield f".env sets {name}, which is not a setting{_suggestion(name, known)}"
    for name in sorted(environ):
        if not _is_known(name, known) and not name.startswith(FOREIGN) and (suggestion := _suggestion(name, known)):
            yield f"{name} is set, which is not a setting{suggestion}"


def _names(file: Path, pattern: str) -> set[str]:
    return set(re.findall(pattern, file.read_text(), re.MULTILINE)) if file.exists() else set()


def _is_known(name: str, known: set[str]) -> bool:
    return not known or name in known or name.removesuffix("_FILE") in known or name in ("HF_ENDPOINT", "REPLACE")


def _suggestion(name: str, known: set[str]) -> str:
    similar = difflib.get_close_matches(name.upper(), known, 1, SIMILAR)
    return f"; did you mean {similar[0]}?" if similar else ""
