"""The model server's stream of one answer: server-sent events with JSON, parsed into deltas of text."""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import orjson

from kit.text import clean
from web.clients.refusals import BROKE_OFF, WEB_PAGE, cleaned, error_of, is_error, refusal, server_words
from web.clients.thinking import ThinkTags
from web.contract import Numbers
from web.errors import Rejected, Unreachable

MAX_NUMBERS = 50
MAX_EVENT_BYTES = 1_000_000  # a server that sends more without the end of an event is broken
INVALID = "The model server sent something that is not an answer."
# What servers call the usual reasons to end an answer; all other names are stored as they are
FINISH_REASONS = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "safety": "content_filter",
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "blocklist": "content_filter",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
}
BOM = b"\xef\xbb\xbf"
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_EVENT_ERROR = re.compile(rb"^event: ?error\b", re.MULTILINE)


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
    """Passes the deltas of one answer to `on_deltas`, until [DONE]. `offset` is where the byte stream starts.

    Bytes without a delta are passed on as an empty list: they are a sign of life. A server may also send the whole
    answer as one JSON object.
    """

    def __init__(self, offset: int, on_deltas: OnDeltas, thinking: ThinkTags) -> None:
        self._offset, self._on_deltas, self._thinking = offset, on_deltas, thinking
        self._safe_offset = offset  # nothing before it is held back
        self._buffer, self._surrogates = b"", _SurrogateHalves()
        self._is_complete = False
        self._is_started = offset > 0

    async def read(self, response: httpx.Response) -> None:
        """Reads the whole response, whose request has `on_bytes` as its sink.

        Raises Unreachable if the stream ends early, and Rejected if it is invalid or no answer.
        """
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() not in ("", "identity"):
            raise Rejected(INVALID, f"Content-Encoding: {cleaned(encoding)}")
        async for _ in response.aiter_raw():
            pass
        if not self._is_complete:
            self._read_rest(response.headers.get("content-type", ""))
        if not self._is_complete:
            raise Unreachable("the stream ended early")

    def on_bytes(self, data: bytes) -> bool:
        """The sink of the request."""
        deltas: list[Delta] = []
        try:
            self._parse(data, deltas)
        finally:  # deltas before an error are valid
            self._is_complete = self._on_deltas(deltas) or (bool(deltas) and deltas[-1].is_done)
        return self._is_complete

    def _parse(self, data: bytes, deltas: list[Delta]) -> None:
        buffer, start = self._buffer + data if self._buffer else data, 0
        if not self._is_started and _is_no_stream(buffer) is not False:
            self._buffer = buffer
            return self._check_size()
        self._is_started = True
        while start < len(buffer) and (end := _event_end(buffer, start)) > 0:
            delta = _delta(buffer[start:end], self._offset + end, self._surrogates)
            start = end
            if delta:
                deltas.append(delta if self._thinking.is_done else self._sorted(delta))
                if delta.is_done:
                    break
        self._buffer, self._offset = buffer[start:], self._offset + start
        return self._check_size()

    def _check_size(self) -> None:
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise Rejected(INVALID)

    def _sorted(self, delta: Delta) -> Delta:
        """Moves thoughts between tags from the content to the reasoning."""
        thoughts, content = self._thinking.split(delta.content) if delta.content else ("", "")
        if delta.is_done or delta.finish_reason:
            more_thoughts, more_content = self._thinking.rest()
            thoughts, content = thoughts + more_thoughts, content + more_content
        if not self._thinking.is_holding:
            self._safe_offset = delta.offset
        return delta._replace(offset=self._safe_offset, content=content, reasoning=delta.reasoning + thoughts)

    def _read_rest(self, content_type: str) -> None:
        """What came without the end of an event: the last event, a whole answer as JSON, or a web page."""
        body, self._buffer = self._buffer.strip(), b""
        if not body:
            return
        if self._is_started:
            self._is_complete = self._read_last_event(body)
        elif body.startswith(b"<") or "html" in content_type:
            raise Rejected(WEB_PAGE, server_words(body))
        else:
            delta = _whole_answer(body)
            self._on_deltas([delta if self._thinking.is_done else self._sorted(delta)])
            self._is_complete = True

    def _read_last_event(self, event: bytes) -> bool:
        deltas: list[Delta] = []
        try:
            self._parse(event + b"\n\n", deltas)
        except Rejected as error:
            if error.message == INVALID:  # cut off in its middle
                return False
            raise
        return self._on_deltas(deltas) or (bool(deltas) and deltas[-1].is_done)


def _is_no_stream(buffer: bytes) -> bool | None:
    """Whether the body is JSON or a web page instead of events. None if nothing has arrived to tell."""
    start = buffer[:64].removeprefix(BOM).lstrip()[:1]
    return start in (b"{", b"[", b"<") if start else None


def _event_end(buffer: bytes, start: int) -> int:
    """The end of the event at `start`, including its blank line; 0 if the event is incomplete. llama.cpp ends lines
    with LF, others may use CRLF or CR."""
    if b"\r" in buffer:
        found = _BLANK_LINE.search(buffer, start)
        return found.end() if found else 0
    end = buffer.find(b"\n\n", start)
    return end + 2 if end >= 0 else 0


def _delta(event: bytes, offset: int, surrogates: "_SurrogateHalves") -> Delta | None:
    """None for a comment, such as the server's ping. Raises Rejected."""
    data = _data(event)
    if data is None:
        return None
    if data == b"[DONE]":
        return Delta(offset, content=surrogates.rest(), is_done=True)
    if not event.startswith(b"data:") and _EVENT_ERROR.search(event):
        raise Rejected(BROKE_OFF, server_words(data))
    try:
        return _delta_of(_loads(data), "delta", offset, surrogates, data)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError) as error:
        raise Rejected(INVALID, server_words(data)) from error


def _delta_of(body: Any, name: str, offset: int, surrogates: "_SurrogateHalves", data: bytes) -> Delta:
    """Any JSON: a wrong type raises an error of Python."""
    choice = (body.get("choices") or [{}])[0]
    if ("error" in body or "error" in choice or "choices" not in body) and _is_complaint(body, choice):
        raise Rejected(BROKE_OFF, server_words(data))
    delta = choice.get(name) or choice.get("message") or {}
    content = delta.get("content") or delta.get("refusal") or choice.get("text")
    reasoning = delta.get("reasoning_content") or delta.get("reasoning") or delta.get("reasoning_details")
    if isinstance(reasoning, list):
        reasoning = _parts(reasoning)[0] + _parts(reasoning)[1]
    if isinstance(content, list):
        thoughts, content = _parts(content)
        reasoning = (reasoning or "") + thoughts
    reason = choice.get("finish_reason")
    return Delta(
        offset,
        surrogates.join(content) if content else "",
        clean(reasoning) if reasoning else "",
        FINISH_REASONS.get(str(reason).lower(), clean(str(reason)[:100])) if reason else None,
        _numbers(body["usage"]) if "usage" in body else None,
        _numbers(body["timings"]) if "timings" in body else None,
    )


def _is_complaint(body: Any, choice: Any) -> bool:
    has_words = "choices" not in body and any(body.get(name) for name in ("detail", "message", "errors"))
    return has_words or is_error(body) or is_error(choice)


def _parts(parts: list[Any]) -> tuple[str, str]:
    """Thoughts and text of a content in parts, as some servers send them. Unknown parts are left out."""
    thoughts = text = ""
    for part in parts:
        kind = str(part["type"])
        inner = part.get("thinking") or part.get("text") or part.get("summary") or ""
        inner = "".join(_parts(inner)) if isinstance(inner, list) else inner
        if "think" in kind or "reasoning" in kind:
            thoughts += inner
        elif kind in ("text", "output_text"):
            text += inner
    return thoughts, text


def _whole_answer(body: bytes) -> Delta:
    """The answer of a server that does not stream. Raises Rejected if it is none."""
    try:
        value: Any = _loads(body)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not is_error(value) and value.get("choices"):
            delta = _delta_of(value, "message", len(body), _SurrogateHalves(), body)
            return delta._replace(finish_reason=delta.finish_reason or "stop", is_done=True)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError) as error:
        raise Rejected(INVALID, server_words(body)) from error
    code = error_of(body).get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 400
    raise refusal(status, {}, body, server_words(body))


def _data(event: bytes) -> bytes | None:
    if event.startswith(b"data: {") and event.find(b"\n") == len(event) - 2:  # one line, as nearly all are
        return event[6:-2]
    lines = [line[5:].strip() for line in event.removeprefix(BOM).splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def _numbers(value: object, depth: int = 2) -> Numbers | None:
    """The numbers in an object, and in the objects inside it. Everything else that a server may send is dropped."""
    if not isinstance(value, dict) or not depth:
        return None
    kept: Numbers = {}
    for name, item in list(value.items())[:MAX_NUMBERS]:
        if isinstance(item, dict) and (inner := _numbers(item, depth - 1)):
            kept[clean(name[:100])] = inner
        elif isinstance(item, int | float) and not isinstance(item, bool) and abs(item) < 1e15:
            kept[clean(name[:100])] = item
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
