"""The answers that have viewers in this process, or are written here, and how they receive new text.

The response to an append reports the chunks of this process. dbapi reports all others through one stream of
notifications for the whole process; one request then reads the new chunks from the log. Once a second it reads
everything again, in case a notification was lost.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Iterator, Sequence
from uuid import UUID

from web.clients.dbapi import Dbapi
from web.clients.models import Models
from web.contract import FINAL, AnswerState, Chunk, Finish, LogChange, Message
from web.errors import NotFound, UserError
from web.live.answer import LiveAnswer
from web.live.events import EventRenderer
from web.rendering.templates import Templates

POLL_SECONDS = 1.0
TRUST_SECONDS = 1.0  # how long a message is shown without asking the database whether its chat still exists
RETRY_SECONDS = 0.25
MODEL_NOTICES = {
    "ready": "",
    "loading": "The model is still loading. The answer starts as soon as it is ready.",
    "down": "The model server does not respond at the moment. Trying again …",
}

logger = logging.getLogger("web.live")


class _Watched:
    """A live answer, where it belongs, and how many viewers it has."""

    def __init__(self, session: UUID, chat_id: UUID, answer: LiveAnswer) -> None:
        self.session, self.chat_id, self.answer = session, chat_id, answer
        self.viewers = 0
        self.confirmed_at = time.monotonic()  # the database had this message then
        self.is_written_here = False  # this process writes it from the first token, so it need not be read


class LiveAnswers:
    def __init__(self, dbapi: Dbapi, models: Models, templates: Templates) -> None:
        self._dbapi, self._models, self._templates = dbapi, models, templates
        self._watched: dict[str, _Watched] = {}  # by generation id
        self._by_message: dict[str, _Watched] = {}
        self._unread: set[str] = set()
        self._wake = asyncio.Event()
        self._is_leaving = False

    @property
    def viewers(self) -> int:
        return sum(watched.viewers for watched in self._watched.values())

    @contextlib.contextmanager
    def watch(self, session: UUID, chat_id: UUID, message: Message) -> Iterator[LiveAnswer]:
        """The live answer of this message, kept while it has viewers."""
        watched = self._watched.get(message["generation_id"] or "")
        if (
            watched is None or watched.answer.status in FINAL
        ):  # reopened, while a slow viewer still receives the first end
            watched = self._add(session, chat_id, message)
            self._read_soon(watched.answer.id)
        watched.viewers += 1
        if self._is_leaving:
            watched.answer.shut_down()
        try:
            yield watched.answer
        finally:
            watched.viewers -= 1
            self._remove_unused(watched)

    def message(self, session: UUID, chat_id: UUID, message_id: UUID) -> Message | None:
        """The message, if its answer is unfinished and known here, and its chat existed a moment ago."""
        watched = self._by_message.get(str(message_id))
        if (
            watched is None
            or watched.answer.status in FINAL
            or watched.confirmed_at < time.monotonic() - TRUST_SECONDS
            or (watched.session, watched.chat_id) != (session, chat_id)
        ):
            return None
        return watched.answer.message

    def confirm(self, message_id: UUID) -> None:
        """The database has just returned this message."""
        if watched := self._by_message.get(str(message_id)):
            watched.confirmed_at = time.monotonic()

    def chat_deleted(self, chat_id: UUID) -> None:
        for watched in self._watched.values():
            if watched.chat_id == chat_id:
                watched.confirmed_at = -math.inf

    def _add(self, session: UUID, chat_id: UUID, message: Message) -> _Watched:
        renderer = EventRenderer(self._templates, str(chat_id), message)
        watched = _Watched(
            session, chat_id, LiveAnswer(message, renderer, lambda: self._models.of(message["model"]).context)
        )
        self._watched[watched.answer.id] = self._by_message[message["id"]] = watched
        return watched

    def _remove_unused(self, watched: _Watched) -> None:
        answer = watched.answer
        if not watched.viewers and not watched.is_written_here and self._watched.get(answer.id) is watched:
            del self._watched[answer.id], self._by_message[answer.message["id"]]

    # Input from the writer

    def started(self, session: UUID, chat_id: UUID, message: Message) -> None:
        """This process has claimed an answer and writes it from its first token."""
        if message["generation_id"] in self._watched:
            return
        watched = self._add(session, chat_id, message)
        watched.is_written_here = True
        watched.answer.set_state("streaming", None, self._model_notice(watched.answer))
        watched.answer.set_loaded()

    def appended(self, generation_id: str, chunk: Chunk) -> None:
        """The log contains a chunk of this process."""
        watched = self._watched.get(generation_id)
        if watched is None or not watched.answer.is_loaded:
            return
        answer = watched.answer
        if watched.is_written_here and not answer.has_text:
            answer.set_notice("")
        if chunk.fencing_token != answer.fencing_token and answer.last_seq:
            self._read_soon(generation_id)  # another process wrote before: check that its chunks are still in the log
        elif not answer.extend(chunk) or answer.status == "queued":
            self._read_soon(generation_id)

    def show_notice(self, generation_id: str, notice: str) -> None:
        """Tells why this process waits with an answer. An empty notice tells the state of the model server."""
        watched = self._watched.get(generation_id)
        if watched and not watched.answer.has_text:
            watched.answer.set_notice(notice or self._model_notice(watched.answer))

    def finished(self, end: Finish) -> None:
        """This process has finished an answer."""
        watched = self._watched.get(end["id"])
        if watched and watched.answer.is_loaded and watched.answer.ends_at(end["last_seq"], end["fence"]):
            watched.answer.finish(_finished(watched.answer, end))
        self.released(end["id"])

    def released(self, generation_id: str) -> None:
        """This process no longer writes an answer, finished or not."""
        watched = self._watched.get(generation_id)
        if watched is None:
            return
        watched.is_written_here = False
        if watched.answer.status not in FINAL:
            self._read_soon(generation_id)
        self._remove_unused(watched)

    # Input from other processes, the model server, and the operating system

    def notified(self, change: LogChange) -> None:
        watched = self._watched.get(change.generation_id)
        if watched is None or watched.answer.status in FINAL:
            return
        if change.stop_requested:
            watched.confirmed_at = -math.inf  # its chat may have been deleted
        if change.status or change.stop_requested or change.seq > watched.answer.last_seq:
            self._read_soon(change.generation_id)

    def model_changed(self) -> None:
        for watched in self._watched.values():
            if watched.is_written_here and not watched.answer.has_text:
                watched.answer.set_notice(self._model_notice(watched.answer))
        self.reload_all()

    def reload_all(self) -> None:
        """Notifications may be lost."""
        self._unread.update(self._read_from_log())
        self._wake.set()

    def shut_down(self) -> None:
        """The process stops: all viewers reconnect to another one."""
        self._is_leaving = True
        for watched in self._watched.values():
            watched.answer.shut_down()

    # Reading the log

    async def run(self) -> None:
        """Reads new chunks when notified, and all answers once a second."""
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                self._unread.update(self._read_from_log())
            self._wake.clear()
            ids, self._unread = self._unread & self._watched.keys(), set()
            try:
                if ids:
                    await self._read([self._watched[generation_id] for generation_id in ids])
            except UserError:
                self._unread |= ids
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                logger.exception("reading the log failed")
                await asyncio.sleep(RETRY_SECONDS)

    def _model_notice(self, answer: LiveAnswer) -> str:
        return MODEL_NOTICES[self._models.of(answer.message["model"]).state]

    def _read_from_log(self) -> list[str]:
        return [generation_id for generation_id, watched in self._watched.items() if not watched.is_written_here]

    def _read_soon(self, generation_id: str) -> None:
        self._unread.add(generation_id)
        self._wake.set()

    async def _read(self, read: Sequence[_Watched]) -> None:
        log = await self._dbapi.read([(watched.answer.id, watched.answer.last_seq) for watched in read])
        updates = (
            self._update(each, log.states.get(each.answer.id), log.chunks.get(each.answer.id, [])) for each in read
        )
        await asyncio.gather(*updates)

    async def _update(self, watched: _Watched, state: AnswerState | None, chunks: list[Chunk]) -> None:
        answer = watched.answer
        if state is None:
            _finish_deleted(answer)
        elif state["status"] in FINAL:
            for chunk in chunks:
                answer.extend(chunk)
            try:
                answer.finish(await self._dbapi.message(watched.session, watched.chat_id, UUID(answer.message["id"])))
            except NotFound:
                _finish_deleted(answer)
            except UserError:
                pass
        else:
            await self._update_unfinished(answer, state, chunks)
        answer.set_loaded()

    async def _update_unfinished(self, answer: LiveAnswer, state: AnswerState, chunks: list[Chunk]) -> None:
        if (
            answer.last_seq and state["fence"] != answer.fencing_token
        ):  # another process may have rewritten the end of the log
            log = await self._dbapi.read([(answer.id, 0)])
            answer.replace(log.chunks.get(answer.id, []), state["fence"])
        else:
            for chunk in chunks:
                answer.extend(chunk)
        answer.set_state(state["status"], state["place"], "" if answer.has_text else self._model_notice(answer))


def _finish_deleted(answer: LiveAnswer) -> None:
    answer.finish({**answer.message, "status": "stopped", "content": answer.text, "reasoning": answer.reasoning})


def _finished(answer: LiveAnswer, end: Finish) -> Message:
    return {
        **answer.message,
        "status": end["status"],
        "error": end["error"],
        "finish_reason": end["finish_reason"],
        "usage": end["usage"],
        "timings": end["timings"],
        "content": answer.text,
        "reasoning": answer.reasoning,
    }
