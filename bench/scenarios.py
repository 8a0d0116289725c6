"""The load scenarios, and how one run is measured."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from bench import usage
from bench.load import Load
from bench.systems import ROOT, System

SAMPLE_SECONDS = 1.0
KINDS = ("web", "dbapi", "postgres", "nginx", "model")


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    load: Load


def _scenario(name: str, title: str, **load: Any) -> Scenario:
    return Scenario(name, title, Load(url="", model="", runnel=False, **load))


ALL = [
    _scenario(
        "S0", "the cost of a turn: 200 answers of one token, 20 per second", streams=200, tokens=1, rate=0, starts=20
    ),
    _scenario(
        "S1", "one stream after the other, 1,000 tokens as fast as possible", streams=8, tokens=1000, rate=0, starts=2
    ),
    _scenario("S2", "50 streams, 20 tokens/s, 200 tokens each", streams=50, tokens=200, rate=20, starts=50),
    _scenario("S3a", "200 streams, 5 tokens/s, 60 tokens each", streams=200, tokens=60, rate=5, starts=100),
    _scenario("S3b", "1,000 streams, 5 tokens/s, 60 tokens each", streams=1000, tokens=60, rate=5, starts=100),
    _scenario("S4a", "one answer, 20 tokens/s, one viewer", tokens=200, rate=20),
    _scenario("S4b", "one answer, 20 tokens/s, 200 viewers", tokens=200, rate=20, viewers=200),
]


async def nothing() -> None:
    pass


async def measure(
    scenario: Scenario, system: System, model: System, prepare: Callable[[], Awaitable[None]] = nothing
) -> dict[str, Any]:
    """Run the scenario once. Returns the figures of the load, and the resources that the processes used.

    `prepare` runs after all chats have been created.
    """
    load = replace(scenario.load, url=system.url, model=model.url, runnel=system.runnel)
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", cwd=ROOT, stdin=pipe, stdout=pipe, limit=1 << 26
    )
    assert child.stdin
    assert child.stdout
    send, receive = child.stdin.write, child.stdout.readline
    send(orjson.dumps(asdict(load)) + b"\n")
    assert await receive() == b"ready\n", "the load generator cannot start"
    await prepare()
    roots = {**system.pids, **model.pids}
    before, idle = usage.cpu(roots), sum(usage.memory(system.pids).values())
    send(b"\n")
    done, peak = asyncio.create_task(receive()), idle
    while not done.done():
        await asyncio.wait([done], timeout=SAMPLE_SECONDS)
        peak = max(peak, sum(usage.memory(system.pids).values()))
    after = usage.cpu(roots)
    send(b"\n")
    result: dict[str, Any] = orjson.loads(await receive())
    await child.wait()
    thousands = load.streams * load.tokens / 1000
    spent = {name: 1000 * (after[name] - before[name]) / thousands for name in roots}
    result |= {f"cpu_{kind}": sum(ms for name, ms in spent.items() if name.partition("-")[0] == kind) for kind in KINDS}
    return result | {"kib_per_stream": (peak - idle) / load.streams / load.viewers}
