"""The web service: every URL, and what the app is made of."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypedDict

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from kit import drain, ids
from kit.logs import event
from web.clients.dbapi import Dbapi
from web.clients.llama import Llama
from web.errors import Failure, NotFound, Unavailable
from web.generation.log_writer import Log
from web.generation.worker import Answers
from web.live.hub import Watch
from web.live.open_streams import OpenStreams
from web.middleware import AllowedHosts, SameOrigin, SecurityHeaders
from web.pages import chat_settings, chats, devices, messages, metrics, pwa, streams
from web.rendering.templates import Pages, is_htmx
from web.sessions import Sessions
from web.settings import Settings

EVENTS_RETRY_SECONDS, WORK_RETRY_SECONDS = 0.25, 1.0
DRIP_SECONDS = 0.5
NOTICES = {
    "ready": "",
    "loading": "The model is still loading. The answer starts as soon as it is ready.",
    "down": "The model server does not answer at the moment. Trying again …",
}

logger = logging.getLogger("web")


class State(TypedDict):
    settings: Settings
    pages: Pages
    sessions: Sessions
    dbapi: Dbapi
    llama: Llama
    answers: Answers
    watch: Watch
    open_streams: OpenStreams


async def healthz(request: Request) -> Response:
    """As a stream it comes in two pieces, so that one can tell whether something on the way holds it back: see web/diagnostics.py."""
    if "text/event-stream" not in request.headers.get("accept", ""):
        return JSONResponse({"status": "alive"})

    async def pieces() -> AsyncIterator[str]:
        yield "data: alive\n\n"
        await asyncio.sleep(DRIP_SECONDS)
        yield "data: still\n\n"

    return StreamingResponse(pieces(), media_type="text/event-stream", headers=streams.HEADERS)


async def readyz(request: Request) -> Response:
    """Pages need the database; the model's state is told, but history is readable without it."""
    body = {"status": "ready", "model": request.state["llama"].state}
    try:
        await request.state["dbapi"].ready()
    except Failure as error:
        body |= {"status": "not ready", "reason": getattr(error, "reason", "") or "the database service does not answer"}
    return JSONResponse(body, 200 if body["status"] == "ready" else 503)


ids.register()

routes = [
    Route("/", chats.home),
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics.show),
    Route("/manifest.webmanifest", pwa.manifest),
    Route("/sw.js", pwa.service_worker),
    Route("/offline", pwa.offline),
    # Chats
    Route("/chats", chats.create, methods=["POST"]),
    Route("/chats/{chat_id:id}", chats.show),
    Route("/chats/{chat_id:id}.json", chats.show_json),
    Route("/chats/{chat_id:id}.md", chats.show_markdown),
    Route("/chats/{chat_id:id}.txt", chats.show_text),
    Route("/chats/{chat_id:id}/list", chats.beside),
    Route("/chats/{chat_id:id}/title", chats.rename, methods=["POST"]),
    Route("/chats/{chat_id:id}/delete", chats.delete, methods=["POST"]),
    Route("/chats/{chat_id:id}/restore", chats.restore, methods=["POST"]),
    Route("/chats/{chat_id:id}/settings", chat_settings.show),
    Route("/chats/{chat_id:id}/settings", chat_settings.change, methods=["POST"]),
    # Devices, and the link that lets one more in
    Route("/devices", devices.index),
    Route("/devices/link", devices.create_link, methods=["POST"]),
    Route("/devices/sign-out", devices.sign_out_all, methods=["POST"]),
    Route("/devices/{device_id:id}/sign-out", devices.sign_out, methods=["POST"]),
    Route("/join", devices.show_link),
    Route("/join", devices.join, methods=["POST"]),
    # Messages, and the answer to the last of them
    Route("/chats/{chat_id:id}/messages", messages.create, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/stream", streams.show),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/stop", messages.stop, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/regenerate", messages.regenerate, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/continue", messages.go_on, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/show", messages.show_version, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/delete", messages.delete, methods=["POST"]),
]


class Static(StaticFiles):
    """Addresses carry the content's version, so a browser need not ask twice."""

    async def get_response(self, path: str, scope: dict[str, object]) -> Response:  # type: ignore[override]
        response = await super().get_response(path, scope)
        if response.status_code < 400 and b"v=" in scope["query_string"]:  # type: ignore[operator]
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def create_app(settings: Settings) -> ASGIApp:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:
        pages, dbapi = Pages(), Dbapi(settings.dbapi_url, settings.dbapi_keys[0])
        llama = Llama(settings.llama_url, settings.llama_api_key, settings.llama_slots)
        watch = Watch(dbapi, lambda: NOTICES[llama.state])
        log = Log(dbapi, settings.lease_seconds, settings.renew_seconds, settings.flush_seconds, watch.appended)
        answers = Answers(settings, dbapi, llama, log, watch)
        sessions, open_streams = Sessions(settings, dbapi), OpenStreams(settings.streams_per_session)
        with drain.on_signal() as draining:
            signing_out = partial(sign_out, sessions, open_streams)
            hearing = partial(hear, dbapi, watch, log, answers, settings.lease_seconds, signing_out)
            works = partial(llama.run, watch.all_changed), log.run, watch.run, answers.run, hearing
            tasks = [asyncio.create_task(keep_running(work)) for work in works]
            leaving = asyncio.create_task(leave(draining, watch, answers))
            yield {
                "settings": settings,
                "pages": pages,
                "sessions": sessions,
                "dbapi": dbapi,
                "llama": llama,
                "answers": answers,
                "watch": watch,
                "open_streams": open_streams,
            }
            draining.set()
            await leaving
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await llama.close()
        await dbapi.close()

    app = Starlette(
        routes=[*routes, Mount("/static", Static(directory=Path(__file__).parent / "static"))],
        lifespan=lifespan,
        middleware=[
            Middleware(AllowedHosts, hostname=settings.hostname),
            Middleware(SameOrigin, origin=settings.origin),
        ],
        exception_handlers={Failure: failed, HTTPException: refused, Exception: broken},
    )
    app.router.redirect_slashes = False
    return SecurityHeaders(app, settings.secure)  # outermost, so that answers to unexpected errors have them, too


async def keep_running(work: Callable[[], Awaitable[None]]) -> None:
    """The process is of no use without any of its works: one that breaks is begun again."""
    while True:
        try:
            return await work()
        except Exception:
            logger.exception("a background work broke")
            await asyncio.sleep(WORK_RETRY_SECONDS)


async def hear(dbapi: Dbapi, watch: Watch, log: Log, answers: Answers, lease: float, signed_out: Callable[..., Awaitable[None]]) -> None:
    """What dbapi tells of the log and of devices, passed on to who wants to know."""
    while True:
        with contextlib.suppress(Unavailable):
            async for told in dbapi.events(answers.owner, lease):
                changed = told.get("log", {})
                # Of what this process appends itself, it hears from the append's own reply
                watch.changed(
                    {generation_id: what for generation_id, what in changed.items() if ":" in what or not log.writes(generation_id)}
                )
                for generation_id, what in changed.items():
                    if what.endswith(":stop"):
                        log.ask_to_stop(generation_id)
                if told.get("lost"):
                    watch.all_changed()
                if told.get("lost") or told.get("work"):
                    answers.look_for_work()
                if told.get("signed_out") or told.get("lost"):
                    await signed_out(None if told.get("lost") else told["signed_out"])
        await asyncio.sleep(EVENTS_RETRY_SECONDS)


async def sign_out(sessions: Sessions, open_streams: OpenStreams, devices: list[str] | None) -> None:
    """Ends the streams of these devices; without a list, of all that are found signed out: something may not have been heard."""
    sessions.forget(devices)
    open_streams.sign_out(devices or await sessions.signed_out(open_streams.devices))


async def leave(draining: asyncio.Event, watch: Watch, answers: Answers) -> None:
    """As soon as the process is asked to end, not when its last stream has: others can go on with the answers."""
    await draining.wait()
    watch.leave()
    await answers.hand_over()


async def failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, Failure)
    if isinstance(error, Unavailable):
        event(logger, "unavailable", logging.WARNING, reason=error.reason)
    response = sentence(request, error.status, error.sentence, retry=error.seconds > 0)
    response.headers.update(error.headers)
    return response


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = NotFound.sentence if error.status_code == 404 else "This is not possible here."
    response = sentence(request, error.status_code, text)
    response.headers.update(error.headers or {})
    return response


async def broken(request: Request, error: Exception) -> Response:
    response = sentence(request, 500, Failure.sentence)
    response.headers["Connection"] = "close"  # uvicorn does so, and nginx must know before it sends the next request this way
    return response


def sentence(request: Request, status: int, text: str, retry: bool = False) -> Response:
    """An error where it is expected: a notice for htmx, a page for browsers, a line for others.

    With `retry` the page holds what was sent, to be sent again.
    """
    pages: Pages = request.state["pages"]
    accept = request.headers.get("accept", "")
    if "text/event-stream" in accept:  # never HTML: htmx would read it as events
        response: Response = PlainTextResponse(f"{text}\n", status)
    elif is_htmx(request):
        response = HTMLResponse(pages.html("errors/_notice.html", sentence=text), status)
    elif "text/html" in accept:
        form = request.scope.get("form", {}) if retry and request.method == "POST" else None
        response = HTMLResponse(pages.html("errors/page.html", sentence=text, status=status, form=form), status)
    else:
        response = PlainTextResponse(f"{text}\n", status)
    return response
