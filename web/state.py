"""Objects that all requests share. The lifespan of the application creates them; handlers read `request.state[...]`."""

from typing import TypedDict

import starlette.requests

from web.addresses import Addresses
from web.clients.dbapi import Dbapi
from web.clients.models import Models
from web.concurrency import PageLimit
from web.generation.worker import Worker
from web.live.changes import Changes
from web.live.hub import LiveAnswers
from web.live.open_streams import OpenStreams
from web.rendering.templates import Templates
from web.sessions import Sessions
from web.settings import Settings


class State(TypedDict):
    settings: Settings
    templates: Templates
    sessions: Sessions
    addresses: Addresses
    dbapi: Dbapi
    models: Models
    worker: Worker
    live_answers: LiveAnswers
    open_streams: OpenStreams
    changes: Changes
    page_limit: PageLimit
    search_limit: PageLimit


Request = starlette.requests.Request[State]
