"""The model server, as this service sees it: its health, and answers as a stream of pieces.

llama.cpp can do more than other OpenAI-compatible servers: it tells its slots, and it keeps a stream for whoever
comes back (`X-Conversation-Id`). What a server lacks is done without.
"""

import asyncio
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
import orjson

from web.clients.completions import Stream
from web.clients.transport import Wire
from web.errors import Gone, Loading, ModelError, Rejected, TooLong, Unreachable

CONNECT_SECONDS = 2.0
ASK_SECONDS = 3.0
READY_CHECK_SECONDS, DOUBT_CHECK_SECONDS = 5.0, 0.5
MOST_CONNECTIONS = 10_000  # how many answers there are at once is not decided here

TOO_LONG = "This is longer than the model can read at once. Please shorten it, or start a new chat."

Health = Literal["ready", "loading", "down"]
logger = logging.getLogger("web.llama")


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
    async def ask(self, request: dict[str, Any], key: str) -> AsyncIterator[Stream]:
        """Asks for an answer. Raises a ModelError, also while reading."""
        body = orjson.dumps({**request, "stream": True, "stream_options": {"include_usage": True}})
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream", "X-Conversation-Id": key}
        async with self._stream("POST", "/v1/chat/completions", headers, body) as response:
            yield Stream(response, 0)

    @asynccontextmanager
    async def resume(self, key: str, offset: int) -> AsyncIterator[Stream]:
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
