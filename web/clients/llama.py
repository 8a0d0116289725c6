"""Client of the model server: its health, its capabilities, and answers as streams of deltas.

llama.cpp offers more than other OpenAI-compatible servers: it reports its health and its slots, and it keeps a stream
for clients that reconnect (`X-Conversation-Id`). Other servers are asked for none of this, and for nothing while no one
waits for an answer: some charge for each request.
"""

import asyncio
import logging
import re
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Literal
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
import orjson

from kit.logs import event
from web.clients import refusals
from web.clients.completions import CompletionStream, OnDeltas
from web.clients.endpoints import Endpoints
from web.clients.http_client import HTTPClient, read_part
from web.clients.thinking import ThinkTags
from web.clients.transport import HTTPTransport
from web.errors import Gone, ModelError, Rejected, TooLong, Unreachable, Unsupported
from web.middleware import LOCAL

CONNECT_SECONDS = 2.0
CALL_SECONDS = 3.0
MAX_BYTES, MAX_SECONDS = 1_000_000, 10.0  # of a response that is no stream
READY_CHECK_SECONDS, NOT_READY_CHECK_SECONDS = 5.0, 0.5
MAX_CHECK_SECONDS = 30.0  # between two checks of a server that is not llama.cpp and does not respond
MAX_CONNECTIONS = 10_000  # not a limit: admission decides how many answers run
MAX_IDLE_CONNECTIONS = 20
TINY = 300_000_000  # parameters; a smaller model is good for trying things out only
RENAMED = {"max_tokens": "max_completion_tokens"}
CONTINUING = frozenset(("continue_final_message", "add_generation_prompt"))
NEVER_LEFT_OUT = frozenset(("messages", "model", "stream"))

_NO_CHAT_MODEL = re.compile(r"embed|rerank|whisper|transcri|moderation|dall-e|\btts\b|speech", re.IGNORECASE)

Health = Literal["ready", "loading", "down"]
logger = logging.getLogger("web.llama")


class Llama:
    def __init__(self, url: str, key: str, slots: int, left_out: Collection[str] = ()) -> None:
        """`slots` counts if the server does not report its own. Parameters in `left_out` are not sent."""
        self._default_slots, self._key, self._left_out = slots, key, frozenset(left_out)
        self._unused_proxy = unused_proxy(url)
        base, headers = _base(url, key)
        self.endpoints = Endpoints(base.path)
        transport = HTTPTransport(max_connections=MAX_CONNECTIONS, max_idle=MAX_IDLE_CONNECTIONS)
        self._http = HTTPClient(base.copy_with(path="/"), headers, transport, CONNECT_SECONDS)
        self.slots = slots
        self.keeps_streams = self.continues_text = self._is_llama_cpp = False
        self.has_think_tags = False  # its models mark thoughts with tags
        self.capabilities_known = False
        self.context: int | None = None  # tokens that one answer and its prompt may have together
        self.defaults: dict[str, float] = {}  # of parameters, as far as the server reports them
        self.models: list[str] = []  # those that can answer, as far as their names tell
        self.is_tiny = False  # its only model is too small for useful answers
        self.state: Health = "down"
        self._replaced: dict[str, dict[str, str]] = {}  # by model: refused parameters, and what to send instead
        self._refuses_to_continue = False
        self._recheck = asyncio.Event()

    async def run(self, on_change: Callable[[], None]) -> None:
        """Keeps `state` up to date. Checks more often while the server is not ready.

        A server that is ready and not llama.cpp is checked again only after a failed request.
        """
        if self._unused_proxy:
            logger.warning("%s is set, but requests to the model server do not use a proxy", self._unused_proxy)
        failures = 0
        while True:
            self._recheck.clear()
            state = await self.check()
            failures = 0 if state == "ready" else failures + 1
            if state != self.state:
                self.state = state
                on_change()
            try:
                async with asyncio.timeout(self._check_pause(failures)):
                    await self._recheck.wait()
            except TimeoutError:
                pass

    def recheck(self) -> None:
        """Checks again at once, after a failed request: another server with other capabilities may be there."""
        self.capabilities_known = False
        self._recheck.set()

    async def check(self) -> Health:
        """The state of the server. Finds out its capabilities unless they are known."""
        if self._is_llama_cpp and self.capabilities_known:
            state = await self.health()
            self.capabilities_known = state == "ready"
            return state
        if self.capabilities_known:
            return "ready"
        return await self._discover()

    async def health(self) -> Health:
        """Requests /health of llama.cpp. A proxy may hide it."""
        try:
            response = await self._fetch("GET", self.endpoints.root + "/health")
        except httpx.HTTPError:
            return "down"
        if response.status_code == 503:
            return "loading"
        return "down" if response.status_code >= 500 else "ready"

    async def complete(
        self,
        request: Mapping[str, object],
        key: str,
        on_deltas: OnDeltas,
        thinking: ThinkTags,
        left_out: Collection[str] = (),
    ) -> None:
        """Requests an answer without the parameters in `left_out`, and passes on its deltas. llama.cpp keeps the
        stream under `key`; without a key, it stops when the connection is closed. Raises a ModelError."""
        body = self._body(request, left_out)
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if self.keeps_streams and key:
            headers["X-Conversation-Id"] = key
        stream = CompletionStream(0, on_deltas, thinking)
        try:
            await self._stream("POST", self.endpoints.completions, stream, headers, body)
        except TooLong as error:
            if self.context is None and len(self.models) <= 1:
                self.context = error.context  # so that the next prompt is shorter
            raise
        finally:
            self.has_think_tags = self.has_think_tags or thinking.is_found

    async def resume(self, key: str, offset: int, on_deltas: OnDeltas, thinking: ThinkTags) -> None:
        """Continues the stream of an earlier `complete` at this byte.

        Raises Gone if it is not kept, or another ModelError.
        """
        url = f"{self.endpoints.root}/v1/stream?{urlencode({'conv_id': key, 'from': offset})}"
        await self._stream("GET", url, CompletionStream(offset, on_deltas, thinking))

    async def discard_stream(self, key: str) -> None:
        """Stops the stream with this key, and frees what the server keeps of it."""
        if not self.keeps_streams:
            return
        try:
            await self._fetch("DELETE", f"{self.endpoints.root}/v1/stream?{urlencode({'conv_id': key})}")
        except httpx.HTTPError as error:
            logger.warning("could not discard a stream: %s", type(error).__name__)

    async def close(self) -> None:
        await self._http.close()

    # Capabilities

    async def _discover(self) -> Health:
        """llama.cpp reports slots, keeps streams and continues a text; vLLM and SGLang continue a text.

        The list of models tells what the server is. A server without it may still answer.
        """
        try:
            found = await self.endpoints.find(self._list_models)
        except httpx.HTTPError:
            return "down"
        if found.status == 503:
            return "loading"
        if found.status in (502, 504):
            return "down"
        owners = {str(model.get("owned_by")) for model in found.models}
        properties: dict[str, object] = {}
        self._is_llama_cpp = "llamacpp" in owners
        if self._is_llama_cpp:
            if (state := await self.health()) != "ready":
                return state
            properties = await self._get_object(self.endpoints.root + "/props")
        self.is_tiny = _is_tiny(found.models)
        self._set_capabilities(properties, owners, [str(model["id"]) for model in found.models if model.get("id")])
        return "ready"

    async def _list_models(self, path: str) -> tuple[int, bytes]:
        response = await self._fetch("GET", path + "/models")
        return response.status_code, response.content

    def _set_capabilities(self, properties: dict[str, object], owners: set[str], models: list[str]) -> None:
        slots = properties.get("total_slots")
        self.keeps_streams = isinstance(slots, int)
        self.slots = slots if isinstance(slots, int) and slots > 0 else self._default_slots
        can_continue = self.keeps_streams or bool(owners & {"vllm", "sglang"})
        self.continues_text = can_continue and not self._refuses_to_continue
        generation = properties.get("default_generation_settings")
        context = generation.get("n_ctx") if isinstance(generation, dict) else None
        parameters = generation.get("params") if isinstance(generation, dict) else None
        self.defaults = _defaults(parameters) if isinstance(parameters, dict) else {}
        self.context = context if isinstance(context, int) and context > 0 else None
        self.models = [model for model in models if not _NO_CHAT_MODEL.search(model)] or models
        self.capabilities_known = True

    def _check_pause(self, failures: int) -> float | None:
        """Seconds until the next check. None waits for a failed request."""
        if self._is_llama_cpp:
            return NOT_READY_CHECK_SECONDS if failures else READY_CHECK_SECONDS
        if failures:
            return min(NOT_READY_CHECK_SECONDS * 1.2 ** min(40, max(0, failures - 60)), MAX_CHECK_SECONDS)
        return None

    async def _get_object(self, path: str) -> dict[str, object]:
        """A JSON object, or an empty one for any other response."""
        try:
            response = await self._fetch("GET", path)
            body = orjson.loads(response.content) if response.is_success else {}
        except (httpx.HTTPError, ValueError):
            return {}
        return body if isinstance(body, dict) else {}

    async def _fetch(self, method: str, path: str) -> httpx.Response:
        return await self._http.fetch_part(method, path, MAX_BYTES, CALL_SECONDS)

    # Requests for answers

    def default_model(self) -> str:
        """The model to name if the settings name none. llama.cpp with one model needs no name."""
        if self.keeps_streams and len(self.models) <= 1:
            return ""
        return self.models[0] if self.models else ""

    def _body(self, request: Mapping[str, object], left_out: Collection[str]) -> bytes:
        body = {**request, "stream": True, "stream_options": {"include_usage": True}}
        if not body.get("model") and (model := self.default_model()):
            body["model"] = model
        for name, other in self._replaced.get(str(body.get("model")), {}).items():
            value = body.pop(name, None)
            if other and value is not None:
                body[other] = value
        left_out = self._left_out.union(left_out)
        return orjson.dumps({name: value for name, value in body.items() if name not in left_out})

    def _learn(self, body: bytes, error: Unsupported) -> None:
        """Remembers which parameters the model does not know."""
        if error.names & CONTINUING:
            self._refuses_to_continue, self.continues_text = True, False
        if not refusals.is_unknown(error.details):
            return
        model = str(orjson.loads(body).get("model"))
        replaced = self._replaced.setdefault(model, {})
        for name in error.names:
            other = RENAMED.get(name, "")
            replaced[name] = other if other in error.details else ""

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
                if not response.is_success:
                    raise await self._refusal(response, body)
                await stream.read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(refusals.cleaned(str(error)), is_sent=False) from error
        except httpx.HTTPError as error:
            raise Unreachable(type(error).__name__) from error
        except ModelError as error:
            if error.details:
                event(logger, "refused", logging.WARNING, words=error.details, reason=type(error).__name__)
            raise

    async def _refusal(self, response: httpx.Response, body: bytes | None) -> ModelError:
        """The meaning of a status other than success. `body` is that of a request for an answer."""
        status, content = response.status_code, await read_part(response, MAX_BYTES, MAX_SECONDS)
        if body is None and 400 <= status < 500:
            return Gone()
        words = f"HTTP {status}: {refusals.server_words(content, self._key)}".removesuffix(": ")
        sent = orjson.loads(body).keys() - NEVER_LEFT_OUT if body else ()
        if refused := refusals.unsupported(status, words, sent):
            self._learn(body or b"{}", refused)
            return refused
        if status in (404, 405) and "model" not in words.lower() and self.endpoints.take_next():
            return Unreachable(words)
        error = refusals.refusal(status, response.headers, content, words)
        if isinstance(error, Rejected) and error.message == refusals.NOT_FOUND:
            return Rejected(error.message, f"{words} [asked: {', '.join(self.endpoints.tried)}]")
        return error


def _is_tiny(models: Sequence[Mapping[str, object]]) -> bool:
    """Whether all models are known to be tiny. llama.cpp reports how many parameters its model has."""
    sizes = [meta.get("n_params") for model in models if isinstance(meta := model.get("meta"), dict)]
    return bool(models) and len(sizes) == len(models) and all(isinstance(size, int) and size < TINY for size in sizes)


def _defaults(parameters: dict[str, object]) -> dict[str, float]:
    values = parameters.items()
    return {name: value for name, value in values if isinstance(value, int | float) and not isinstance(value, bool)}


def _base(url: str, key: str) -> tuple[httpx.URL, dict[str, str]]:
    """Authenticates with the key or, without one, with the user and password of the URL."""
    base = httpx.URL(url)
    credential = f"Bearer {key}"
    if not key:
        credential = "Basic " + b64encode(f"{base.username}:{base.password}".encode()).decode()
    return base, {"Authorization": credential} if key or base.username else {}


def unused_proxy(url: str) -> str:
    """The variable that sets a proxy for this URL, for a server outside of this machine."""
    split = urlsplit(url)
    if split.hostname in LOCAL or proxy_bypass(split.hostname or ""):
        return ""
    return next((name for name in (f"{split.scheme}_proxy", "all_proxy") if split.scheme in getproxies()), "").upper()
