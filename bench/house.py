"""What is measured without load: the page in a real browser, starting and idling, and a conversation with a real llama.cpp."""

import asyncio
import re
import shutil
import statistics
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
from playwright.async_api import async_playwright

from bench import systems, usage
from bench.http import Connection
from bench.table import shown

TURNS, ANSWER_TOKENS = 10, 64
IDLE_SECONDS = 5.0
THROTTLE = 4  # times slower than this machine
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

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
        weights: dict[str, list[float]] = {}
        tools.on("Network.responseReceived", lambda told: kinds.update({told["requestId"]: told["type"]}))
        tools.on(
            "Network.loadingFinished",
            lambda told: weights.setdefault(kinds.get(told["requestId"], "Other"), []).append(told["encodedDataLength"] / 1024),
        )
        await tools.send("Network.enable")
        await fresh.add_init_script(_OBSERVE)
        await fresh.goto(address, wait_until="networkidle")
        loaded = {kind: list(sizes) for kind, sizes in weights.items()}
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
    body = [(kind, str(len(sizes)), f"{sum(sizes):.1f}") for kind, sizes in sorted(loaded.items())]
    body.append(("all", str(sum(map(len, loaded.values()))), f"{sum(map(sum, loaded.values())):.1f}"))
    text = shown("S5: the first load of a chat page", body, ("", "requests", "KiB on the wire"))
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
    """S7: turn by turn the first token and what of the prompt was in the model's cache, through Runnel and directly."""
    async with systems.runnel(1, LLAMA_URL="", MAX_TOKENS=str(ANSWER_TOKENS)) as runnel:
        mine = await _through_runnel(runnel)
        llama = (runnel.data_dir / "run" / "llama.url").read_text().strip()
        key = _key(runnel.data_dir / "secrets" / "llama_api_key")
        direct = await _directly(llama, key, mine["prompt"])
    body = [
        (str(turn + 1), f"{1000 * m[0]:.0f}", f"{1000 * d[0]:.0f}", f"{m[0] / d[0]:.2f}x", _cached(m), _cached(d))
        for turn, (m, d) in enumerate(zip(mine["turns"], direct, strict=True))
    ]
    later = statistics.median(m[0] / d[0] for m, d in list(zip(mine["turns"], direct, strict=True))[1:])
    head = ("turn", "first token, ms", "directly", "", "of the prompt in the cache", "directly")
    return shown(f"S7: a conversation with llama.cpp; from the second turn on the first token takes {later:.2f}x (median)", body, head)


def _cached(turn: tuple[float, int, int]) -> str:
    _, cached, read = turn
    return f"{100 * cached / (cached + read):.0f} % of {cached + read}"


def _question(who: str, turn: int) -> str:
    return f"{who} asks, number {turn}: what would you tell somebody about the number {turn * 7}, and why?"


async def _through_runnel(runnel: systems.System) -> dict[str, Any]:
    address = urlsplit(runnel.url)
    connection = Connection(address.hostname or "", address.port or 80)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": runnel.url, "HX-Request": "true"}
    answer = await connection.ask("POST", "/chats", urlencode({"username": "bench", "new": "1"}).encode(), headers)
    chat = answer.headers["location"]
    headers["Cookie"] = answer.headers["set-cookie"].partition(";")[0]
    turns: list[tuple[float, int, int]] = []
    opening = ""
    for turn in range(TURNS):
        began, first = time.monotonic(), 0.0

        def take(data: bytes) -> None:
            nonlocal first
            if not first and re.search(rb"-tail\"><[^/]", data):
                first = time.monotonic() - began  # noqa: B023

        answer = await connection.ask("POST", f"{chat}/messages", urlencode({"content": _question("Ann", turn)}).encode(), headers)
        stream = re.search(r'hx-sse:connect="([^"]*)"', answer.body.decode())
        assert stream, answer
        await connection.ask("GET", stream[1], headers=headers | {"Accept": "text/event-stream"}, take=take)
        told = await connection.ask("GET", f"{chat}.json", headers=headers)
        messages = orjson.loads(told.body)["messages"]
        opening = messages[0]["content"]
        timings = messages[-1]["timings"]
        turns.append((first, timings["cache_n"], timings["prompt_n"]))
    return {"turns": turns, "prompt": opening}


async def _directly(url: str, key: str, opening: str) -> list[tuple[float, int, int]]:
    from web.settings import SYSTEM_PROMPT

    address = urlsplit(url)
    messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "assistant", "content": opening}]
    turns = []
    for turn in range(TURNS):
        messages.append({"role": "user", "content": _question("Bob", turn)})
        asked = {"messages": messages, "max_tokens": ANSWER_TOKENS, "stream": True, "stream_options": {"include_usage": True}}
        parts: list[tuple[float, bytes]] = []
        began = time.monotonic()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        await Connection(address.hostname or "", address.port or 80).ask(
            "POST",
            "/v1/chat/completions",
            orjson.dumps(asked),
            headers,
            lambda data: parts.append((time.monotonic() - began, data)),  # noqa: B023
        )
        first = next(at for at, data in parts if b'"content":"' in data)
        events = [orjson.loads(event[6:]) for event in b"".join(data for _, data in parts).split(b"\n\n") if event.startswith(b"data: {")]
        text = "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])
        timings = next(event["timings"] for event in reversed(events) if "timings" in event)
        messages.append({"role": "assistant", "content": text})
        turns.append((first, timings["cache_n"], timings["prompt_n"]))
    return turns


def _key(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""
