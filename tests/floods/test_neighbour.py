"""Fifty attackers that hold connections, and a user who wants to chat."""

import asyncio
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.model_server import ModelServer
from tests.floods.attackers import HOARD
from tests.stack import BASE_ENVIRON, ROOT, until
from tests.system.running import Runnel, running
from tests.system.user import User, user

EACH = 10  # of each of five kinds
QUIET_SECONDS, FLOOD_SECONDS = 2.0, 12.0 * max(1, int(os.environ.get("CHAOS_ROUNDS", "3")) // 10)
PAUSE_SECONDS = 0.05  # between two pages of the neighbour
SLOWEST_SECONDS = 0.5
BUSY = 4  # times the duration without a flood, for a machine that is slow already
STREAMS_PER_SESSION = 40
KEPT_CONNECTIONS = 100  # idle connections that nginx and web may keep; the attackers had more
WORDS_EVERY_MILLISECONDS = 20


@pytest.fixture(scope="module")
async def runnel(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runnel]:
    """A Runnel with default limits, and enough model slots for all."""
    model = ModelServer(tmp_path_factory.mktemp("model") / "log")
    await model.start("--slots", "64")
    try:
        with running(WEB_REPLICAS="2", LLAMA_URL=model.url, MAX_TOKENS="100000", TITLES="off") as runnel:
            yield runnel
    finally:
        await model.kill()


async def pages(ada: User, seconds: float) -> list[float]:
    """Loads pages for this time; returns the seconds each took."""
    took, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        for path in ("/", ada.chat):
            began = time.monotonic()
            answer = await ada.http.get(path)
            took.append(time.monotonic() - began)
            assert answer.status_code == 200, answer.text
        await asyncio.sleep(PAUSE_SECONDS)
    return took


async def gaps(ada: User, seconds: float) -> list[float]:
    """The seconds between two parts of a running answer."""
    words = round(seconds * 1000 / WORDS_EVERY_MILLISECONDS)
    path = await ada.say(json.dumps({"text": "word " * words, "delay_ms": WORDS_EVERY_MILLISECONDS}))
    came = [at async for at, _ in ada.tail(path)]
    assert (await ada.ended(path))["content"] == "word " * words
    return [later - earlier for earlier, later in itertools.pairwise(came)]


def counts(what: str, seconds: list[float]) -> float:
    """Prints the percentiles and returns the 95th."""
    p95 = statistics.quantiles(seconds, n=20)[-1]
    figures = {"p50": statistics.median(seconds), "p95": p95, "longest": max(seconds)}
    print(f"{what}: {len(seconds)}, " + ", ".join(f"{name} {figure * 1000:.0f} ms" for name, figure in figures.items()))
    return p95


async def flood(runnel: Runnel) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.floods.attackers", runnel.origin, str(FLOOD_SECONDS), str(EACH)]
    attacking = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=BASE_ENVIRON, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await attacking.communicate()
    assert attacking.returncode == 0
    found: dict[str, Any] = json.loads(output)
    return found


def sockets_of(pid: int) -> int:
    return sum(os.readlink(link).startswith("socket:") for link in Path(f"/proc/{pid}/fd").iterdir())


async def test_fifty_attackers_do_not_slow_down_another_user(runnel: Runnel) -> None:
    async with user(runnel.origin) as ada, user(runnel.origin) as reader:
        await ada.begin()
        await reader.begin()
        web = [runnel.dev.pid(name) for name in ("web-1", "web-2")]
        quiet, usual = await asyncio.gather(pages(ada, QUIET_SECONDS), gaps(reader, QUIET_SECONDS))
        before = sum(map(sockets_of, web))

        attack = asyncio.create_task(flood(runnel))
        await asyncio.sleep(1)
        in_the_flood, between = await asyncio.gather(pages(ada, FLOOD_SECONDS - 2), gaps(reader, FLOOD_SECONDS - 2))
        got = await attack

        print(f"\nattackers: {got}")
        page_before, gap_before = (
            counts("pages when all is quiet", quiet),
            counts("gaps in a stream when all is quiet", usual),
        )
        assert counts("pages in the flood", in_the_flood) < max(SLOWEST_SECONDS, BUSY * page_before)
        assert counts("gaps in a stream in the flood", between) < max(SLOWEST_SECONDS, BUSY * gap_before)

        assert not [what for what in got if "failed" in what], got
        assert got["hoarded 429"] == (HOARD - STREAMS_PER_SESSION) * EACH, "every hoarder has what a session may have"
        assert got["hoarded 200"] == STREAMS_PER_SESSION * EACH
        assert got["unread"] == EACH
        assert got["headers cut"] >= EACH, "a client with incomplete headers is disconnected by then"
        assert got["giant 413"] >= EACH
        assert got["giant 400"] >= EACH, "too many fields"
        await until(
            lambda: sum(map(sockets_of, web)) <= before + KEPT_CONNECTIONS,
            lambda: f"{before} before, {sum(map(sockets_of, web))} now",
        )


async def test_ten_thousand_half_sent_requests_lock_nobody_out(runnel: Runnel) -> None:
    port, count = runnel.origin.rpartition(":")[2], 10_000
    flood = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.floods.half_open", port, str(count)),
        cwd=ROOT,
        env=BASE_ENVIRON,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert flood.stdin is not None
        assert flood.stdout is not None
        async with user(runnel.origin) as ada:
            await ada.begin()
            assert (await flood.stdout.readline()).strip() == b"open"
            took = await pages(ada, QUIET_SECONDS)
            counts("pages next to half-sent requests", took)
        flood.stdin.close()
    finally:
        if flood.returncode is None:
            flood.kill()
            await flood.wait()

    assert statistics.quantiles(took, n=20)[-1] < 1.0
