"""The database application: routes, middleware, shared objects and background tasks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.middleware import Middleware

from dbapi import errors, indexer, openapi, pruner
from dbapi.auth import ServiceCredential
from dbapi.listener import Listener
from dbapi.reaper import LeaseReaper
from dbapi.routes import routes
from dbapi.settings import Settings
from dbapi.sql.connection import Database
from dbapi.state import State
from kit import drain


def create_app(settings: Settings) -> Starlette:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:
        database = Database(settings.dbapi_database_url, settings.dbapi_pool_size, settings.writes_per_session)
        listener = Listener(settings.dbapi_database_url)
        with drain.on_signal() as draining:
            pruning = pruner.run(database, settings.session_days, settings.temporary_chat_hours)
            background = listener.run(), pruning, indexer.run(database)
            tasks = [asyncio.create_task(each) for each in background]
            yield {
                "database": database,
                "listener": listener,
                "lease_reaper": LeaseReaper(database),
                "draining": draining,
                "message_code_points": settings.message_code_points,
                "answers_per_session": settings.answers_per_session,
                "answers_per_address": settings.answers_per_address,
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
