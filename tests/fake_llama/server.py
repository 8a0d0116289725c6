"""The server: its routes, its slots, and the pace at which answers are written."""

import asyncio
import base64
import contextlib
import dataclasses
import math
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.fake_llama.scripts import MODEL, Script, Settings, continuation, delays
from tests.fake_llama.shapes import (
    HTML_ERROR,
    Refused,
    conversation,
    encode,
    envelope,
    following,
    plain,
    read_json,
    scripted,
    usage_and_timings,
    validated,
)
from tests.fake_llama.streams import AnswerStream, StreamResponse, reset_connections, wait_disconnect

KEEP_SECONDS = 300  # a finished stream can be replayed this long
PLAIN_PATHS = ("/v1/models", "/v1/chat/completions")  # the only paths without replay


class FakeLlama:
    settings: Settings
    streams: dict[str, AnswerStream]
    count: Counter[str]
    peak: int  # answers at once

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
            # For tests only
            Route("/__seen", self.seen),
            Route("/__control", self.control, methods=["POST"]),
            Route("/__reset", self.reset, methods=["POST"]),
        ]
        nothing = Refused(404, "File Not Found").response()
        refusals: Any = {
            Refused: lambda _, refused: refused.response(),
            404: lambda *_: nothing,
            405: lambda *_: nothing,
        }
        self.app = Starlette(routes=routes, exception_handlers=refusals)
        self.first_settings, self.live = Settings(**settings), set[AnswerStream]()
        self.initialize()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reset connections when down, record the request, and refuse what the real server refuses on every path."""
        scope["transport"] = send.__self__.transport  # type: ignore[attr-defined]  # uvicorn's; ASGI cannot reset a connection
        request = Request(scope)
        if request.url.path.startswith("/__"):
            return await self.app(scope, receive, send)
        if self.settings.down:
            reset_connections(scope["transport"])
            return await wait_disconnect(receive)
        query, headers = dict(request.query_params), dict(request.headers)
        scope["note"] = {"method": scope["method"], "path": request.url.path, "query": query, "headers": headers}
        self.notes.append(scope["note"])
        app: Any = self.app
        if not self.settings.replay and request.url.path not in PLAIN_PATHS:
            app = Refused(404, "File Not Found").response()
        elif time.monotonic() < self.loading_until:
            app = Refused(503, "Loading model").response()
        elif request.url.path != "/health" and not self.is_authorized(headers):
            app = Refused(401, "Invalid API Key").response()
        return await app(scope, receive, send)  # type: ignore[no-any-return]

    def is_authorized(self, headers: dict[str, str]) -> bool:
        key = self.settings.api_key
        return not key or headers.get("authorization") == f"Bearer {key}"

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def props(self, request: Request) -> Response:
        sampling = {"seed": 4294967295, "temperature": 0.800000011920929, "top_k": 40, "top_p": 0.949999988079071}
        sampling |= {"min_p": 0.05000000074505806, "repeat_penalty": 1.0}
        parameters = {**sampling, "max_tokens": -1, "n_predict": -1, "stream": False}
        slot = {"params": parameters, "n_ctx": self.settings.n_ctx}
        about = {"model_alias": MODEL, "model_path": MODEL, "build_info": "b0-fake", "is_sleeping": False}
        return JSONResponse({"default_generation_settings": slot, "total_slots": self.settings.slots} | about)

    async def models(self, request: Request) -> Response:
        meta = {"n_ctx": self.settings.n_ctx, "n_ctx_train": self.settings.n_ctx}
        meta |= {"n_params": self.settings.n_params} if self.settings.n_params else {}
        data = [
            {"id": model, "object": "model", "owned_by": "llamacpp", "meta": meta} for model in self.settings.models
        ]
        return JSONResponse({"object": "list", "data": data})

    async def complete(self, request: Request) -> Response:
        body = await read_json(request)
        messages, prefix = validated(body, self.settings)
        earlier, message = ["", "", *(plain(each) for each in messages if each.get("role") == "user")][-2:]
        self.times[message] += 1
        script = following(earlier, message) or scripted(message, self.times[message])
        if script.status:
            error = Refused(script.status, "scripted error at secret-host:/srv/llama/server.cpp:450").response()
            return (
                error
                if script.body == "json"
                else HTMLResponse(HTML_ERROR if script.body == "html" else "", script.status)
            )
        key = request.headers.get("x-conversation-id", "") if self.settings.replay else ""
        stream = AnswerStream(key, self.settings.ring_bytes)
        if key:
            self.stop(key)
            self.streams[key] = stream
            self.posts[key] += 1
        self.live.add(stream)
        self.peak = max(self.peak, len(self.live))
        self.count["started"] += 1
        stream.task = asyncio.create_task(self.generate(stream, script, body, prefix))
        return StreamResponse(stream, on_disconnect=lambda: self.abandon(stream))

    async def generate(self, stream: AnswerStream, script: Script, body: dict[str, Any], prefix: str) -> None:
        outcome = "cancelled"
        try:
            if script.hang_after == -1:
                await asyncio.sleep(math.inf)
            async with self.slots:
                stream.launched.set()
                outcome = await self.write_answer(stream, script, body, prefix)
        finally:
            self.count[outcome] += 1
            self.live.discard(stream)
            stream.finish()
            stream.launched.set()
            asyncio.get_running_loop().call_later(KEEP_SECONDS, self.expire, stream)

    async def write_answer(self, stream: AnswerStream, script: Script, body: dict[str, Any], prefix: str) -> str:
        """Write the answer at the configured pace. Returns its outcome: completed, failed or cancelled."""
        now, delay, first_delay = asyncio.get_running_loop().time, *delays(script, self.settings)
        start, pairs = continuation(prefix, script)
        limit = body.get("max_tokens", -1)
        end = len(pairs) if limit is None or limit < 0 else min(len(pairs), start + limit)
        head, tail = envelope()
        due = now() + first_delay
        for at in range(start, end + 1):
            await self.pause(stream, due - now())
            if stream.done:
                return "cancelled"
            due = max(due + delay, now())
            if at > start or not prefix:
                if at == script.hang_after:
                    await self.pause(stream, math.inf)
                if at == script.rst_after:
                    await asyncio.sleep(0.02)  # so that the previous bytes arrive first
                    reset_connections(*stream.listeners)
                if at == script.error_after:
                    stream.write(b"data: " + encode(Refused(500, "scripted error").body) + b"\n\n")
                    return "failed"
            if at == start:
                stream.write(head + b'null,"index":0,"delta":{"role":"assistant","content":null}}]' + tail + b"}\n\n")
            if at < end:
                field, text = pairs[at]
                stream.tokens += 1
                stream.write(
                    head + b'null,"index":0,"delta":{"' + field + b'":' + encode(text) + b"}}]" + tail + b"}\n\n"
                )
        stream.write(base64.b64decode(script.raw))
        if script.finish_reason or not script.raw:
            finish = (
                head
                + encode(script.finish_reason or ("length" if end < len(pairs) else "stop"))
                + b',"index":0,"delta":{}}]'
                + tail
            )
            usage, timings = usage_and_timings(body, stream.tokens, delay)
            if (body.get("stream_options") or {}).get("include_usage"):
                finish += b'}\n\ndata: {"choices":[]' + tail + b',"usage":' + encode(usage)
            stream.write(finish + b',"timings":' + encode(timings) + b"}\n\ndata: [DONE]\n\n")
        return "completed"

    async def pause(self, stream: AnswerStream, seconds: float) -> None:
        while seconds > self.settings.ping_seconds:
            await asyncio.sleep(self.settings.ping_seconds)
            seconds -= self.settings.ping_seconds
            stream.write(b":\n\n")
        await asyncio.sleep(max(0, seconds))

    def abandon(self, stream: AnswerStream) -> None:
        """Handle a disconnect: cancel the answer if it cannot be replayed, or if it still waits for a slot."""
        if not stream.launched.is_set():
            self.expire(stream)
            stream.task.cancel()
        elif not stream.key:
            self.cancel(stream)

    def stop(self, key: str) -> None:
        if stream := self.streams.pop(key, None):
            self.cancel(stream)

    def cancel(self, stream: AnswerStream) -> None:
        stream.finish()
        if stream.tokens or not self.settings.deaf_in_prompt:
            stream.task.cancel()

    def expire(self, stream: AnswerStream) -> None:
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
        return StreamResponse(stream, int(offset) % 2**64)

    async def delete(self, request: Request) -> Response:
        self.stop(conversation(request))
        return Response(status_code=204)

    async def lookup(self, request: Request) -> Response:
        keys = (await read_json(request)).get("conversation_ids", [])
        return JSONResponse([self.streams[key].about() for key in keys if key in self.streams])

    async def seen(self, request: Request) -> Response:
        active = sum(stream.launched.is_set() for stream in self.live)
        counters = dict(self.count) | {"active": active, "waiting": len(self.live) - active}
        counters["peak"] = self.peak
        counters["listeners"] = sum(len(stream.listeners) for stream in self.streams.values())
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
        self.initialize()
        return Response(status_code=204)

    def drop(self) -> None:
        self.streams = {}
        for stream in self.live:
            reset_connections(*stream.listeners)
            stream.task.cancel()

    def initialize(self) -> None:
        self.settings, self.streams = self.first_settings, {}
        self.loading_until = time.monotonic() + self.settings.loading_seconds
        self.slots = asyncio.Semaphore(self.settings.slots)
        self.notes, self.times, self.posts = list[dict[str, Any]](), Counter[str](), Counter[str]()
        self.peak = 0
        self.count = Counter(started=0, completed=0, failed=0, cancelled=0)


@contextlib.contextmanager
def running(port: int = 0, **settings: Any) -> Iterator[str]:
    """Run the server in a thread and yield its URL."""
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
