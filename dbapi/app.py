"""The database service: every URL, and what the app is made of."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TypedDict

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dbapi import chats, devices, errors, events, generations, messages, openapi, sessions
from dbapi.auth import ServiceCredential
from dbapi.database import Database
from dbapi.events import Listener, Undertaker
from dbapi.settings import Settings
from dbapi.sql import log
from kit import drain, ids

PRUNE_EVERY_SECONDS = 60.0
PRUNE_AGE = timedelta(minutes=10)  # a viewer who comes back later gets the finished message instead
PRUNE_MOST = 500

logger = logging.getLogger("dbapi")


class State(TypedDict):
    database: Database
    listener: Listener
    undertaker: Undertaker
    draining: asyncio.Event
    message_code_points: int
    answers_per_session: int


async def healthz(request: Request) -> Response:
    return JSONResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    await request.state["database"].check()
    return JSONResponse({"status": "ready"})


ids.register()

routes = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    # The generation log, asked most of all
    Route("/generations/claim", generations.claim, methods=["POST"]),
    Route("/generations/append", generations.append, methods=["POST"]),
    Route("/generations/finish", generations.finish, methods=["POST"]),
    Route("/generations/rename", generations.rename, methods=["POST"]),
    Route("/generations/release", generations.release, methods=["POST"]),
    Route("/generations/read", generations.read, methods=["POST"]),
    Route("/events", events.index),
    # Sessions, and the devices that open them
    Route("/sessions", sessions.create, methods=["POST"]),
    Route("/sessions/find", sessions.find, methods=["POST"]),
    Route("/devices", devices.index),
    Route("/devices", devices.create, methods=["POST"]),
    Route("/devices", devices.delete_all, methods=["DELETE"]),
    Route("/devices/{device_id:id}", devices.delete, methods=["DELETE"]),
    Route("/links", devices.create_link, methods=["POST"]),
    # Chats
    Route("/chats", chats.create, methods=["POST"]),
    Route("/chats", chats.index),
    Route("/chats/{chat_id:id}", chats.show),
    Route("/chats/{chat_id:id}", chats.change, methods=["PATCH"]),
    Route("/chats/{chat_id:id}", chats.delete, methods=["DELETE"]),
    Route("/chats/{chat_id:id}/restore", chats.restore, methods=["POST"]),
    Route("/chats/{chat_id:id}/tip", chats.show_branch, methods=["PUT"]),
    Route("/chats/username/{username:path}", chats.show_latest),
    # Messages, and turns: a message with its answer
    Route("/chats/{chat_id:id}/message", messages.create, methods=["POST"]),
    Route("/chats/{chat_id:id}/turns", messages.create_turn, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}", messages.show),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/prompt", messages.prompt),
    Route("/chats/{chat_id:id}/messages/{message_id:id}", messages.delete, methods=["DELETE"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/answers", messages.regenerate, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/continue", messages.go_on, methods=["POST"]),
    Route("/chats/{chat_id:id}/messages/{message_id:id}/stop", messages.stop, methods=["POST"]),
]


def create_app(settings: Settings) -> Starlette:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:
        database = Database(settings.dbapi_database_url, settings.dbapi_pool_size, settings.writes_per_session)
        listener = Listener(settings.dbapi_database_url)
        with drain.on_signal() as draining:
            tasks = [asyncio.create_task(listener.run()), asyncio.create_task(prune(database))]
            yield {
                "database": database,
                "listener": listener,
                "undertaker": Undertaker(database),
                "draining": draining,
                "message_code_points": settings.message_code_points,
                "answers_per_session": settings.answers_per_session,
            }
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await database.close()

    development = settings.environment == "development"
    app = Starlette(
        routes=routes + (openapi.routes(routes) if development else []),
        lifespan=lifespan,
        middleware=[Middleware(ServiceCredential, keys=settings.dbapi_keys, development=development)],
        exception_handlers=dict(errors.handlers),
    )
    app.router.redirect_slashes = False
    return app


async def prune(database: Database) -> None:
    """Takes the log of long finished answers away, a little at a time."""
    while True:
        await asyncio.sleep(PRUNE_EVERY_SECONDS)
        try:
            async with database.log() as door:
                await log.prune(door, PRUNE_AGE, PRUNE_MOST)
        except Exception as error:  # the next round will do it
            logger.warning("pruning failed: %s", type(error).__name__)
