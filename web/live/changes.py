"""Notifies open pages of changes in the chats of their session, over the stream that each of them has open.

An event only says what has changed: the page then requests what it shows of it.
"""

import asyncio
from uuid import UUID

import orjson
from sse_starlette import ServerSentEvent

from web.clients.dbapi import Dbapi
from web.contract import ChatRevision, ChatState
from web.errors import NotFound, Unavailable
from web.live.open_streams import OpenStream, OpenStreams

RETRY_SECONDS = 0.25

# The chat was deleted, or the device signed out
GONE = ServerSentEvent(event="gone", data="", sep="\n").encode()


def changed(chat_id: UUID, revision: int | None, list_state: str | None = None) -> bytes:
    """The event of a change. Without a `revision`, only the list of chats has changed; without a `list_state`, the list
    has probably changed."""
    data = {"chat": str(chat_id), "revision": revision, "list": list_state}
    return ServerSentEvent(event="changed", data=orjson.dumps(data).decode(), sep="\n").encode()


def state_event(chat_id: UUID, state: ChatState) -> bytes:
    return changed(chat_id, state["revision"], state["list_state"])


class Changes:
    def __init__(self, dbapi: Dbapi, open_streams: OpenStreams) -> None:
        self._dbapi, self._open_streams = dbapi, open_streams
        self._unchecked: set[OpenStream] = set()
        self._wake = asyncio.Event()
        self.is_leaving = asyncio.Event()  # the process shuts down

    def announce(self, change: ChatRevision) -> None:
        self._open_streams.notify(change.session, changed(change.chat_id, change.revision))

    def check(self, stream: OpenStream) -> None:
        """The page may have missed a change: tells it the state of its chat."""
        self._unchecked.add(stream)
        self._wake.set()

    def check_all(self) -> None:
        for stream in self._open_streams:
            self.check(stream)

    async def run(self) -> None:
        """Checks one page at a time, so that a thousand that reconnect at once do not delay anything else."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._unchecked:
                await self._check(self._unchecked.pop())

    async def _check(self, stream: OpenStream) -> None:
        try:
            stream.notify(state_event(stream.chat_id, await self._dbapi.chat_state(stream.session, stream.chat_id)))
        except NotFound:
            stream.notify(GONE)
        except Unavailable:
            await asyncio.sleep(RETRY_SECONDS)
            if stream in self._open_streams:
                self.check(stream)
