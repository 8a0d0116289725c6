"""Which model runs."""

import os
from pathlib import Path

import pytest

from llama import model


def gguf(path: Path, age: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF and more")
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    return path


def test_the_one_named_comes_first(tmp_path: Path) -> None:
    named = gguf(tmp_path / "named.gguf")
    gguf(tmp_path / "models" / "other.gguf")

    assert model.find({"MODEL": str(named), "DATA_DIR": str(tmp_path)}) == named


def test_then_the_newest_that_was_downloaded(tmp_path: Path) -> None:
    gguf(tmp_path / "models" / "old.gguf", age=100)
    new = gguf(tmp_path / "models" / "new.gguf")
    gguf(tmp_path / "models" / "older.gguf", age=200)

    assert model.find({"DATA_DIR": str(tmp_path)}) == new


def test_then_the_small_one_from_its_wheel(tmp_path: Path) -> None:
    assert model.find({"DATA_DIR": str(tmp_path)}).name.startswith("SmolLM2-135M-Instruct")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "is not there"), (b"", "is not a GGUF file"), (b"PK\x03\x04", "is not a GGUF file"), ("folder", "can't be read")],
)
def test_what_is_no_model_is_refused_with_a_sentence(tmp_path: Path, content: bytes | str | None, sentence: str) -> None:
    path = tmp_path / "x.gguf"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "folder":
        path.mkdir()

    with pytest.raises(model.ModelError, match=sentence):
        model.find({"MODEL": str(path)})
