"""Notifications from dbapi, passed on to the parts of this process that need them."""

import asyncio
import contextlib

from web.clients.dbapi import Dbapi
from web.contract import Notification
from web.errors import Unavailable
from web.generation.log_writer import LogWriter
from web.generation.worker import Worker
from web.live.changes import Changes
from web.live.hub import LiveAnswers
from web.live.open_streams import OpenStreams
from web.sessions import Sessions
from web.settings import Settings

RETRY_SECONDS = 0.25
LATE_SECONDS = 0.2  # for which a process that lives may renew a lease late


class Notifications:
    def __init__(
        self,
        dbapi: Dbapi,
        settings: Settings,
        live_answers: LiveAnswers,
        log_writer: LogWriter,
        worker: Worker,
        sessions: Sessions,
        open_streams: OpenStreams,
        changes: Changes,
    ) -> None:
        self._dbapi, self._lease_seconds = dbapi, settings.lease_seconds
        self._silence_seconds = settings.renew_seconds + LATE_SECONDS
        self._live_answers, self._log_writer, self._worker = live_answers, log_writer, worker
        self._sessions, self._open_streams, self._changes = sessions, open_streams, changes

    async def run(self) -> None:
        """Consumes the notification stream, and reconnects whenever it is lost."""
        while True:
            with contextlib.suppress(Unavailable):
                async for notification in self._dbapi.notifications(
                    self._worker.owner, self._lease_seconds, self._silence_seconds
                ):
                    await self._handle(notification)
            await asyncio.sleep(RETRY_SECONDS)

    async def _handle(self, notification: Notification) -> None:
        for change in notification.changes:
            # The response to an append has reported this process's own appends already
            if change.status or change.stop_requested or not self._log_writer.writes(change.generation_id):
                self._live_answers.notified(change)
            if change.stop_requested:
                self._log_writer.request_stop(change.generation_id)
        for chat in notification.chats:
            self._changes.announce(chat)
            self._worker.titles.chat_changed(chat)
        if notification.is_lost:
            self._live_answers.reload_all()
            self._changes.check_all()
        may_need_slot = notification.chats and self._worker.titles.running  # an answer may have started elsewhere
        if notification.is_lost or notification.has_work or may_need_slot:
            self._worker.check_queue()
        if notification.is_lost or notification.signed_out:
            await self._end_streams(None if notification.is_lost else notification.signed_out)

    async def _end_streams(self, devices: list[str] | None) -> None:
        """Ends the streams of signed-out devices.

        None means that notifications were lost: look up every device with a stream.
        """
        self._sessions.forget(devices)
        self._open_streams.sign_out(devices or await self._sessions.signed_out(self._open_streams.devices))
