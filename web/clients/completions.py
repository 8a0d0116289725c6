"""The model server's stream of one answer: server-sent events with JSON, parsed into deltas of text."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import orjson

from kit.text import clean
from web.contract import Numbers
from web.errors import Rejected, Unreachable

MAX_NUMBERS = 50
MAX_EVENT_BYTES = 1_000_000  # a server that sends more without the end of an event is broken
INVALID = "The model server sent something that is not an answer."


class Delta(NamedTuple):
    """What one event adds. `offset` counts the bytes of the stream up to the end of this event."""

    offset: int
    content: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: Numbers | None = None
    timings: Numbers | None = None
    is_done: bool = False


# Receives the deltas that arrived together. Returns True when it needs no more.
OnDeltas = Callable[[list[Delta]], bool]


class CompletionStream:
    """Passes the deltas of one answer to `on_deltas`, until [DONE]. `offset` is where the byte stream starts."""

    def __init__(self, offset: int, on_deltas: OnDeltas) -> None:
        self._offset, self._on_deltas = offset, on_deltas
        self._buffer, self._surrogates = b"", _SurrogateHalves()
        self._is_complete = False

    async def read(self, response: httpx.Response) -> None:
        """Reads the whole response, whose request has `on_bytes` as its sink.

        Raises Unreachable if the stream ends early, and Rejected if it is invalid.
        """
        async for _ in response.aiter_raw():
            pass
        if not self._is_complete:
            raise Unreachable("the stream ended early")

    def on_bytes(self, data: bytes) -> bool:
        """The sink of the request."""
        deltas: list[Delta] = []
        try:
            self._parse(data, deltas)
        finally:  # deltas before an error are valid
            self._is_complete = bool(deltas) and (self._on_deltas(deltas) or deltas[-1].is_done)
        return self._is_complete

    def _parse(self, data: bytes, deltas: list[Delta]) -> None:
        buffer, start = self._buffer + data if self._buffer else data, 0
        while start < len(buffer) and (end := _event_end(buffer, start)) > 0:
            delta = _delta(buffer[start:end], self._offset + end, self._surrogates)
            start = end
            if delta:
                deltas.append(delta)
                if delta.is_done:
                    break
        self._buffer, self._offset = buffer[start:], self._offset + start
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise Rejected(INVALID)


def _event_end(buffer: bytes, start: int) -> int:
    """The end of the event at `start`, including its blank line; 0 if the event is incomplete. llama.cpp ends lines
    with LF, others may use CRLF."""
    lf = buffer.find(b"\n\n", start)
    crlf = buffer.find(b"\r\n\r\n", start, lf if lf >= 0 else len(buffer))
    return crlf + 4 if crlf >= 0 else lf + 2 if lf >= 0 else 0


def _delta(event: bytes, offset: int, surrogates: "_SurrogateHalves") -> Delta | None:
    """None for a comment, such as the server's ping. Raises Rejected."""
    data = _data(event)
    if data is None:
        return None
    if data == b"[DONE]":
        return Delta(offset, content=surrogates.rest(), is_done=True)
    try:
        body: Any = _loads(data)  # any JSON: a wrong type raises one of the errors below
        if "error" in body:
            raise Rejected("The model server broke off this answer.")
        choice = (body.get("choices") or [{}])[0]
        delta = choice.get("delta") or {}
        content, reasoning, reason = delta.get("content"), delta.get("reasoning_content"), choice.get("finish_reason")
        return Delta(
            offset,
            surrogates.join(content) if content else "",
            clean(reasoning) if reasoning else "",
            str(reason)[:100] if reason else None,
            _numbers(body.get("usage")),
            _numbers(body.get("timings")),
        )
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError) as error:
        raise Rejected(INVALID) from error


def _data(event: bytes) -> bytes | None:
    if event.startswith(b"data: {") and event.find(b"\n") == len(event) - 2:  # one line, as nearly all are
        return event[6:-2]
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def _numbers(value: object, depth: int = 2) -> Numbers | None:
    """The numbers in an object, and in the objects inside it. Everything else that a server may send is dropped."""
    if not isinstance(value, dict) or not depth:
        return None
    kept: Numbers = {}
    for name, item in list(value.items())[:MAX_NUMBERS]:
        if isinstance(item, dict) and (inner := _numbers(item, depth - 1)):
            kept[name[:100]] = inner
        elif isinstance(item, int | float) and not isinstance(item, bool) and abs(item) < 1e15:
            kept[name[:100]] = item
    return kept or None


def _loads(data: bytes) -> object:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # Accepts half a surrogate pair, which some servers send when a token ends inside a character
        return json.loads(data)


class _SurrogateHalves:
    """Joins a character whose two halves arrive in two events. A half that stays alone becomes U+FFFD."""

    def __init__(self) -> None:
        self._half = ""

    def join(self, text: str) -> str:
        if text.isascii() and not self._half:
            return clean(text)
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        if not text.isascii():
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return clean(text)

    def rest(self) -> str:
        return clean(self._half)
