"""The choice of the model."""

import os
from pathlib import Path

import pytest

from llama import model


def gguf(path: Path, age: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF and more")
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    return path


def test_the_model_variable_takes_precedence(tmp_path: Path) -> None:
    named = gguf(tmp_path / "named.gguf")
    gguf(tmp_path / "models" / "other.gguf")

    assert model.find({"MODEL": str(named), "DATA_DIR": str(tmp_path)}) == named


def test_without_it_the_newest_download_is_used(tmp_path: Path) -> None:
    gguf(tmp_path / "models" / "old.gguf", age=100)
    new = gguf(tmp_path / "models" / "new.gguf")
    gguf(tmp_path / "models" / "older.gguf", age=200)

    assert model.find({"DATA_DIR": str(tmp_path)}) == new


def test_without_downloads_the_packaged_model_is_used(tmp_path: Path) -> None:
    assert model.find({"DATA_DIR": str(tmp_path)}).name.startswith("SmolLM2-135M-Instruct")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "is not a GGUF file"),
        (b"PK\x03\x04", "is not a GGUF file"),
        ("folder", "cannot read"),
    ],
)
def test_an_invalid_file_is_refused_with_a_message(tmp_path: Path, content: bytes | str | None, message: str) -> None:
    path = tmp_path / "x.gguf"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "folder":
        path.mkdir()

    with pytest.raises(model.ModelFileError, match=message):
        model.find({"MODEL": str(path)})
