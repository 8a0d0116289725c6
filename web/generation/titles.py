"""Titles from the model: one bounded request a chat, after an answer, while the model server has room.

The request is that of the answer, followed by the answer and a question for a title. So the model server reads its
cache up to there, and so does the next answer of the chat. A title is less important than any answer: it is given up
when one might wait for it. A title that is lost remains what it was: the first words of the chat.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from uuid import UUID

from kit.logs import event
from web.clients.completions import Delta
from web.clients.dbapi import Dbapi
from web.clients.llama import Llama
from web.clients.thinking import ThinkTags
from web.contract import ChatRevision
from web.errors import ModelError, Unsupported, UserError
from web.generation.answer import Answer
from web.generation.prompt import Model, title_request
from web.generation.title_text import title_in
from web.settings import Settings

SECONDS = 15.0  # for the whole request
MAX_TOKENS = 48
MAX_REPLY = 2000  # characters that are read

logger = logging.getLogger("web.titles")


class Titles:
    def __init__(self, settings: Settings, dbapi: Dbapi) -> None:
        self._settings, self._dbapi = settings, dbapi
        self._tasks: dict[UUID, asyncio.Task[None]] = {}  # by chat
        self._llamas: dict[UUID, Llama] = {}  # that write them
        self._revisions: dict[UUID, int] = {}  # of these chats, when their titles were requested
        self._is_leaving = False

    @property
    def running(self) -> int:
        return len(self._tasks)

    def _is_wanted(self, llama: Llama) -> bool:
        """A tiny model writes worse titles than the first words of a chat."""
        return self._settings.titles == "on" or (self._settings.titles == "auto" and not llama.is_tiny)

    def begin(self, answer: Answer) -> None:
        """Requests a title in the background, if this answer's chat wants one."""
        if self._is_leaving or not self._is_wanted(answer.llama):
            return
        if answer.status != "complete" or answer.others_wait or not answer.text:
            return
        chat_id = UUID(answer.claimed["chat_id"])
        if answer.prompt and answer.prompt.get("wants_title") and chat_id not in self._tasks:
            task = asyncio.create_task(self._run(answer, chat_id), name=f"title {chat_id}")
            self._tasks[chat_id], self._llamas[chat_id] = task, answer.llama
            task.add_done_callback(lambda done: self._ended(chat_id, done))

    def make_room(self, chat_id: UUID, llama: Llama, answers: int) -> None:
        """An answer of this chat starts here; with it, this process has so many of this server. It may need the slot of
        a title."""
        self.give_up(chat_id)
        others = [each for each, used in self._llamas.items() if used is llama]
        if answers + len(others) > llama.slots:
            for each in others:
                self.give_up(each)

    def give_up_all(self) -> None:
        """An answer waits for a slot."""
        for chat_id in list(self._tasks):
            self.give_up(chat_id)

    def chat_changed(self, change: ChatRevision) -> None:
        """A change after the request is that of a user: another answer needs the cache, or there is another title."""
        if change.revision is not None and change.revision > self._revisions.get(change.chat_id, change.revision):
            self.give_up(change.chat_id)

    def give_up(self, chat_id: UUID) -> None:
        if task := self._tasks.get(chat_id):
            task.cancel()

    async def stop(self) -> None:
        """The process shuts down."""
        self._is_leaving = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, chat_id: UUID, task: asyncio.Task[None]) -> None:
        del self._tasks[chat_id], self._llamas[chat_id]
        self._revisions.pop(chat_id, None)
        if not task.cancelled() and task.exception():
            logger.error("writing a title failed", exc_info=task.exception())

    async def _run(self, answer: Answer, chat_id: UUID) -> None:
        session, started_at = UUID(answer.claimed["session_id"]), time.monotonic()
        body = self._body(answer)
        if body is None or not answer.llama.capabilities_known:
            return
        result = "lost"
        try:
            async with asyncio.timeout(SECONDS):
                wanted = await self._dbapi.request_title(session, chat_id, answer.pool, answer.llama.slots)
                if not wanted["is_due"]:
                    result = ""
                    return
                self._revisions[chat_id] = wanted["revision"]
                title = await self._request(answer.llama, body)
                del self._revisions[chat_id]  # the next change is this one
                result = await self._store(session, chat_id, title)
        except (ModelError, UserError, TimeoutError) as error:
            result = type(error).__name__
        finally:
            if result:
                seconds = round(time.monotonic() - started_at, 3)
                event(logger, "title", generation=answer.entry.id, result=result, seconds=seconds)

    def _body(self, answer: Answer) -> Mapping[str, object] | None:
        """The request, or None if it may be too long for the model."""
        assert answer.prompt
        settings, llama, parameters = self._settings, answer.llama, answer.claimed["request"]
        max_tokens = settings.answer_tokens(parameters.get("max_tokens"))
        model = Model(answer.model, max_tokens, llama.context, llama.continues_text)
        body, tokens = title_request(parameters, answer.prompt, answer.text, model, answer.scale, MAX_TOKENS)
        if llama.context and tokens + MAX_TOKENS > llama.context:
            return None
        return body | {"chat_template_kwargs": {"enable_thinking": False}} if answer.has_reasoning else body

    async def _request(self, llama: Llama, body: Mapping[str, object]) -> str:
        """The title in the model's reply, or an empty string. Raises ModelError.

        Parameters that the model server refuses are left out in a second request, as in requests for answers.
        """
        left_out: set[str] = set()
        for is_last in (False, True):
            reply = _Reply()
            try:
                await llama.complete(body, "", reply.on_deltas, ThinkTags(), left_out)
                return reply.title()
            except Unsupported as error:
                if is_last:
                    raise
                left_out |= error.names
        return ""

    async def _store(self, session: UUID, chat_id: UUID, title: str) -> str:
        """What became of the title, for the log."""
        if not title:
            return "unusable"
        return "stored" if await self._dbapi.store_title(session, chat_id, title) else "not wanted"


class _Reply:
    def __init__(self) -> None:
        self._text, self._finish_reason = "", ""

    def on_deltas(self, deltas: list[Delta]) -> bool:
        for delta in deltas:
            self._text += delta.content
            self._finish_reason = delta.finish_reason or self._finish_reason
        return len(self._text) > MAX_REPLY

    def title(self) -> str:
        return title_in(self._text, is_cut_off=self._finish_reason == "length")
