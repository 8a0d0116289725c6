"""How much memory there is, and how much of it llama.cpp may use for prompts that no slot holds at the moment."""

import os
from collections.abc import Iterable
from pathlib import Path

CGROUP_LIMITS = tuple(Path("/sys/fs/cgroup", name) for name in ("memory.max", "memory/memory.limit_in_bytes"))
SHARE = 8  # the cache may use one part of so many
MIN_MIB, MAX_MIB = 256, 8192  # llama.cpp's own default is the maximum


def prompt_cache_mib(limits: Iterable[Path] = CGROUP_LIMITS) -> int:
    """An eighth of the memory, in MiB. serve.sh computes the same for the container."""
    return min(max(memory_bytes(limits) // SHARE // 2**20, MIN_MIB), MAX_MIB)


def memory_bytes(limits: Iterable[Path] = CGROUP_LIMITS) -> int:
    """The memory of this machine, or the limit of this container."""
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for limit in limits:
        text = limit.read_text().strip() if limit.exists() else ""
        if text.isdecimal():  # otherwise "max"
            sizes.append(int(text))
    return min(sizes)
