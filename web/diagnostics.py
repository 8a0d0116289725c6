"""What is wrong with this deployment, as the web service sees it: its settings, its neighbours, and the way in from outside."""

import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx

from kit import diagnostics
from kit.diagnostics import Finding, fine, look, wrong
from web.clients.llama import Llama
from web.middleware import LOCAL
from web.settings import Settings

PATIENCE_SECONDS = 5.0
DRIPS_SECONDS = 0.1  # at least, between two pieces that were sent half a second apart


async def main() -> int:
    return await diagnostics.told("web", findings(diagnostics.settings(Settings, "web")))


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    yield diagnostics.secrets_kept(("SECRET_KEYS", "DBAPI_KEYS"))
    for finding in _settings(settings):
        yield finding
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as http:
        async for finding in _dbapi(settings, http):
            yield finding
        yield await _model(settings)
        yield await _way_in(settings, http)


def _settings(settings: Settings) -> list[Finding]:
    found, is_local = [], settings.hostname in LOCAL
    if settings.secure:
        found.append(fine(f"{settings.origin} is https: the cookie is bound to it"))
    elif not is_local:
        found.append(
            wrong(f"{settings.origin} is plain http: whoever is on the way reads cookies and chats. Set PUBLIC_URL to https://...")
        )
    if settings.environment == "development" and not is_local:
        found.append(wrong("ENVIRONMENT is development, but others can come in: leave it at production"))
    off = [name for name in ("message_code_points", "body_bytes", "answer_bytes", "streams_per_session") if not getattr(settings, name)]
    if off:
        found.append(look(f"no limit, by {' and '.join(map(str.upper, off))} = 0"))
    return found


async def _dbapi(settings: Settings, http: httpx.AsyncClient) -> AsyncIterator[Finding]:
    asked = time.time()
    try:
        ready = await http.get(f"{settings.dbapi_url}/readyz")
        unknown = {"token_hash": hashlib.sha256(secrets.token_bytes()).hexdigest()}
        credential = {"Authorization": f"Bearer {settings.dbapi_keys[0]}"}
        find = await http.post(f"{settings.dbapi_url}/sessions/find", json=unknown, headers=credential)
    except httpx.HTTPError as error:
        yield wrong(f"dbapi does not answer at {settings.dbapi_url} ({type(error).__name__}): start it, or set DBAPI_URL")
        return
    if find.status_code == 401:
        yield wrong("dbapi does not accept our credential: the first of web's DBAPI_KEYS must be one of dbapi's DBAPI_KEYS")
    elif ready.status_code != 200:
        yield wrong(f"dbapi is not ready: {ready.json().get('detail')}")
    else:
        yield fine("dbapi is ready, and accepts our credential")
    yield diagnostics.clock("dbapi", diagnostics.http_date(ready.headers["date"]), asked)


async def _model(settings: Settings) -> Finding:
    llama = Llama(settings.llama_url, settings.llama_api_key, settings.llama_slots)
    try:
        state = await llama.health()
        if state == "ready":
            await llama.learn()
    finally:
        await llama.close()
    if state == "down":
        return wrong(f"the model server does not answer at {settings.llama_url}, or not to LLAMA_API_KEY: start it, or set LLAMA_URL")
    if state == "loading":
        return look("the model server is still loading its model: ask again later")
    if settings.model and llama.models and settings.model not in llama.models:
        return wrong(f"the model server has no model {settings.model!r}, but {', '.join(llama.models)}: set MODEL")
    if not llama.models:
        return look("the model server lists no model: is LLAMA_API_KEY the one that it expects?")
    return fine(f"the model server is ready: {', '.join(llama.models)}, {llama.slots} answers at once")


async def _way_in(settings: Settings, http: httpx.AsyncClient) -> Finding:
    """Through every proxy that a browser's request passes, too; from where this runs it may not be reachable."""
    came = []
    try:
        async with http.stream("GET", f"{settings.origin}/healthz", headers={"Accept": "text/event-stream"}) as answer:
            async for _ in answer.aiter_raw():
                came.append(time.monotonic())
    except httpx.HTTPError as error:
        return look(f"{settings.origin} can't be reached from here ({type(error).__name__}): open it in a browser")
    if answer.status_code != 200:
        there = f"{settings.origin}/healthz answers {answer.status_code}"
        return wrong(f"{there}: whatever is there, it is not Runnel. Set PUBLIC_URL, or look at the proxy")
    if answer.headers.get("x-powered-by"):
        return look(f"a proxy in front says that it is {answer.headers['x-powered-by']}: let it be silent")
    if len(came) < 2 or came[-1] - came[0] < DRIPS_SECONDS:
        return wrong("a proxy in front holds streams back: switch its buffering off, for answers that say X-Accel-Buffering: no")
    return fine(f"streams come through {urlsplit(settings.origin).netloc} without being held back")
