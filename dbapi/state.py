"""The objects that the lifespan shares with the handlers."""

import asyncio
from typing import TypedDict

import starlette.requests

from dbapi.listener import Listener
from dbapi.reaper import LeaseReaper
from dbapi.sql.connection import Database


class State(TypedDict):
    database: Database
    listener: Listener
    lease_reaper: LeaseReaper
    draining: asyncio.Event
    message_code_points: int
    answers_per_session: int
    answers_per_address: int


Request = starlette.requests.Request[State]
