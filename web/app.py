"""The web application: routes, middleware, shared objects and background tasks."""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from kit import drain
from kit.routing import Mount
from web.addresses import Addresses
from web.appearance import RememberAppearance
from web.clients.dbapi import Dbapi
from web.clients.models import Models
from web.concurrency import PageLimit
from web.errors import UserError
from web.generation.log_writer import LogWriter
from web.generation.notifications import Notifications
from web.generation.worker import Worker
from web.live.changes import Changes
from web.live.hub import LiveAnswers
from web.live.open_streams import OpenStreams
from web.middleware import AllowedHosts, SameOrigin, SecurityHeaders
from web.pages import error_pages
from web.pages.static_files import StaticFiles
from web.rendering.assets import STATIC
from web.rendering.templates import Templates
from web.routes import routes
from web.sessions import Sessions
from web.settings import Settings
from web.state import State

RESTART_SECONDS = 1.0

logger = logging.getLogger("web")


def create_app(settings: Settings) -> ASGIApp:
    app = Starlette(
        routes=[*routes, Mount("/static", StaticFiles(directory=STATIC))],
        lifespan=partial(lifespan, settings),
        middleware=[
            Middleware(AllowedHosts, hostname=settings.hostname),
            Middleware(SameOrigin, origin=settings.origin),
            Middleware(RememberAppearance),
        ],
        exception_handlers={
            UserError: error_pages.user_error,
            HTTPException: error_pages.http_error,
            Exception: error_pages.unexpected_error,
        },
    )
    app.router.redirect_slashes = False
    # Outermost, so that responses to unexpected errors have the headers, too
    return SecurityHeaders(app, settings.secure)


@contextlib.asynccontextmanager
async def lifespan(settings: Settings, app: Starlette) -> AsyncIterator[State]:
    templates, dbapi = Templates(), Dbapi(settings.dbapi_url, settings.dbapi_keys[0])
    models = Models(settings)
    live = LiveAnswers(dbapi, models, templates)
    log_writer = LogWriter(dbapi, settings, live.appended)
    worker = Worker(settings, dbapi, models, log_writer, live)
    sessions, open_streams = Sessions(settings, dbapi), OpenStreams(settings.streams_per_session)
    changes = Changes(dbapi, open_streams)
    notifications = Notifications(dbapi, settings, live, log_writer, worker, sessions, open_streams, changes)
    background = (
        partial(models.run, live.model_changed),
        log_writer.run,
        live.run,
        worker.run,
        notifications.run,
        changes.run,
    )
    with drain.on_signal() as draining, on_hangup(models.reload):
        tasks = [asyncio.create_task(restart_on_error(task)) for task in background]
        handing_over = asyncio.create_task(hand_over(draining, live, changes, worker))
        yield {
            "settings": settings,
            "templates": templates,
            "sessions": sessions,
            "addresses": Addresses(settings.secret_keys[0]),
            "dbapi": dbapi,
            "models": models,
            "worker": worker,
            "live_answers": live,
            "open_streams": open_streams,
            "changes": changes,
            "page_limit": PageLimit(),
            "search_limit": PageLimit(),  # pages do not wait for searches
        }
        draining.set()
        await handing_over
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await models.close()
    await dbapi.close()


@contextlib.contextmanager
def on_hangup(action: Callable[[], None]) -> Iterator[None]:
    """Runs the action at each SIGHUP. In another thread, a signal has no effect."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, action)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


async def restart_on_error(task: Callable[[], Awaitable[None]]) -> None:
    """The process is useless without any of its background tasks, so a failed one is restarted."""
    while True:
        try:
            return await task()
        except Exception:
            logger.exception("a background task failed")
            await asyncio.sleep(RESTART_SECONDS)


async def hand_over(draining: asyncio.Event, live: LiveAnswers, changes: Changes, worker: Worker) -> None:
    """Hands over at the shutdown signal, not after the last stream, so that other processes continue the answers."""
    await draining.wait()
    live.shut_down()
    changes.is_leaving.set()
    await worker.hand_over()
