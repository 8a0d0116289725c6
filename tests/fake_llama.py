"""A scripted stand-in for llama.cpp's server: `python -m tests.fake_llama --port 8081`, or `with running() as url:`.

The last user message chooses the answer: a JSON object is a `Script`, anything else gets Markdown made from it, always the
same. `GET /__seen` tells what was asked, `POST /__control` changes the `Settings`, `POST /__reset` forgets everything.
Shapes, error bodies and manners are those measured on llama.cpp in October 2026.
"""

import argparse
import asyncio
import base64
import contextlib
import dataclasses
import json
import math
import os
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, ClassVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

MODEL = "fake-llama"
KEEP_SECONDS = 300  # how long a finished stream can be replayed
PLAIN_PATHS = ("/v1/models", "/v1/chat/completions")  # all that a server other than llama.cpp has
ERROR_TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 503: "unavailable_error"}
HTML_ERROR = "<html><body><h1>Error</h1><p>secret-host:/srv/llama/server.cpp:450</p></body></html>"  # no user may see this
WORDS = ["river", "stone", "naïve", "lantern", "über", "quiet", "thread", "東京", "meadow", "signal", "🙂", "copper", "maple", "ember"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What `/__control` can change at any time, for what comes after."""

    slots: int = 4
    replay: bool = True  # False: any OpenAI-compatible server, without /health, /props, /v1/stream and prefill
    delay_ms: float = 5  # per token
    first_delay_ms: float = 0  # reading the prompt
    loading_seconds: float = 0  # 503 from now on for so long
    down: bool = False  # every connection is reset; what ran or could be replayed is gone, as after a restart
    api_key: str = ""
    models: tuple[str, ...] = (MODEL,)
    n_ctx: int = 32768  # tokens of one slot
    ring_bytes: int = 4 << 20  # what can be replayed of one stream
    ping_seconds: float = 30  # of silence, then a comment
    deaf_in_prompt: bool = True  # as llama.cpp: a stop before the first token frees the slot only there


@dataclasses.dataclass(frozen=True)
class Script:
    """A fault strikes before token n of the whole answer, but not again in a continuation that starts there."""

    text: str = ""
    tokens: list[str] = dataclasses.field(default_factory=list)  # instead of text, cut just so; lone surrogates are welcome
    reasoning: str = ""  # streamed first, its tokens count
    repeat: int = 1
    delay_ms: float | None = None
    first_delay_ms: float | None = None
    rate: float = 0  # tokens a second, instead of delay_ms
    finish_reason: str = ""
    raw: str = ""  # base64 of bytes written after the tokens; then nothing more, unless finish_reason is given
    status: int = 0  # an HTTP error instead of an answer
    body: str = "json"  # of that error: json, html, empty
    hang_after: int | None = None  # silent for ever; at -1 without headers
    rst_after: int | None = None  # the listeners' connections are reset; the answer goes on if it can be replayed
    error_after: int | None = None  # an error event, no [DONE]
    times: int | None = None  # faults strike only the first so many requests of this script


class Refused(Exception):
    def __init__(self, status: int, message: str, **more: Any) -> None:
        self.status = status
        self.body = {"error": {"code": status, "message": message, "type": ERROR_TYPES.get(status, "server_error")} | more}

    def answer(self) -> Response:
        return JSONResponse(self.body, self.status)


class Stream:
    """One answer: its bytes so far, and who waits for more."""

    def __init__(self, key: str, ring_bytes: int) -> None:
        self.key, self.ring_bytes = key, ring_bytes  # without a key nobody can come back for it
        self.ring, self.dropped = bytearray(), 0
        self.launched, self.changed = asyncio.Event(), asyncio.Event()
        self.done, self.tokens, self.started_at, self.completed_at = False, 0, int(time.time()), 0
        self.listeners: set[asyncio.Transport] = set()
        self.task: asyncio.Task[None]

    def about(self) -> dict[str, Any]:
        times = {"started_at": self.started_at, "completed_at": self.completed_at}
        return {"conversation_id": self.key, "is_done": self.done, "total_bytes": self.dropped + len(self.ring)} | times

    def write(self, data: bytes) -> None:
        if not self.done:
            self.ring += data
            if self.key and (surplus := len(self.ring) - self.ring_bytes) > 0:
                del self.ring[:surplus]
                self.dropped += surplus
            self.wake()

    def finish(self) -> None:
        if not self.done:
            self.done, self.completed_at = True, int(time.time())
            self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    async def tail(self, offset: int) -> AsyncIterator[bytes]:
        while True:
            changed = self.changed
            if self.dropped <= offset < self.dropped + len(self.ring):
                data = bytes(self.ring[offset - self.dropped :])
                offset += len(data)
                yield data
            elif self.done or offset < self.dropped:
                return
            else:
                await changed.wait()


class Tail(Response):
    """A stream from an offset on, live, until it ends or the client goes away."""

    HEADERS: ClassVar = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]

    def __init__(self, stream: Stream, offset: int = 0, *, left: Callable[[], None] | None = None) -> None:
        self.stream, self.offset, self.left = stream, offset, left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.stream.listeners.add(scope["transport"])
        sending, leaving = asyncio.ensure_future(self.send_all(send)), asyncio.ensure_future(gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            elif self.left:
                self.left()
        finally:
            sending.cancel()
            leaving.cancel()
            self.stream.listeners.discard(scope["transport"])

    async def send_all(self, send: Send) -> None:
        if self.left:  # whoever asked sees nothing, not even headers, before there is a slot
            await self.stream.launched.wait()
        await send({"type": "http.response.start", "status": 200, "headers": self.HEADERS})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        async for data in self.stream.tail(self.offset):
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class FakeLlama:
    """One server, an ASGI app."""

    settings: Settings
    streams: dict[str, Stream]

    def __init__(self, **settings: Any) -> None:
        routes = [
            Route("/health", self.health),
            Route("/props", self.props),
            Route("/v1/models", self.models),
            Route("/v1/chat/completions", self.complete, methods=["POST"]),
            # Replay
            Route("/v1/stream", self.replay, methods=["GET"]),
            Route("/v1/stream", self.delete, methods=["DELETE"]),
            Route("/v1/streams/lookup", self.lookup, methods=["POST"]),
            # What only tests ask
            Route("/__seen", self.seen),
            Route("/__control", self.control, methods=["POST"]),
            Route("/__reset", self.reset, methods=["POST"]),
        ]
        nothing = Refused(404, "File Not Found").answer()
        refusals: Any = {Refused: lambda _, refused: refused.answer(), 404: lambda *_: nothing, 405: lambda *_: nothing}
        self.app = Starlette(routes=routes, exception_handlers=refusals)
        self.first_settings, self.live = Settings(**settings), set[Stream]()
        self.forget()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Resets connections when down, takes notes, refuses what the real server refuses everywhere."""
        scope["transport"] = send.__self__.transport  # type: ignore[attr-defined]  # uvicorn's; ASGI has no word for a reset
        request = Request(scope)
        if request.url.path.startswith("/__"):
            return await self.app(scope, receive, send)
        if self.settings.down:
            cut_off(scope["transport"])
            return await gone(receive)
        query, headers = dict(request.query_params), dict(request.headers)
        scope["note"] = {"method": scope["method"], "path": request.url.path, "query": query, "headers": headers}
        self.notes.append(scope["note"])
        answer: Any = self.app
        if not self.settings.replay and request.url.path not in PLAIN_PATHS:
            answer = Refused(404, "File Not Found").answer()
        elif time.monotonic() < self.loading_until:
            answer = Refused(503, "Loading model").answer()
        elif request.url.path != "/health" and self.settings.api_key and headers.get("authorization") != f"Bearer {self.settings.api_key}":
            answer = Refused(401, "Invalid API Key").answer()
        return await answer(scope, receive, send)  # type: ignore[no-any-return]

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def props(self, request: Request) -> Response:
        slot = {"params": {"max_tokens": -1, "n_predict": -1, "stream": False}, "n_ctx": self.settings.n_ctx}
        about = {"model_alias": MODEL, "model_path": MODEL, "build_info": "b0-fake", "is_sleeping": False}
        return JSONResponse({"default_generation_settings": slot, "total_slots": self.settings.slots} | about)

    async def models(self, request: Request) -> Response:
        meta = {"n_ctx": self.settings.n_ctx, "n_ctx_train": self.settings.n_ctx}
        data = [{"id": model, "object": "model", "owned_by": "llamacpp", "meta": meta} for model in self.settings.models]
        return JSONResponse({"object": "list", "data": data})

    async def complete(self, request: Request) -> Response:
        body = await noted_json(request)
        messages, prefix = validated(body, self.settings)
        asked = next((plain(m) for m in reversed(messages) if m.get("role") == "user"), "")
        self.asked[asked] += 1
        script = scripted(asked, self.asked[asked])
        if script.status:
            error = Refused(script.status, "scripted error at secret-host:/srv/llama/server.cpp:450").answer()
            return error if script.body == "json" else HTMLResponse(HTML_ERROR if script.body == "html" else "", script.status)
        key = request.headers.get("x-conversation-id", "") if self.settings.replay else ""
        stream = Stream(key, self.settings.ring_bytes)
        if key:
            self.stop(key)
            self.streams[key] = stream
            self.posts[key] += 1
        self.live.add(stream)
        self.count["started"] += 1
        stream.task = asyncio.create_task(self.generate(stream, script, body, prefix))
        return Tail(stream, left=lambda: self.abandon(stream))

    async def generate(self, stream: Stream, script: Script, body: dict[str, Any], prefix: str) -> None:
        ended = "cancelled"
        try:
            if script.hang_after == -1:
                await asyncio.sleep(math.inf)
            async with self.slots:
                stream.launched.set()
                ended = await self.speak(stream, script, body, prefix)
        finally:
            self.count[ended] += 1
            self.live.discard(stream)
            stream.finish()
            stream.launched.set()
            asyncio.get_running_loop().call_later(KEEP_SECONDS, self.expire, stream)

    async def speak(self, stream: Stream, script: Script, body: dict[str, Any], prefix: str) -> str:
        """Writes the answer, paced, and tells how it ended."""
        now, delay, first_delay = asyncio.get_running_loop().time, *paces(script, self.settings)
        start, pieces = after(prefix, script)
        limit = body.get("max_tokens", -1)
        end = len(pieces) if limit is None or limit < 0 else min(len(pieces), start + limit)
        head, tail = envelope()
        due = now() + first_delay
        for at in range(start, end + 1):
            await self.silence(stream, due - now())
            if stream.done:
                return "cancelled"
            due = max(due + delay, now())
            if at > start or not prefix:
                if at == script.hang_after:
                    await self.silence(stream, math.inf)
                if at == script.rst_after:
                    await asyncio.sleep(0.02)  # what was written arrives first
                    cut_off(*stream.listeners)
                if at == script.error_after:
                    stream.write(b"data: " + encode(Refused(500, "scripted error").body) + b"\n\n")
                    return "failed"
            if at == start:
                stream.write(head + b'null,"index":0,"delta":{"role":"assistant","content":null}}]' + tail + b"}\n\n")
            if at < end:
                field, text = pieces[at]
                stream.tokens += 1
                stream.write(head + b'null,"index":0,"delta":{"' + field + b'":' + encode(text) + b"}}]" + tail + b"}\n\n")
        stream.write(base64.b64decode(script.raw))
        if script.finish_reason or not script.raw:
            finish = head + encode(script.finish_reason or ("length" if end < len(pieces) else "stop")) + b',"index":0,"delta":{}}]' + tail
            usage, timings = accounts(body, stream.tokens, delay)
            if (body.get("stream_options") or {}).get("include_usage"):
                finish += b'}\n\ndata: {"choices":[]' + tail + b',"usage":' + encode(usage)
            stream.write(finish + b',"timings":' + encode(timings) + b"}\n\ndata: [DONE]\n\n")
        return "completed"

    async def silence(self, stream: Stream, seconds: float) -> None:
        while seconds > self.settings.ping_seconds:
            await asyncio.sleep(self.settings.ping_seconds)
            seconds -= self.settings.ping_seconds
            stream.write(b":\n\n")
        await asyncio.sleep(max(0, seconds))

    def abandon(self, stream: Stream) -> None:
        """The client that asked is gone: this ends what nobody can come back for, and what still waits for a slot."""
        if not stream.launched.is_set():
            self.expire(stream)
            stream.task.cancel()
        elif not stream.key:
            self.cancel(stream)

    def stop(self, key: str) -> None:
        if stream := self.streams.pop(key, None):
            self.cancel(stream)

    def cancel(self, stream: Stream) -> None:
        stream.finish()
        if stream.tokens or not self.settings.deaf_in_prompt:
            stream.task.cancel()

    def expire(self, stream: Stream) -> None:
        if self.streams.get(stream.key) is stream:
            del self.streams[stream.key]

    async def replay(self, request: Request) -> Response:
        key, offset = conversation(request), request.query_params.get("from", "0")
        if not re.fullmatch(r"-?\d+", offset):
            raise Refused(400, "Invalid 'from' offset")
        if not (stream := self.streams.get(key)):
            raise Refused(404, "File Not Found")
        if 0 <= int(offset) < stream.dropped:
            raise Refused(400, "Stream offset lost, please restart")
        return Tail(stream, int(offset) % 2**64)

    async def delete(self, request: Request) -> Response:
        self.stop(conversation(request))
        return Response(status_code=204)

    async def lookup(self, request: Request) -> Response:
        keys = (await noted_json(request)).get("conversation_ids", [])
        return JSONResponse([self.streams[key].about() for key in keys if key in self.streams])

    async def seen(self, request: Request) -> Response:
        active = sum(stream.launched.is_set() for stream in self.live)
        counters = dict(self.count) | {"active": active, "waiting": len(self.live) - active}
        conversations: dict[str, dict[str, Any]] = {key: {"posts": posts} for key, posts in self.posts.items()}
        for key, stream in self.streams.items():
            conversations[key] |= stream.about() | {"tokens": stream.tokens, "listeners": len(stream.listeners)}
        return JSONResponse({"requests": self.notes, "counters": counters, "conversations": conversations})

    async def control(self, request: Request) -> Response:
        body = await request.json()
        try:
            self.settings = dataclasses.replace(self.settings, **body)
        except TypeError as error:
            raise Refused(400, str(error)) from error
        if "slots" in body:
            self.slots = asyncio.Semaphore(self.settings.slots)
        if "loading_seconds" in body:
            self.loading_until = time.monotonic() + self.settings.loading_seconds
        if self.settings.down:
            self.drop()
        return JSONResponse(dataclasses.asdict(self.settings))

    async def reset(self, request: Request) -> Response:
        self.drop()
        self.forget()
        return Response(status_code=204)

    def drop(self) -> None:
        self.streams = {}
        for stream in self.live:
            cut_off(*stream.listeners)
            stream.task.cancel()

    def forget(self) -> None:
        self.settings, self.streams = self.first_settings, {}
        self.loading_until = time.monotonic() + self.settings.loading_seconds
        self.slots = asyncio.Semaphore(self.settings.slots)
        self.notes, self.asked, self.posts = list[dict[str, Any]](), Counter[str](), Counter[str]()
        self.count = Counter(started=0, completed=0, failed=0, cancelled=0)


async def gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def cut_off(*transports: asyncio.Transport) -> None:
    """Ends connections with a TCP reset: lingering for zero seconds, on a second descriptor as uvloop hides the socket."""
    for transport in transports:
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


async def noted_json(request: Request) -> dict[str, Any]:
    text = await request.body()
    try:
        body = request.scope["note"]["body"] = json.loads(text)
    except ValueError as error:
        request.scope["note"]["body"] = repr(text)
        raise Refused(400, f"[json.exception.parse_error.101] parse error: {error}") from error
    return body if isinstance(body, dict) else {}


def conversation(request: Request) -> str:
    if not (key := request.query_params.get("conv_id")):
        raise Refused(400, "Missing conversation id in path")
    return key


def validated(body: dict[str, Any], settings: Settings) -> tuple[list[dict[str, Any]], str]:
    """The messages, and the beginning of the answer that is to be continued."""
    if "messages" not in body:
        raise Refused(400, "'messages' is required")
    if not isinstance(messages := body["messages"], list):
        raise Refused(400, "Expected 'messages' to be an array")
    if not body.get("stream"):
        raise Refused(400, "fake_llama only streams")
    if not settings.replay:
        return messages, ""
    if body.get("continue_final_message") and body.get("add_generation_prompt", True):
        raise Refused(400, "Cannot set both add_generation_prompt and continue_final_message to true.")
    roles = [m.get("role") for m in messages]
    if roles[-2:] == ["assistant", "assistant"]:
        raise Refused(400, "Cannot have 2 or more assistant messages at the end of the list.")
    if (n := accounts(body, 0, 0)[0]["prompt_tokens"]) >= settings.n_ctx:
        message = f"request ({n} tokens) exceeds the available context size ({settings.n_ctx} tokens), try increasing it"
        raise Refused(400, message, type="exceed_context_size_error", n_prompt_tokens=n, n_ctx=settings.n_ctx)
    return messages, plain(messages[-1]) if roles[-1:] == ["assistant"] else ""


def plain(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def scripted(asked: str, time_asked: int) -> Script:
    try:
        script = json.loads(asked) if asked.lstrip().startswith("{") else {}
    except ValueError:
        script = {}
    known = {field.name for field in dataclasses.fields(Script)}
    if not known & script.keys():
        return Script(text=prose(asked))
    if unknown := script.keys() - known:
        raise Refused(400, f"fake_llama: no such word in a script: {sorted(unknown)}")
    if script.get("times", math.inf) < time_asked:
        script = {word: value for word, value in script.items() if word not in ("status", "hang_after", "rst_after", "error_after")}
    return Script(**({} if script.keys() & {"text", "tokens", "raw"} else {"text": prose(asked)}) | script)


def prose(asked: str) -> str:
    pick = random.Random(asked)

    def sentence(words: int) -> str:
        return " ".join(pick.choices(WORDS, k=words)).capitalize() + "."

    topic = " ".join(re.findall(r"\w+", asked)[:6])
    items = "".join(f"- **{pick.choice(WORDS)}**: {sentence(6)}\n" for _ in range(3))
    rows = "".join(f"| {pick.choice(WORDS)} | {pick.randrange(1000)} |\n" for _ in range(3))
    code = f'def scale(x):\n    return x * {pick.randrange(100)}  # <b> & "quotes"'
    table = f"| name | count |\n| --- | ---: |\n{rows}"
    return f"## About {topic}\n\n{sentence(14)} {sentence(9)}\n\n{items}\n{table}\n```python\n{code}\n```\n\n{sentence(12)}"


def cut(text: str) -> list[str]:
    return re.findall(r" ?\w{1,5}|.", text, re.DOTALL)


def after(prefix: str, script: Script) -> tuple[int, list[tuple[bytes, str]]]:
    """Where to go on after a prefix, and all tokens of the answer; a prefix that ends within a token leaves its rest."""
    thoughts = cut(script.reasoning)
    tokens = (script.tokens or cut(script.text)) * script.repeat
    if not "".join(tokens).startswith(prefix):
        return 0, [(b"content", "[fake_llama: this answer does not begin so]")]
    at, left = 0, len(prefix)
    while left and left >= len(tokens[at]):
        left -= len(tokens[at])
        at += 1
    if left:
        tokens[at] = tokens[at][left:]
    pieces = [(b"reasoning_content", thought) for thought in thoughts] + [(b"content", token) for token in tokens]
    return len(thoughts) + at if prefix else 0, pieces


def paces(script: Script, settings: Settings) -> tuple[float, float]:
    """Seconds per token, and before the first."""
    delay_ms = settings.delay_ms if script.delay_ms is None else script.delay_ms
    first_delay_ms = settings.first_delay_ms if script.first_delay_ms is None else script.first_delay_ms
    return 1 / script.rate if script.rate else delay_ms / 1000, first_delay_ms / 1000


def envelope() -> tuple[bytes, bytes]:
    """What comes before a chunk's finish_reason, and after its choices."""
    about = {"created": int(time.time()), "id": f"chatcmpl-{random.randbytes(16).hex()}", "model": MODEL, "system_fingerprint": "b0-fake"}
    return b'data: {"choices":[{"finish_reason":', b"," + encode(about | {"object": "chat.completion.chunk"})[1:-1]


def encode(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half an emoji can only be written escaped
        return json.dumps(value).encode()


def accounts(body: dict[str, Any], tokens: int, delay: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Usage and timings; times that nobody should rely on are made up."""
    prompt, ms, per_second = sum(len(cut(plain(message))) + 4 for message in body["messages"]), delay * 1000, 1 / (delay or 1e-6)
    usage = {"completion_tokens": tokens, "prompt_tokens": prompt, "total_tokens": prompt + tokens}
    read = {"cache_n": 0, "prompt_n": prompt, "prompt_ms": 1.0 * prompt, "prompt_per_token_ms": 1.0, "prompt_per_second": 1000.0}
    spoken = {"predicted_n": tokens, "predicted_ms": ms * tokens, "predicted_per_token_ms": ms, "predicted_per_second": per_second}
    return usage | {"prompt_tokens_details": {"cached_tokens": 0}}, read | spoken


@contextlib.contextmanager
def running(port: int = 0, **settings: Any) -> Iterator[str]:
    """Serves in a thread; gives its URL."""
    config = uvicorn.Config(FakeLlama(**settings), log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    server, listening = uvicorn.Server(config), socket.create_server(("127.0.0.1", port))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listening.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--no-replay", action="store_true", help="behave like a server that is not llama.cpp")
    given = parser.parse_args()
    app = FakeLlama(slots=given.slots, replay=not given.no_replay)
    uvicorn.run(app, host=given.host, port=given.port, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
