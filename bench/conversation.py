"""S7: a conversation with a real llama.cpp, turn by turn, through Runnel and directly.

Compares the time to the first token and the part of the prompt that was in the model's cache.
"""

import itertools
import re
import statistics
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import orjson

from bench import systems
from bench.http import Connection
from bench.table import format_table
from web.settings import OPENING_MESSAGE, SYSTEM_PROMPT

TURNS = 10
ANSWER_TOKENS = 24  # short enough that nearly every answer reaches it, so both conversations grow equally

Turn = tuple[float, int, int]  # seconds to the first token, cached prompt tokens, other prompt tokens
Message = Callable[[str, int], str]


async def conversation() -> str:
    async with systems.runnel(1, LLAMA_URL="", MAX_TOKENS=str(ANSWER_TOKENS)) as runnel:
        pair = through_runnel(runnel, _message, "Ann"), directly(runnel.data_dir, _message, "Bob", ANSWER_TOKENS)
        turns = [(await anext(pair[0]), await anext(pair[1])) for _ in range(TURNS)]
    body = [_row(number, *pair) for number, pair in enumerate(turns, 1)]
    factor = statistics.median(one[0] / other[0] for one, other in turns[1:])
    head = ("turn", "first token, ms", "direct", "", "cached part of the prompt", "direct")
    title = "S7: a conversation with llama.cpp"
    return format_table(f"{title}; after the first turn, the first token takes {factor:.2f}x (median)", body, head)


def _row(number: int, runnel_turn: Turn, direct_turn: Turn) -> tuple[str, ...]:
    factor = f"{runnel_turn[0] / direct_turn[0]:.2f}x"
    first_tokens = f"{1000 * runnel_turn[0]:.0f}", f"{1000 * direct_turn[0]:.0f}", factor
    return str(number), *first_tokens, _cached(runnel_turn), _cached(direct_turn)


def _cached(turn: Turn) -> str:
    _, cached, processed = turn
    return f"{100 * cached / (cached + processed):.0f} % of {cached + processed}"


def _message(user: str, turn: int) -> str:
    return f"{user} asks, number {turn}: what would you tell somebody about the number {turn * 7}, and why?"


async def through_runnel(runnel: systems.System, message: Message, user: str) -> AsyncIterator[Turn]:
    """Yields one turn after the other. `message` makes the text of each from the name of the user and its number."""
    address = urlsplit(runnel.url)
    connection = Connection(address.hostname or "", address.port or 80)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": runnel.url, "HX-Request": "true"}
    created = await connection.request("POST", "/chats", urlencode({"username": "bench", "new": "1"}).encode(), headers)
    chat = created.headers["location"]
    headers["Cookie"] = created.headers["set-cookie"].partition(";")[0]
    for turn in itertools.count():
        parts: list[tuple[float, bytes]] = []
        started = time.monotonic()
        form = urlencode({"content": message(user, turn)}).encode()
        posted = await connection.request("POST", f"{chat}/messages", form, headers)
        stream = re.search(r'hx-sse:connect="([^"]*)"', posted.body.decode())
        assert stream, posted
        accept = headers | {"Accept": "text/event-stream"}
        await connection.request("GET", stream[1], headers=accept, on_data=_recorder(parts))
        stored = await connection.request("GET", f"{chat}.json", headers=headers)
        yield _turn(started, parts, re.compile(rb'-tail"><[^/]'), orjson.loads(stored.body)["messages"][-1]["timings"])


async def directly(data_dir: Path, message: Message, user: str, max_tokens: int) -> AsyncIterator[Turn]:
    """Has such a conversation with the model server itself, with the same system prompt and opening message."""
    address = urlsplit((data_dir / "run" / "llama.url").read_text().strip())
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {(data_dir / 'secrets' / 'llama_api_key').read_text().strip()}",
    }
    messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "assistant", "content": OPENING_MESSAGE}]
    for turn in itertools.count():
        messages.append({"role": "user", "content": message(user, turn)})
        body = {"messages": messages, "max_tokens": max_tokens, "stream": True}
        body |= {"stream_options": {"include_usage": True}}
        parts: list[tuple[float, bytes]] = []
        started = time.monotonic()
        connection = Connection(address.hostname or "", address.port or 80)  # llama.cpp closes idle connections soon
        await connection.request("POST", "/v1/chat/completions", orjson.dumps(body), headers, _recorder(parts))
        lines = b"".join(data for _, data in parts).split(b"\n\n")
        events = [orjson.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
        answer = "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])
        messages.append({"role": "assistant", "content": answer})
        timings = next(event["timings"] for event in reversed(events) if "timings" in event)
        yield _turn(started, parts, re.compile(rb'"content":"'), timings)


def _recorder(parts: list[tuple[float, bytes]]) -> Callable[[bytes], None]:
    return lambda data: parts.append((time.monotonic(), data))


def _turn(started: float, parts: list[tuple[float, bytes]], token: re.Pattern[bytes], timings: dict[str, int]) -> Turn:
    first = next(at for at, data in parts if token.search(data))
    return first - started, timings["cache_n"], timings["prompt_n"]
