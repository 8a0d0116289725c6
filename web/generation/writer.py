"""Writes one answer: requests it from the model server, copies it into the log as it arrives, and finishes it.

The model server may disappear and come back, the database may be unavailable, and another process may have
started the answer. The writer continues from the text in the log.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from kit.logs import event
from web.clients.dbapi import Dbapi
from web.clients.models import Models
from web.clients.refusals import NOT_ACCEPTED, TOO_LONG
from web.clients.thinking import ThinkTags
from web.contract import RESTART, ClaimedAnswer, Prompt
from web.errors import (
    AnswerFailed,
    Busy,
    Gone,
    Loading,
    NotFound,
    Rejected,
    TooLong,
    Unavailable,
    Unreachable,
    Unsupported,
)
from web.generation.answer import Answer
from web.generation.copier import Copier
from web.generation.log_writer import Entry, LeaseLost, LogWriter
from web.generation.prompt import Model, completion_request
from web.generation.retry_policy import BROKEN, MAX_IDLE_LOSSES, MAX_REQUESTS, RETRY_SECONDS, RetryPolicy
from web.generation.titles import Titles
from web.live.hub import LiveAnswers
from web.settings import Settings

SHUTDOWN_FLUSH_SECONDS = 2.0
MAX_CLAIMS = 5  # in a row without new text, by other processes: the answer may be crashing them

NO_MODEL = "The model of this answer is not available any more. Please choose another one."
UNFINISHED = "The model could not finish this answer."
UNEXPECTED = "Something went wrong on the server while the answer was written."

Result = TypeVar("Result")
logger = logging.getLogger("web.writer")


class Writer:
    def __init__(
        self,
        settings: Settings,
        dbapi: Dbapi,
        models: Models,
        log_writer: LogWriter,
        live_answers: LiveAnswers,
        titles: Titles,
        check_queue: Callable[[], None],
    ) -> None:
        self._settings, self._dbapi, self._models, self._titles = settings, dbapi, models, titles
        self._log, self._live_answers, self._check_queue = log_writer, live_answers, check_queue
        self._copier = Copier(settings, log_writer)
        self._retry_policy = RetryPolicy(settings, live_answers)
        self.ended: Counter[str] = Counter()  # by final status

    async def write(self, claimed: ClaimedAnswer, prompt: Prompt | None, own_claims: int) -> None:
        """Writes a claimed answer to its end.

        Reads the prompt from dbapi if it is None. See `Answer` for `own_claims`.
        """
        entry = self._log.open(claimed["id"], claimed["fence"], claimed["last_seq"])
        target = self._models.find(claimed["request"].get("model"))
        answer = Answer(claimed, prompt, entry, own_claims, target or self._models.default)
        try:
            if claimed["stop_requested"]:
                entry.stop_requested.set()
            await self._generate_until_stopped(answer)
            await self._finish(answer)
            self._titles.begin(answer)
        except LeaseLost:
            self._check_queue()  # its slot may be free
            if entry.is_deleted:  # no process will continue it
                await answer.llama.discard_stream(answer.key)
        except asyncio.CancelledError:
            await self._flush_before_shutdown(entry)
            raise
        finally:
            self._log.close(entry)
            self._live_answers.released(entry.id)

    async def _flush_before_shutdown(self, entry: Entry) -> None:
        with contextlib.suppress(LeaseLost, TimeoutError):
            async with asyncio.timeout(SHUTDOWN_FLUSH_SECONDS):
                await entry.wait_flushed()

    async def _generate_until_stopped(self, answer: Answer) -> None:
        """Generates until the end, or until a stop is requested. Sets the status. Raises LeaseLost."""
        entry = answer.entry
        work = asyncio.create_task(self._generate(answer))
        signals = [asyncio.create_task(entry.stop_requested.wait()), asyncio.create_task(entry.lease_lost.wait())]
        try:
            await asyncio.wait([work, *signals], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, *signals):
                task.cancel()
            await asyncio.gather(work, *signals, return_exceptions=True)
        error = None if work.cancelled() else work.exception()
        if entry.lease_lost.is_set() or isinstance(error, LeaseLost):
            raise LeaseLost
        if isinstance(error, AnswerFailed):
            answer.fail(error.message, error.details)
        elif error:
            logger.error("an answer failed", exc_info=error)
            answer.fail(UNEXPECTED)
        elif entry.stop_requested.is_set() and not answer.is_complete:
            answer.status = "stopped"

    # Generating

    async def _generate(self, answer: Answer) -> None:
        """Requests the answer and copies it into the log, over as many connections as it takes. Raises AnswerFailed.

        The model server receives at most `MAX_REQUESTS` requests for one answer, from all processes together.
        """
        if answer.claimed["attempts"] - answer.own_claims >= MAX_CLAIMS:
            raise AnswerFailed(UNFINISHED)
        if self._models.find(answer.claimed["request"].get("model")) is None:
            raise AnswerFailed(NO_MODEL)
        if answer.claimed["last_seq"]:
            await self._load_text(answer)
        prompt = answer.prompt = answer.prompt or await self._load_prompt(answer)
        resume, scale = bool(answer.claimed["previous_key"]), 1.0
        while True:
            attempted_at = time.monotonic()
            try:
                self._check_model(answer)
                resume = resume and answer.llama.keeps_streams
                await (self._resume(answer) if resume else self._request(answer, prompt, scale))
                return
            except Gone:  # the server may have been restarted
                resume = False
                answer.llama.recheck()
            except Unsupported as error:  # the server may accept the request without them
                answer.left_out |= error.names
                self._retry_policy.check_requests(answer, NOT_ACCEPTED, error)
            except TooLong as error:  # the estimate was wrong, and the error has the true number
                if scale > 1.0:
                    raise AnswerFailed(TOO_LONG, error.details) from error
                scale = max(1.01, 1.1 * error.tokens / max(1.0, answer.estimated_tokens))
            except Rejected as error:
                raise AnswerFailed(error.message, error.details) from error
            except Busy as error:
                await self._retry_policy.wait_busy(answer, error)
            except (Loading, Unreachable) as error:
                if answer.is_complete:
                    return
                await self._retry_policy.wait_lost(answer, error, time.monotonic() - attempted_at)
                if error.is_sent:
                    resume = answer.has_output and answer.idle_losses <= MAX_IDLE_LOSSES

    def _check_model(self, answer: Answer) -> None:
        """Raises Loading or Unreachable while the model server is not ready."""
        if not answer.llama.capabilities_known:
            raise Loading(is_sent=False) if answer.llama.state == "loading" else Unreachable(is_sent=False)

    async def _load_text(self, answer: Answer) -> None:
        """Loads the text that other processes have written."""
        log = await self._retry(lambda: self._dbapi.read([(answer.entry.id, 0)]))
        for chunk in log.chunks.get(answer.entry.id, []):
            if chunk.kind == RESTART:
                answer.restart()
            else:
                answer.add(chunk.kind, chunk.text)
        is_inside = answer.llama.has_think_tags and answer.has_reasoning and not answer.text
        answer.thinking = ThinkTags(is_done=bool(answer.text), is_inside=is_inside)

    async def _load_prompt(self, answer: Answer) -> Prompt:
        claimed = answer.claimed
        session, chat, message = UUID(claimed["session_id"]), UUID(claimed["chat_id"]), UUID(claimed["message_id"])
        return await self._retry(lambda: self._dbapi.prompt(session, chat, message))

    async def _resume(self, answer: Answer) -> None:
        answer.thinking.drop_held()
        await self._copier.copy(
            answer, lambda on_deltas: answer.llama.resume(answer.key, answer.offset, on_deltas, answer.thinking)
        )

    async def _request(self, answer: Answer, prompt: Prompt, scale: float) -> None:
        """Requests the answer under the key of the claim, or under a new key that the database stores first."""
        if answer.requests >= MAX_REQUESTS:
            raise AnswerFailed(BROKEN)
        settings, llama = self._settings, answer.llama
        max_tokens = settings.answer_tokens(answer.claimed["request"].get("max_tokens"))
        model = Model(answer.model, max_tokens, llama.context, llama.continues_text)
        answer.must_restart = bool(answer.text) and not llama.continues_text
        if answer.is_key_used:
            answer.rename()
            entry = answer.entry
            if not await self._retry(lambda: self._dbapi.rename(entry.id, entry.fencing_token, answer.key)):
                raise LeaseLost
        answer.scale = scale
        answer.sent()
        answer.thinking = ThinkTags(is_done=bool(answer.text) and not answer.must_restart)
        body, answer.estimated_tokens = completion_request(answer.claimed["request"], prompt, answer.text, model, scale)
        try:
            await self._copier.copy(
                answer,
                lambda on_deltas: llama.complete(body, answer.key, on_deltas, answer.thinking, answer.left_out),
            )
        except Unreachable as error:
            if not error.is_sent:
                answer.not_sent()
            raise

    # Finishing

    async def _finish(self, answer: Answer) -> None:
        """Flushes the log and sets the final status, for as long as it takes. Raises LeaseLost.

        Only then may this process discard the model server's stream: another process may be reading it.
        """
        while not await self._try_finish(answer):  # noqa: ASYNC110 (the condition is in the database)
            await asyncio.sleep(RETRY_SECONDS)
        self.ended[answer.status] += 1
        seconds = round(time.monotonic() - answer.started_at, 3)
        event(logger, "answer", generation=answer.entry.id, status=answer.status, seconds=seconds)
        if answer.may_have_stream:
            await answer.llama.discard_stream(answer.key)

    async def _try_finish(self, answer: Answer) -> bool:
        """Returns False if the log has changed."""
        entry = answer.entry
        await self._log.flush(entry)
        end = answer.end()
        is_done, answer.others_wait = await self._retry(lambda: self._dbapi.finish(end))
        if answer.others_wait:
            self._check_queue()
        if is_done:
            self._live_answers.finished(end)
            return True
        log = await self._retry(lambda: self._dbapi.read([(entry.id, entry.last_seq)]))
        state = log.states.get(entry.id)
        if state and state["fence"] != entry.fencing_token:
            raise LeaseLost
        return state is None or state["status"] != "streaming"

    async def _retry(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Retries until dbapi responds: an answer waits for its database."""
        while True:
            try:
                return await call()
            except NotFound as error:  # the chat was deleted
                raise LeaseLost from error
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)
