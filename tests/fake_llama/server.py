"""The server: which requests there are, who gets a slot, and at what pace an answer is written."""

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

from tests.fake_llama.scripts import MODEL, Script, Settings, after, paces
from tests.fake_llama.shapes import HTML_ERROR, Refused, accounts, conversation, encode, envelope, noted_json, plain, scripted, validated
from tests.fake_llama.streams import Stream, Tail, cut_off, gone

KEEP_SECONDS = 300  # how long a finished stream can be replayed
PLAIN_PATHS = ("/v1/models", "/v1/chat/completions")  # all that a server other than llama.cpp has


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
