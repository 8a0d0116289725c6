"""The memory for prompts that no slot holds."""

import subprocess
from pathlib import Path

import pytest

from llama.memory import MAX_MIB, MIN_MIB, prompt_cache_mib
from tests.stack import ROOT


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(str(2**33), 1024), (str(2**31), MIN_MIB), (str(2**20), MIN_MIB), (str(3 * 2**32), 1536)],
)
def test_an_eighth_of_the_containers_memory(tmp_path: Path, limit: str, expected: int) -> None:
    file = tmp_path / "memory.max"
    file.write_text(f"{limit}\n")

    assert prompt_cache_mib([tmp_path / "missing", file]) == min(expected, prompt_cache_mib([]))


def test_without_a_limit_it_is_an_eighth_of_the_machines_memory(tmp_path: Path) -> None:
    file = tmp_path / "memory.max"
    file.write_text("max\n")

    assert MIN_MIB <= prompt_cache_mib([file]) == prompt_cache_mib([]) <= MAX_MIB


def test_the_container_computes_the_same() -> None:
    body = (ROOT / "llama" / "serve.sh").read_text().partition("prompt_cache() {")[2].partition("\n}\n")[0]
    printed = subprocess.run(
        ["sh", "-c", f"prompt_cache() {{{body}\n}}\nprompt_cache"], capture_output=True, text=True, check=True
    )

    assert abs(int(printed.stdout) - prompt_cache_mib()) <= 8  # the kernel keeps a part of the physical memory
