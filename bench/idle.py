"""S6: the time until `make dev` is ready, and its memory when idle."""

import asyncio
import statistics
import time

from bench import systems, usage
from bench.table import format_table

IDLE_SECONDS = 5.0
RUNNEL_SERVICES = ("web", "dbapi", "nginx")


async def idle(runs: int) -> str:
    seconds: list[float] = []
    kib: dict[str, list[int]] = {}
    with systems.temporary() as folder:
        for run in range(runs + 1):
            started = time.monotonic()
            async with systems.runnel(1, folder, LLAMA_URL="") as runnel:
                if run:  # the first run creates the database and is not counted
                    seconds.append(time.monotonic() - started)
                    await asyncio.sleep(IDLE_SECONDS)
                    for name, used in usage.memory(runnel.pids).items():
                        kib.setdefault(name, []).append(used)
    memory = {name: statistics.median(values) / 1024 for name, values in kib.items()}
    total = sum(mib for name, mib in memory.items() if name.partition("-")[0] in RUNNEL_SERVICES)
    body = [(name, f"{mib:.0f}") for name, mib in memory.items()] + [(" + ".join(RUNNEL_SERVICES), f"{total:.0f}")]
    ready = f"a second `make dev` is ready after {statistics.median(seconds):.1f} s, including the model"
    return format_table(f"S6: {ready}; memory when idle:", body, ("", "MiB"))
