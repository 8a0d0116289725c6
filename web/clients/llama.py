"""Client of the model server: its health, its capabilities, and answers as streams of deltas.

llama.cpp offers more than other OpenAI-compatible servers: it reports its slots, and it keeps a stream for clients
that reconnect (`X-Conversation-Id`). Runnel also works with servers that offer neither.
"""

import asyncio
import logging
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Literal
from urllib.parse import urlencode

import httpx
import orjson

from web.clients.completions import CompletionStream, OnDeltas
from web.clients.http_client import HTTPClient
from web.clients.transport import HTTPTransport
from web.errors import Gone, Loading, ModelError, Rejected, TooLong, Unreachable

CONNECT_SECONDS = 2.0
CALL_SECONDS = 3.0
READY_CHECK_SECONDS, NOT_READY_CHECK_SECONDS = 5.0, 0.5
MAX_CONNECTIONS = 10_000  # not a limit: admission decides how many answers run
MAX_IDLE_CONNECTIONS = 20

TOO_LONG = "This is longer than the model can read at once. Please shorten it, or start a new chat."

Health = Literal["ready", "loading", "down"]
logger = logging.getLogger("web.llama")


class Llama:
    def __init__(self, url: str, key: str, slots: int) -> None:
        self._default_slots = slots
        self._http = _client(url, key)
        self.slots = slots
        self.keeps_streams = self.continues_text = False
        self.capabilities_known = False
        self.context: int | None = None  # tokens that one answer and its prompt may have together
        self.models: list[str] = []
        self.state: Health = "down"
        self._recheck = asyncio.Event()

    async def run(self, on_change: Callable[[], None]) -> None:
        """Keeps `state` up to date. Checks more often while the server is not ready."""
        while True:
            state = await self.health()
            self._recheck.clear()
            if state == "ready" and not self.capabilities_known:
                await self.discover_capabilities()
            if state != self.state:
                self.state = state
                self.capabilities_known = self.capabilities_known and state == "ready"
                on_change()
            try:
                async with asyncio.timeout(READY_CHECK_SECONDS if state == "ready" else NOT_READY_CHECK_SECONDS):
                    await self._recheck.wait()
            except TimeoutError:
                pass

    def recheck(self) -> None:
        """Checks again at once, after a failed request: another server with other capabilities may be there."""
        self.capabilities_known = False
        self._recheck.set()

    async def health(self) -> Health:
        """Requests /health, or /v1/models where there is none."""
        try:
            response = await self._fetch("GET", "/health")
            if response.status_code == 404:
                response = await self._fetch("GET", "/v1/models")
        except httpx.HTTPError:
            return "down"
        if response.status_code == 503:
            return "loading"
        return "ready" if response.is_success else "down"

    async def discover_capabilities(self) -> None:
        """llama.cpp reports slots, keeps streams and continues a text; vLLM and SGLang continue a text."""
        properties, models = await self._get_object("/props"), await self._get_object("/v1/models")
        slots = properties.get("total_slots")
        self.keeps_streams = isinstance(slots, int)
        self.slots = slots if isinstance(slots, int) and slots > 0 else self._default_slots
        data = models.get("data")
        listed = [model for model in data if isinstance(model, dict)] if isinstance(data, list) else []
        owners = {str(model.get("owned_by")) for model in listed}
        self.continues_text = self.keeps_streams or bool(owners & {"vllm", "sglang"})
        generation = properties.get("default_generation_settings")
        context = generation.get("n_ctx") if isinstance(generation, dict) else None
        self.context = context if isinstance(context, int) and context > 0 else None
        self.models = [str(model["id"]) for model in listed if "id" in model]
        self.capabilities_known = True

    async def complete(self, request: Mapping[str, object], key: str, on_deltas: OnDeltas) -> None:
        """Requests an answer and passes on its deltas. llama.cpp keeps the stream under `key`. Raises a ModelError."""
        body = orjson.dumps({**request, "stream": True, "stream_options": {"include_usage": True}})
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream", "X-Conversation-Id": key}
        await self._stream("POST", "/v1/chat/completions", CompletionStream(0, on_deltas), headers, body)

    async def resume(self, key: str, offset: int, on_deltas: OnDeltas) -> None:
        """Continues the stream of an earlier `complete` at this byte.

        Raises Gone if it is not kept, or another ModelError.
        """
        url = f"/v1/stream?{urlencode({'conv_id': key, 'from': offset})}"
        await self._stream("GET", url, CompletionStream(offset, on_deltas))

    async def discard_stream(self, key: str) -> None:
        """Stops the stream with this key, and frees what the server keeps of it."""
        if not self.keeps_streams:
            return
        try:
            await self._fetch("DELETE", f"/v1/stream?{urlencode({'conv_id': key})}")
        except httpx.HTTPError as error:
            logger.warning("could not discard a stream: %s", type(error).__name__)

    async def close(self) -> None:
        await self._http.close()

    async def _fetch(self, method: str, path: str) -> httpx.Response:
        return await self._http.fetch(method, path, read_seconds=CALL_SECONDS)

    async def _get_object(self, path: str) -> dict[str, object]:
        """A JSON object, or an empty one for any other response."""
        try:
            response = await self._fetch("GET", path)
            body = orjson.loads(response.content) if response.is_success else {}
        except (httpx.HTTPError, ValueError):
            return {}
        return body if isinstance(body, dict) else {}

    async def _stream(
        self,
        method: str,
        url: str,
        stream: CompletionStream,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> None:
        """Without a read timeout: the caller limits the time."""
        try:
            sending = self._http.open(method, url, body, headers=headers, sink=stream.on_bytes)
            async with aclosing(await sending) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise _refusal(response, is_resume=method == "GET")
                await stream.read(response)
        except httpx.HTTPError as error:
            raise Unreachable(type(error).__name__) from error


def _client(url: str, key: str) -> HTTPClient:
    """Authenticates with the key or, without one, with the user and password of the URL."""
    base = httpx.URL(url.rstrip("/").removesuffix("/v1"))
    credential = f"Bearer {key}"
    if not key:
        credential = "Basic " + b64encode(f"{base.username}:{base.password}".encode()).decode()
    headers = {"Authorization": credential} if key or base.username else {}
    transport = HTTPTransport(max_connections=MAX_CONNECTIONS, max_idle=MAX_IDLE_CONNECTIONS)
    return HTTPClient(base, headers, transport, CONNECT_SECONDS)


def _refusal(response: httpx.Response, is_resume: bool) -> ModelError:
    """The meaning of a status other than 200. The server's own text is not shown."""
    status, error = response.status_code, _error_of(response.content)
    if is_resume and 400 <= status < 500:
        return Gone()
    if status == 503:
        return Loading()
    if error.get("type") == "exceed_context_size_error":
        tokens, context = error.get("n_prompt_tokens"), error.get("n_ctx")
        return TooLong(tokens, context) if isinstance(tokens, int) and isinstance(context, int) else Rejected(TOO_LONG)
    if status in (401, 403):
        return Rejected("The model server refuses this server's key. The operator has to set LLAMA_API_KEY.")
    if status == 429:
        return Rejected("The model server is too busy. Please try again in a moment.")
    if status >= 500:
        return Rejected("The model server failed while it read the prompt. Please try again.")
    return Rejected("The model server does not accept this request.")


def _error_of(body: bytes) -> dict[str, object]:
    try:
        error = orjson.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}
