"""What is measured without load: the page in a real browser, starting and idling, and a conversation with a real llama.cpp."""

import asyncio
import re
import shutil
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import orjson
from playwright.async_api import async_playwright

from bench import systems, usage
from bench.http import Connection
from bench.table import shown
from web.settings import OPENING_MESSAGE, SYSTEM_PROMPT

TURNS = 10
ANSWER_TOKENS = 24  # so few that nearly every answer has as many: both conversations grow alike
IDLE_SECONDS = 5.0
THROTTLE = 4  # times slower than this machine
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

Turn = tuple[float, int, int]  # seconds to the first token, tokens of the prompt that were in the cache, and others

_OBSERVE = """
window.shift = 0; window.slowest = 0;
new PerformanceObserver(list => { for (const e of list.getEntries()) if (!e.hadRecentInput) window.shift += e.value })
  .observe({type: 'layout-shift', buffered: true});
new PerformanceObserver(list => { for (const e of list.getEntries()) window.slowest = Math.max(window.slowest, e.duration) })
  .observe({type: 'event', durationThreshold: 16, buffered: true});
"""


async def page() -> str:
    """S5: the first load of a chat page, and how it feels while an answer is written, on a slow machine."""
    browser_path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if not browser_path:
        return f"\nS5 was left out: there is no Chromium (as {', '.join(CHROMIUM)})."
    async with systems.model_server() as model, systems.runnel(1, LLAMA_URL=model.url) as runnel, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        context = await browser.new_context(base_url=runnel.url)
        tab = await context.new_page()
        await tab.goto("/")
        await tab.fill("#username", "bench")
        await tab.press("#username", "Enter")
        await tab.wait_for_url("**/chats/*")
        address = tab.url
        fresh = await (await browser.new_context(storage_state=await context.storage_state())).new_page()  # with an empty cache
        tools = await fresh.context.new_cdp_session(fresh)
        kinds: dict[str, str] = {}
        bodies: Counter[str] = Counter()
        tools.on("Network.responseReceived", lambda told: kinds.update({told["requestId"]: told["type"]}))
        finished: dict[str, float] = {}  # with headers; the only figure for what was not compressed
        tools.on("Network.loadingFinished", lambda told: finished.update({told["requestId"]: told["encodedDataLength"]}))
        tools.on("Network.dataReceived", lambda told: bodies.update({told["requestId"]: told["encodedDataLength"]}))
        await tools.send("Network.enable")
        await fresh.add_init_script(_OBSERVE)
        await fresh.goto(address, wait_until="networkidle")
        weights: dict[str, list[float]] = {}
        for request, kind in kinds.items():
            weights.setdefault(kind, []).append((bodies[request] or finished.get(request, 0.0)) / 1024)
        await tools.send("Emulation.setCPUThrottlingRate", {"rate": THROTTLE})
        await fresh.fill("#content", '{"id":"page","tokens":600,"rate":50,"prompt_ms":0}')
        await fresh.press("#content", "Enter")
        await fresh.wait_for_selector("article.assistant.live:last-of-type .content p")
        await fresh.evaluate("window.shift = 0")
        for _ in range(8):
            await fresh.keyboard.type("hello ")
            await asyncio.sleep(1)
        shift, slowest = await fresh.evaluate("[window.shift, window.slowest]")
        await browser.close()
    body = [(kind, str(len(sizes)), f"{sum(sizes):.1f}") for kind, sizes in sorted(weights.items())]
    body.append(("all", str(sum(map(len, weights.values()))), f"{sum(map(sum, weights.values())):.1f}"))
    text = shown("S5: the first load of a chat page", body, ("", "requests", "KiB, compressed"))
    felt = f"layout shift {shift:.3f}, slowest key {slowest:.0f} ms to the next paint."
    return f"{text}\n\nWhile an answer streams, on a processor {THROTTLE} times slower: {felt}"


async def idle(runs: int) -> str:
    """S6: seconds to `ready:` with the model loaded, and memory when nothing happens."""
    seconds: list[float] = []
    used: dict[str, list[int]] = {}
    with systems.temporary() as folder:
        for run in range(runs + 1):
            began = time.monotonic()
            async with systems.runnel(1, folder, LLAMA_URL="") as runnel:
                if run:  # the first one makes the database
                    seconds.append(time.monotonic() - began)
                    await asyncio.sleep(IDLE_SECONDS)
                    for name, kib in usage.memory(runnel.pids).items():
                        used.setdefault(name, []).append(kib)
    memory = {name: statistics.median(kib) / 1024 for name, kib in used.items()}
    ours = sum(mb for name, mb in memory.items() if name.partition("-")[0] in ("web", "dbapi", "nginx"))
    body = [(name, f"{mb:.0f}") for name, mb in memory.items()] + [("web + dbapi + nginx", f"{ours:.0f}")]
    title = f"S6: a second `make dev` is ready after {statistics.median(seconds):.1f} s, model load included; when idle:"
    return shown(title, body, ("", "MiB"))


async def conversation() -> str:
    """S7: turn by turn the first token and what of the prompt was in the model's cache, through Runnel and directly, by turns."""
    async with systems.runnel(1, LLAMA_URL="", MAX_TOKENS=str(ANSWER_TOKENS)) as runnel:
        ours, direct = _through_runnel(runnel), _directly(runnel.data_dir)
        turns = [(await anext(ours), await anext(direct)) for _ in range(TURNS)]
    body = [
        (str(number), f"{1000 * our[0]:.0f}", f"{1000 * its[0]:.0f}", f"{our[0] / its[0]:.2f}x", _cached(our), _cached(its))
        for number, (our, its) in enumerate(turns, 1)
    ]
    later = statistics.median(our[0] / its[0] for our, its in turns[1:])
    head = ("turn", "first token, ms", "directly", "", "of the prompt in the cache", "directly")
    return shown(f"S7: a conversation with llama.cpp; from the second turn on the first token takes {later:.2f}x (median)", body, head)


def _cached(turn: Turn) -> str:
    _, cached, read = turn
    return f"{100 * cached / (cached + read):.0f} % of {cached + read}"


def _question(who: str, turn: int) -> str:
    return f"{who} asks, number {turn}: what would you tell somebody about the number {turn * 7}, and why?"


async def _through_runnel(runnel: systems.System) -> AsyncIterator[Turn]:
    address = urlsplit(runnel.url)
    connection = Connection(address.hostname or "", address.port or 80)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": runnel.url, "HX-Request": "true"}
    begun = await connection.ask("POST", "/chats", urlencode({"username": "bench", "new": "1"}).encode(), headers)
    chat = begun.headers["location"]
    headers["Cookie"] = begun.headers["set-cookie"].partition(";")[0]
    for turn in range(TURNS):
        parts: list[tuple[float, bytes]] = []
        began = time.monotonic()
        asked = await connection.ask("POST", f"{chat}/messages", urlencode({"content": _question("Ann", turn)}).encode(), headers)
        stream = re.search(r'hx-sse:connect="([^"]*)"', asked.body.decode())
        assert stream, asked
        await connection.ask("GET", stream[1], headers=headers | {"Accept": "text/event-stream"}, take=_noting(parts))
        told = await connection.ask("GET", f"{chat}.json", headers=headers)
        yield _turn(began, parts, re.compile(rb'-tail"><[^/]'), orjson.loads(told.body)["messages"][-1]["timings"])


async def _directly(data_dir: Path) -> AsyncIterator[Turn]:
    """The same, with the same system prompt and opening message."""
    address = urlsplit((data_dir / "run" / "llama.url").read_text().strip())
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {(data_dir / 'secrets' / 'llama_api_key').read_text().strip()}",
    }
    messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "assistant", "content": OPENING_MESSAGE}]
    for turn in range(TURNS):
        messages.append({"role": "user", "content": _question("Bob", turn)})
        asked = {"messages": messages, "max_tokens": ANSWER_TOKENS, "stream": True, "stream_options": {"include_usage": True}}
        parts: list[tuple[float, bytes]] = []
        began = time.monotonic()
        connection = Connection(address.hostname or "", address.port or 80)  # llama.cpp does not keep them for long
        await connection.ask("POST", "/v1/chat/completions", orjson.dumps(asked), headers, _noting(parts))
        lines = b"".join(data for _, data in parts).split(b"\n\n")
        events = [orjson.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
        answer = "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])
        messages.append({"role": "assistant", "content": answer})
        timings = next(event["timings"] for event in reversed(events) if "timings" in event)
        yield _turn(began, parts, re.compile(rb'"content":"'), timings)


def _noting(parts: list[tuple[float, bytes]]) -> Callable[[bytes], None]:
    return lambda data: parts.append((time.monotonic(), data))


def _turn(began: float, parts: list[tuple[float, bytes]], word: re.Pattern[bytes], timings: dict[str, int]) -> Turn:
    first = next(at for at, data in parts if word.search(data))
    return first - began, timings["cache_n"], timings["prompt_n"]
