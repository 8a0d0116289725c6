"""An answer as the model server sends it: server-sent events with JSON in them, read into pieces of text."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import orjson

from kit.text import clean
from web.clients.transport import Body
from web.errors import Rejected, Unreachable

MOST_NUMBERS = 50
LONGEST_EVENT = 1_000_000  # bytes; a model server that sends more without an event's end is broken


class Piece(NamedTuple):
    """What one event of the stream added. `offset` counts the stream's bytes up to this event's end."""

    offset: int
    content: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    timings: dict[str, Any] | None = None
    done: bool = False


class Stream:
    """The pieces of one answer."""

    def __init__(self, response: httpx.Response, offset: int) -> None:
        assert isinstance(response.stream, Body)
        self._body, self._offset = response.stream, offset
        self._buffer, self._halves = b"", _SurrogateHalves()
        self._is_whole = False

    async def copy(self, take: Callable[[list[Piece]], bool]) -> None:
        """Gives the pieces to `take` as they come, those that came at once together: until [DONE], or until it has enough.
        Raises Unreachable if the stream ends before, Rejected for what is no answer."""

        def feed(data: bytes) -> bool:
            """Events of the byte stream, whole ones only."""
            pieces: list[Piece] = []
            try:
                self._read(data, pieces)
            finally:  # what came before an error is good
                self._is_whole = bool(pieces) and (take(pieces) or pieces[-1].done)
            return self._is_whole

        await self._body.pour(feed)
        if not self._is_whole:
            raise Unreachable("the stream ended early")

    def _read(self, data: bytes, pieces: list[Piece]) -> None:
        buffer, start = self._buffer + data if self._buffer else data, 0
        while start < len(buffer) and (end := _event_end(buffer, start)) > 0:
            piece = _piece(buffer[start:end], self._offset + end, self._halves)
            start = end
            if piece:
                pieces.append(piece)
                if piece.done:
                    break
        self._buffer, self._offset = buffer[start:], self._offset + start
        if len(self._buffer) > LONGEST_EVENT:
            raise Rejected("The model server sent something that is no answer.")


def _event_end(buffer: bytes, start: int) -> int:
    """Where the event ends that starts here, with its blank line; 0 if it is not all there. llama.cpp ends lines with LF,
    others may use CRLF."""
    lf = buffer.find(b"\n\n", start)
    crlf = buffer.find(b"\r\n\r\n", start, lf if lf >= 0 else len(buffer))
    return crlf + 4 if crlf >= 0 else lf + 2 if lf >= 0 else 0


def _piece(event: bytes, offset: int, halves: "_SurrogateHalves") -> Piece | None:
    if event.startswith(b"data: {") and event.find(b"\n") == len(event) - 2:  # one line, as nearly all are
        data = event[6:-2]
    elif lines := [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]:
        data = b"\n".join(lines)
    else:
        return None  # a comment: the server's ping
    if data == b"[DONE]":
        return Piece(offset, content=halves.rest(), done=True)
    try:
        body = _loads(data)
        if "error" in body:
            raise Rejected("The model server broke off this answer.")
        choice = (body.get("choices") or [{}])[0]
        delta = choice.get("delta") or {}
        content, reasoning, reason = delta.get("content"), delta.get("reasoning_content"), choice.get("finish_reason")
        return Piece(
            offset,
            halves.join(content) if content else "",
            clean(reasoning) if reasoning else "",
            str(reason)[:100] if reason else None,
            _numbers(body.get("usage")),
            _numbers(body.get("timings")),
        )
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError) as error:
        raise Rejected("The model server sent something that is no answer.") from error


def _numbers(given: Any, depth: int = 2) -> dict[str, Any] | None:
    """The numbers in an object and in the objects in it: what a server tells of its work, and nothing else it may send."""
    if not isinstance(given, dict) or not depth:
        return None
    kept: dict[str, Any] = {}
    for name, value in list(given.items())[:MOST_NUMBERS]:
        if isinstance(value, dict) and (inner := _numbers(value, depth - 1)):
            kept[name[:100]] = inner
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
            kept[name[:100]] = value
    return kept or None


def _loads(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)  # it accepts half a character, which some servers send when a token ends in its middle


class _SurrogateHalves:
    """Joins a character whose two halves came in two events; a half that stays alone becomes U+FFFD."""

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
