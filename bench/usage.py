"""CPU time and memory of processes, from /proc. Shared memory is counted in proportion (PSS)."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def cpu(roots: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU seconds of each process and its descendants, including those that have exited."""
    parents, seconds = _processes()
    return {name: sum(seconds[pid] for pid in _family(root, parents)) for name, root in roots.items()}


def memory(roots: Mapping[str, int]) -> dict[str, int]:
    """Return the KiB of each process and its descendants."""
    parents, _ = _processes()
    return {name: sum(map(_pss, _family(root, parents))) for name, root in roots.items()}


def _processes() -> tuple[dict[int, int], dict[int, float]]:
    parents, seconds = {}, {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = status.read_text().rpartition(") ")[2].split()
            pid = int(status.parent.name)
            parents[pid] = int(fields[1])
            seconds[pid] = sum(map(int, fields[11:15])) / TICK  # its own, and those of its exited children
    return parents, seconds


def _family(root: int, parents: Mapping[int, int]) -> Iterable[int]:
    family = {root} & parents.keys()
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _pss(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
