"""`python -m web check`: checks web's settings, dbapi, the model server, and the path of requests from outside."""

import asyncio
import hashlib
import itertools
import secrets
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx

from kit import diagnostics
from kit.diagnostics import Finding
from kit.settings import SettingsError
from web.clients.backends import Backend
from web.clients.llama import Health, Llama, unused_proxy
from web.clients.models import Models
from web.clients.thinking import ThinkTags
from web.errors import ModelError, Unsupported
from web.middleware import LOCAL
from web.pages.health import PARTS
from web.settings import Settings

PATIENCE_SECONDS = 5.0
MODEL_SECONDS, MAX_MODEL_REQUESTS = 60.0, 5
MIN_PAUSE_SECONDS = 0.1  # between the arrivals of two parts that /healthz sends half a second apart


async def main() -> int:
    return await diagnostics.report("web", findings(diagnostics.read_settings(Settings, "web")))


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    yield diagnostics.secret_files(("SECRET_KEYS", "DBAPI_KEYS"))
    for finding in _settings(settings):
        yield finding
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as http:
        async for finding in _dbapi(settings, http):
            yield finding
        async for finding in _models(settings):
            yield finding
        yield await _public_url(settings, http)


def _settings(settings: Settings) -> list[Finding]:
    found, is_local = [], settings.hostname in LOCAL
    if settings.secure:
        found.append(Finding.ok(f"{settings.origin} uses https, and the session cookie is Secure"))
    elif not is_local:
        found.append(
            Finding.error(
                f"{settings.origin} uses plain http: anyone on the network path can read cookies and chats; "
                "set up TLS and set PUBLIC_URL to https://..."
            )
        )
    if settings.environment == "development" and not is_local:
        found.append(Finding.error("ENVIRONMENT is development, but the service is public; set ENVIRONMENT=production"))
    off = [
        name
        for name in ("message_code_points", "body_bytes", "answer_bytes", "streams_per_session")
        if not getattr(settings, name)
    ]
    if off:
        found.append(Finding.warning(f"no limit: {' and '.join(map(str.upper, off))} = 0"))
    return found


async def _dbapi(settings: Settings, http: httpx.AsyncClient) -> AsyncIterator[Finding]:
    requested_at = time.time()
    try:
        ready = await http.get(f"{settings.dbapi_url}/readyz")
        unknown = {"token_hash": hashlib.sha256(secrets.token_bytes()).hexdigest()}
        credential = {"Authorization": f"Bearer {settings.dbapi_keys[0]}"}
        find = await http.post(f"{settings.dbapi_url}/sessions/find", json=unknown, headers=credential)
    except httpx.HTTPError as error:
        yield Finding.error(
            f"dbapi does not respond at {settings.dbapi_url} ({type(error).__name__}); start it, or set DBAPI_URL"
        )
        return
    if find.status_code == 401:
        yield Finding.error(
            "dbapi rejects web's credential: the first of web's DBAPI_KEYS must be one of dbapi's DBAPI_KEYS"
        )
    elif ready.status_code != 200:
        yield Finding.error(f"dbapi is not ready: {ready.json().get('detail')}")
    else:
        yield Finding.ok("dbapi is ready and accepts web's credential")
    yield diagnostics.clock_skew("dbapi", diagnostics.http_date(ready.headers["date"]), requested_at)


async def _models(settings: Settings) -> AsyncIterator[Finding]:
    """Asks each model server for its models, and for an answer of one token."""
    try:
        models = Models(settings)
    except SettingsError as error:
        yield Finding.error(str(error))
        return
    try:
        for backend, llama in models.all:
            async for finding in _model(settings, backend, llama):
                yield finding
    finally:
        await models.close()


async def _model(settings: Settings, backend: Backend, llama: Llama) -> AsyncIterator[Finding]:
    name = f"the model server {backend.name!r}" if backend.name else "the model server"
    if proxy := unused_proxy(backend.url):
        yield Finding.warning(f"{proxy} is set, but requests to {name} do not use a proxy")
    state = await llama.check()
    yield _model_state(settings, backend, llama, state, name)
    if state == "ready":
        model = next(iter(backend.models), "") if backend.name else settings.model
        yield await _one_token(model, llama, name)


def _model_state(settings: Settings, backend: Backend, llama: Llama, state: Health, name: str) -> Finding:
    if state == "down":
        key = "its key" if backend.name else "LLAMA_API_KEY"
        remedy = f"change {settings.models_file}" if backend.name else "set LLAMA_URL"
        return Finding.error(f"{name} does not respond at {backend.url}, or rejects {key}; start it, or {remedy}")
    if state == "loading":
        return Finding.warning(f"{name} is still loading its model; check again later")
    listed = ", ".join(llama.models)
    if not backend.name and settings.model and llama.models and settings.model not in llama.models:
        return Finding.error(f"the model server has no model {settings.model!r}; set MODEL to one of: {listed}")
    if missing := [model for model in backend.models if llama.models and model not in llama.models]:
        return Finding.error(f"{name} has no model {missing[0]!r}; it has: {listed}")
    if not llama.models and not backend.models:
        return Finding.warning(f"{name} lists no models; check {'its key' if backend.name else 'LLAMA_API_KEY'}")
    return Finding.ok(f"{name} is ready: {', '.join(backend.models) or listed}, {llama.slots} concurrent answers")


async def _one_token(model: str, llama: Llama, name: str) -> Finding:
    """Requests an answer of one token, like the first request of a chat."""
    request: dict[str, object] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    if model:
        request["model"] = model
    left_out: set[str] = set()
    for _ in range(MAX_MODEL_REQUESTS):
        try:
            async with asyncio.timeout(MODEL_SECONDS):
                await llama.complete(request, "doctor", lambda _: False, ThinkTags(), left_out)
        except TimeoutError:
            return Finding.error(f"{name} did not answer within {MODEL_SECONDS:.0f} s; check its log")
        except Unsupported as error:
            left_out |= error.names
            continue
        except ModelError as error:
            reason = f"{getattr(error, 'message', type(error).__name__)} {error.details}".strip()
            return Finding.error(f"{name} gave no answer of one token: {reason}")
        without = f", without {', '.join(sorted(left_out))}" if left_out else ""
        return Finding.ok(f"{name} answers at {llama.endpoints.completions}{without}")
    return Finding.error(f"{name} refuses parameters: {', '.join(sorted(left_out))}")


async def _public_url(settings: Settings, http: httpx.AsyncClient) -> Finding:
    """Request /healthz at PUBLIC_URL, through every proxy on the path.

    The address may be unreachable from this host.
    """
    arrivals = []  # (number of bytes so far, time)
    received = 0
    try:
        async with http.stream("GET", f"{settings.origin}/healthz", headers={"Accept": "text/event-stream"}) as answer:
            async for data in answer.aiter_raw():
                received += len(data)
                arrivals.append((received, time.monotonic()))
    except httpx.HTTPError as error:
        return Finding.warning(
            f"{settings.origin} is not reachable from this host ({type(error).__name__}); open it in a browser instead"
        )
    if answer.status_code != 200:
        response = f"{settings.origin}/healthz responds with {answer.status_code}"
        return Finding.error(f"{response}: this is not Runnel; set PUBLIC_URL, or check the proxy")
    if answer.headers.get("x-powered-by"):
        return Finding.warning(f"a proxy sends X-Powered-By: {answer.headers['x-powered-by']}; remove that header")
    if answer.headers.get("content-encoding"):
        return Finding.error(
            f"a proxy compresses streams ({answer.headers['content-encoding']}), which may delay them; "
            "disable compression for responses with Cache-Control: no-transform, or for text/event-stream"
        )
    if not _arrived_in_parts(arrivals):
        return Finding.error("a proxy buffers streams; disable its buffering for responses with X-Accel-Buffering: no")
    return Finding.ok(f"streams pass {urlsplit(settings.origin).netloc} without buffering")


def _arrived_in_parts(arrivals: list[tuple[int, float]]) -> bool:
    """Whether every part of the probe was here before the next one was sent."""
    ends = list(itertools.accumulate(len(part) for part in PARTS))
    if not arrivals or arrivals[-1][0] != ends[-1]:
        return False
    times = [next(when for received, when in arrivals if received >= end) for end in ends]
    return all(later - earlier >= MIN_PAUSE_SECONDS for earlier, later in itertools.pairwise(times))
