"""The model server, as this service sees it: its health, and answers as a stream of pieces.

llama.cpp can do more than other OpenAI-compatible servers: it tells its slots, and it keeps a stream for whoever
comes back (`X-Conversation-Id`). What a server lacks is done without.
"""

import asyncio
import json
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode

import httpx
import orjson

from kit.text import clean
from web.wire import Body, Wire

CONNECT_SECONDS = 2.0
ASK_SECONDS = 3.0
READY_CHECK_SECONDS, DOUBT_CHECK_SECONDS = 5.0, 0.5
MOST_CONNECTIONS = 10_000  # how many answers there are at once is not decided here
MOST_NUMBERS = 50
LONGEST_EVENT = 1_000_000  # bytes; a model server that sends more without an event's end is broken

TOO_LONG = "This is longer than the model can read at once. Please shorten it, or start a new chat."

Health = Literal["ready", "loading", "down"]
logger = logging.getLogger("web.llama")


class Piece(NamedTuple):
    """What one event of the stream added. `offset` counts the stream's bytes up to this event's end."""

    offset: int
    content: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    timings: dict[str, Any] | None = None
    done: bool = False


class ModelError(Exception):
    """Base of what can go wrong between us and the model server."""


class Unreachable(ModelError):
    """Nobody is there, or the connection broke: it may come back."""


class Loading(ModelError):
    """It is there and still reads its model."""


class Gone(ModelError):
    """The stream that was asked for is not kept (any more)."""


class Rejected(ModelError):
    """It will not do it, and asking again will not help. `sentence` is for the user."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class TooLong(ModelError):
    """The prompt does not fit: it has `tokens`, the model can read `context`."""

    def __init__(self, tokens: int, context: int) -> None:
        super().__init__()
        self.tokens, self.context = tokens, context


class Llama:
    def __init__(self, url: str, key: str, slots: int) -> None:
        self._server = httpx.URL(url.rstrip("/").removesuffix("/v1").rstrip("/"))
        self._headers = _authorization(self._server, key)
        self._default_slots = slots
        self._wire = Wire(most=MOST_CONNECTIONS, idle=20)
        self.slots = slots
        self.keeps_streams = self.continues = False  # learned: can a stream be resumed, can a text be continued
        self.learned = False
        self.context: int | None = None  # tokens that one answer and its prompt may have together
        self.models: list[str] = []
        self.state: Health = "down"
        self._doubted = asyncio.Event()

    async def run(self, on_change: Callable[[], None]) -> None:
        """Keeps `state` true: asks now and then, and often while the server is not ready."""
        while True:
            state = await self.health()
            self._doubted.clear()
            if state == "ready" and not self.learned:
                await self.learn()
            if state != self.state:
                self.state = state
                self.learned = self.learned and state == "ready"
                on_change()
            try:
                async with asyncio.timeout(READY_CHECK_SECONDS if state == "ready" else DOUBT_CHECK_SECONDS):
                    await self._doubted.wait()
            except TimeoutError:
                pass

    def doubt(self) -> None:
        """A request has failed: look again now. Another server may be there, which can do more or less."""
        self.learned = False
        self._doubted.set()

    async def health(self) -> Health:
        """Asks /health, or /v1/models where there is none."""
        try:
            answer = await self._call("GET", "/health")
            if answer.status_code == 404:
                answer = await self._call("GET", "/v1/models")
        except httpx.HTTPError:
            return "down"
        if answer.status_code == 503:
            return "loading"
        return "ready" if answer.is_success else "down"

    async def learn(self) -> None:
        """What this server can do: llama.cpp tells its slots, keeps streams and continues a text; vLLM and SGLang continue a text."""
        properties, models = await self._json("/props"), await self._json("/v1/models")
        slots = properties.get("total_slots")
        self.keeps_streams = isinstance(slots, int)
        self.slots = slots if isinstance(slots, int) and slots > 0 else self._default_slots
        listed = models["data"] if isinstance(models.get("data"), list) else []
        makers = {str(model.get("owned_by")) for model in listed if isinstance(model, dict)}
        self.continues = self.keeps_streams or bool(makers & {"vllm", "sglang"})
        generation = properties.get("default_generation_settings")
        context = generation.get("n_ctx") if isinstance(generation, dict) else None
        self.context = context if isinstance(context, int) and context > 0 else None
        self.models = [str(model["id"]) for model in listed if isinstance(model, dict) and "id" in model]
        self.learned = True

    @asynccontextmanager
    async def ask(self, request: dict[str, Any], key: str) -> AsyncIterator["Stream"]:
        """Asks for an answer. Raises a ModelError, also while reading."""
        body = orjson.dumps({**request, "stream": True, "stream_options": {"include_usage": True}})
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream", "X-Conversation-Id": key}
        async with self._stream("POST", "/v1/chat/completions", headers, body) as response:
            yield Stream(response, 0)

    @asynccontextmanager
    async def resume(self, key: str, offset: int) -> AsyncIterator["Stream"]:
        """The stream of an earlier `ask`, from this byte on. Raises Gone if it is not kept, or another ModelError."""
        async with self._stream("GET", f"/v1/stream?{urlencode({'conv_id': key, 'from': offset})}", {}) as response:
            yield Stream(response, offset)

    async def forget(self, key: str) -> None:
        """Stops the stream of this name, and lets the server drop what it kept of it."""
        if not self.keeps_streams:
            return
        try:
            await self._call("DELETE", f"/v1/stream?{urlencode({'conv_id': key})}")
        except httpx.HTTPError as error:
            logger.warning("could not end a stream: %s", type(error).__name__)

    async def close(self) -> None:
        await self._wire.aclose()

    async def _call(self, method: str, target: str) -> httpx.Response:
        path = self._server.path.rstrip("/") + target
        async with self._wire.answer(method, self._server, path, self._headers, connect=CONNECT_SECONDS, read=ASK_SECONDS) as response:
            await response.aread()
        return response

    async def _json(self, path: str) -> dict[str, Any]:
        """An object, or an empty one for whatever else comes."""
        try:
            answer = await self._call("GET", path)
            body = orjson.loads(answer.content) if answer.is_success else {}
        except (httpx.HTTPError, ValueError):
            return {}
        return body if isinstance(body, dict) else {}

    @asynccontextmanager
    async def _stream(self, method: str, target: str, headers: dict[str, str], body: bytes | None = None) -> AsyncIterator[httpx.Response]:
        """Without a limit of time: the caller watches the stream itself."""
        path, headers = self._server.path.rstrip("/") + target, self._headers | headers
        try:
            async with self._wire.answer(method, self._server, path, headers, body, connect=CONNECT_SECONDS) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise _refusal(response, kept=method == "GET")
                yield response
        except httpx.HTTPError as error:
            raise Unreachable(type(error).__name__) from error


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
        while (end := _event_end(buffer, start)) > 0:
            piece = _piece(buffer[start:end], self._offset + end, self._halves)
            start = end
            if piece:
                pieces.append(piece)
                if piece.done:
                    break
        self._buffer, self._offset = buffer[start:], self._offset + start
        if len(self._buffer) > LONGEST_EVENT:
            raise Rejected("The model server sent something that is no answer.")


def _authorization(server: httpx.URL, key: str) -> dict[str, str]:
    """By the key; without one, by user and password if the address has them."""
    if key:
        return {"Authorization": f"Bearer {key}"}
    return {"Authorization": f"Basic {b64encode(f'{server.username}:{server.password}'.encode()).decode()}"} if server.userinfo else {}


def _refusal(response: httpx.Response, kept: bool) -> ModelError:
    """What a status other than 200 means, without showing the server's own words but where they help."""
    status, error = response.status_code, _error(response.content)
    if kept and 400 <= status < 500:
        return Gone()
    if status == 503:
        return Loading()
    if error.get("type") == "exceed_context_size_error":
        tokens, context = error.get("n_prompt_tokens"), error.get("n_ctx")
        return TooLong(tokens, context) if isinstance(tokens, int) and isinstance(context, int) else Rejected(TOO_LONG)
    if status in (401, 403):
        return Rejected("The model server refuses our key. Whoever runs this server has to set LLAMA_API_KEY.")
    if status == 429:
        return Rejected("The model server has too much to do. Please try again in a moment.")
    if status >= 500:
        return Rejected("The model server failed while it read the question. Please try again.")
    return Rejected("The model server does not accept this request.")


def _error(body: bytes) -> dict[str, Any]:
    try:
        error = orjson.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


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
        return Piece(
            offset,
            content=halves.join(delta.get("content") or ""),
            reasoning=clean(delta.get("reasoning_content") or ""),
            finish_reason=str(choice["finish_reason"])[:100] if choice.get("finish_reason") else None,
            usage=_numbers(body.get("usage")),
            timings=_numbers(body.get("timings")),
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
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        if not text.isascii():
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return clean(text)

    def rest(self) -> str:
        return clean(self._half)
