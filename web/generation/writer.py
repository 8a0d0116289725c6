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
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from kit.logs import event
from web.clients.completions import Delta
from web.clients.dbapi import Dbapi
from web.clients.llama import Llama
from web.clients.refusals import NOT_ACCEPTED, TOO_BUSY, TOO_LONG
from web.clients.thinking import ThinkTags
from web.contract import CONTENT, REASONING, RESTART, ClaimedAnswer, Prompt
from web.errors import (
    AnswerFailed,
    Busy,
    Gone,
    Loading,
    ModelError,
    NotFound,
    Rejected,
    TooLong,
    Unavailable,
    Unreachable,
    Unsupported,
)
from web.generation.answer import Answer
from web.generation.log_writer import Entry, LeaseLost, LogWriter
from web.generation.prompt import Model, completion_request
from web.live.hub import LiveAnswers
from web.settings import Settings

RETRY_SECONDS = 0.25
SHUTDOWN_FLUSH_SECONDS = 2.0
MAX_REQUESTS = 5  # to the model server for one answer, by all processes
MAX_LOSSES, MAX_IDLE_LOSSES = 20, 2  # of a stream that can be resumed: in all, and in a row without new text
BROKEN_SECONDS, LOADING_SECONDS = (0.25, 0.5, 1.0, 2.0), (0.5, 2.0, 5.0, 10.0)  # pauses after each loss in a row
END_SECONDS = 3.0  # between the last token and the end of the stream
MAX_SIGNS_OF_LIFE = 10  # how many times the usual silence, if the server sends comments meanwhile
MAX_WAIT_SECONDS = 600.0  # for a busy model server
MAX_CLAIMS = 5  # in a row without new text, by other processes: the answer may be crashing them

RESTARTED = "The model server was lost, so the answer was restarted."
UNFINISHED = "The model could not finish this answer."
UNREACHABLE = "The model server cannot be reached. The text written so far is kept."
BROKEN = "The model server broke off this answer several times. The text written so far is kept."
WAITING = "The model server is busy. The answer continues at {until}."
BUSY_UNTIL = "The model server is too busy until {until}. Please try again then."
UNEXPECTED = "Something went wrong on the server while the answer was written."
MODEL_SILENT = "The model did not start to answer in time. Please try again."
MODEL_STALLED = "The model stopped in the middle of its answer. The text written so far is kept."

Result = TypeVar("Result")
logger = logging.getLogger("web.writer")


class Writer:
    def __init__(
        self,
        settings: Settings,
        dbapi: Dbapi,
        llama: Llama,
        log_writer: LogWriter,
        live_answers: LiveAnswers,
        check_queue: Callable[[], None],
    ) -> None:
        self._settings, self._dbapi, self._llama = settings, dbapi, llama
        self._log, self._live_answers, self._check_queue = log_writer, live_answers, check_queue
        self.ended: Counter[str] = Counter()  # by final status

    async def write(self, claimed: ClaimedAnswer, prompt: Prompt | None, own_claims: int) -> None:
        """Writes a claimed answer to its end.

        Reads the prompt from dbapi if it is None. See `Answer` for `own_claims`.
        """
        entry = self._log.open(claimed["id"], claimed["fence"], claimed["last_seq"])
        answer = Answer(claimed, prompt, entry, own_claims)
        try:
            if claimed["stop_requested"]:
                entry.stop_requested.set()
            await self._generate_until_stopped(answer)
            await self._finish(answer)
        except LeaseLost:
            self._check_queue()  # its slot may be free
            if entry.is_deleted:  # no process will continue it
                await self._llama.discard_stream(answer.key)
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
        if answer.claimed["last_seq"]:
            await self._load_text(answer)
        prompt = answer.prompt or await self._load_prompt(answer)
        resume, scale = bool(answer.claimed["previous_key"]), 1.0
        while True:
            attempted_at = time.monotonic()
            try:
                await self._check_model()
                resume = resume and self._llama.keeps_streams
                await (self._resume(answer) if resume else self._request(answer, prompt, scale))
                return
            except Gone:  # the server may have been restarted
                resume = False
                self._llama.recheck()
            except Unsupported as error:  # the server may accept the request without them
                answer.left_out |= error.names
                self._check_requests(answer, NOT_ACCEPTED, error)
            except TooLong as error:  # the estimate was wrong, and the error has the true number
                if scale > 1.0:
                    raise AnswerFailed(TOO_LONG, error.details) from error
                scale = max(1.01, 1.1 * error.tokens / max(1.0, answer.estimated_tokens))
            except Rejected as error:
                raise AnswerFailed(error.message, error.details) from error
            except Busy as error:
                await self._wait_busy(answer, error)
            except (Loading, Unreachable) as error:
                if answer.is_complete:
                    return
                await self._wait_lost(answer, error, time.monotonic() - attempted_at)
                if error.is_sent:
                    resume = answer.has_output and answer.idle_losses <= MAX_IDLE_LOSSES

    async def _check_model(self) -> None:
        """Raises Loading or Unreachable while the model server is not ready."""
        if not self._llama.capabilities_known:
            raise Loading(is_sent=False) if self._llama.state == "loading" else Unreachable(is_sent=False)

    def _check_requests(self, answer: Answer, message: str, error: ModelError) -> None:
        """Raises AnswerFailed if the model server had enough requests for this answer."""
        if answer.requests >= MAX_REQUESTS:
            raise AnswerFailed(message, error.details) from error

    async def _wait_lost(self, answer: Answer, error: Loading | Unreachable, attempt_seconds: float) -> None:
        """Waits before the next attempt. Raises AnswerFailed if the model server was away for too long, or broke off
        too often. Text that arrives between two losses does not extend the patience."""
        pause = RETRY_SECONDS
        if error.is_sent:
            answer.count_loss()
            self._check_losses(answer, error)
            pauses = LOADING_SECONDS if isinstance(error, Loading) else BROKEN_SECONDS
            pause = pauses[min(answer.losses, len(pauses)) - 1]
        else:
            answer.away_seconds += attempt_seconds
        is_loading = isinstance(error, Loading)
        patience = self._settings.first_token_seconds if is_loading else self._settings.unreachable_seconds
        if patience and answer.away_seconds > patience:
            raise AnswerFailed(UNREACHABLE, error.details) from error
        answer.away_seconds += pause
        self._llama.recheck()
        await asyncio.sleep(pause)

    def _check_losses(self, answer: Answer, error: Loading | Unreachable) -> None:
        """Raises AnswerFailed if the model server broke off too often. A stream that it keeps may be resumed."""
        may_resume = self._llama.keeps_streams and answer.has_output and answer.losses < MAX_LOSSES
        if not may_resume:
            self._check_requests(answer, UNREACHABLE if isinstance(error, Loading) else BROKEN, error)

    async def _wait_busy(self, answer: Answer, error: Busy) -> None:
        """Waits as long as the model server asks. Raises AnswerFailed if that is too long, or too often."""
        self._check_requests(answer, TOO_BUSY, error)
        seconds = BROKEN_SECONDS[min(answer.requests, len(BROKEN_SECONDS)) - 1]
        seconds = max(RETRY_SECONDS, seconds if error.seconds is None else error.seconds)
        until = f"{datetime.now(UTC) + timedelta(seconds=min(seconds, MAX_WAIT_SECONDS)):%H:%M:%S} UTC"
        patience = self._settings.first_token_seconds or MAX_WAIT_SECONDS
        answer.busy_seconds += seconds
        if answer.busy_seconds > patience:
            message = TOO_BUSY if error.seconds is None else BUSY_UNTIL.format(until=until)
            raise AnswerFailed(message, error.details) from error
        self._live_answers.show_notice(answer.entry.id, WAITING.format(until=until))
        await asyncio.sleep(seconds)
        self._live_answers.show_notice(answer.entry.id, "")

    async def _load_text(self, answer: Answer) -> None:
        """Loads the text that other processes have written."""
        log = await self._retry(lambda: self._dbapi.read([(answer.entry.id, 0)]))
        for chunk in log.chunks.get(answer.entry.id, []):
            if chunk.kind == RESTART:
                answer.restart()
            else:
                answer.add(chunk.kind, chunk.text)
        is_inside = self._llama.has_think_tags and answer.has_reasoning and not answer.text
        answer.thinking = ThinkTags(is_done=bool(answer.text), is_inside=is_inside)

    async def _load_prompt(self, answer: Answer) -> Prompt:
        claimed = answer.claimed
        session, chat, message = UUID(claimed["session_id"]), UUID(claimed["chat_id"]), UUID(claimed["message_id"])
        return await self._retry(lambda: self._dbapi.prompt(session, chat, message))

    async def _resume(self, answer: Answer) -> None:
        answer.thinking.drop_held()
        await self._copy(
            answer, lambda on_deltas: self._llama.resume(answer.key, answer.offset, on_deltas, answer.thinking)
        )

    async def _request(self, answer: Answer, prompt: Prompt, scale: float) -> None:
        """Requests the answer under the key of the claim, or under a new key that the database stores first."""
        if answer.requests >= MAX_REQUESTS:
            raise AnswerFailed(BROKEN)
        settings, llama = self._settings, self._llama
        max_tokens = settings.answer_tokens(answer.claimed["request"].get("max_tokens"))
        model = Model(settings.model, max_tokens, llama.context, llama.continues_text)
        answer.must_restart = bool(answer.text) and not llama.continues_text
        if answer.is_key_used:
            answer.rename()
            entry = answer.entry
            if not await self._retry(lambda: self._dbapi.rename(entry.id, entry.fencing_token, answer.key)):
                raise LeaseLost
        answer.sent()
        answer.thinking = ThinkTags(is_done=bool(answer.text) and not answer.must_restart)
        body, answer.estimated_tokens = completion_request(answer.claimed["request"], prompt, answer.text, model, scale)
        try:
            await self._copy(
                answer,
                lambda on_deltas: llama.complete(body, answer.key, on_deltas, answer.thinking, answer.left_out),
            )
        except Unreachable as error:
            if not error.is_sent:
                answer.not_sent()
            raise

    async def _copy(self, answer: Answer, read: Callable[[Callable[[list[Delta]], bool]], Awaitable[None]]) -> None:
        """Copies deltas into the log until the model is done.

        Raises a ModelError, or AnswerFailed if the model stays silent.
        """
        answer.written_at = time.monotonic()
        try:
            async with asyncio.timeout(None) as patience:
                self._extend_patience(patience, self._settings.first_token_seconds, answer.written_at)
                await read(partial(self._on_deltas, answer, patience))
        except TimeoutError:
            if answer.is_complete:  # only the end of the stream is missing
                return
            raise AnswerFailed(MODEL_STALLED if answer.has_output else MODEL_SILENT) from None

    def _on_deltas(self, answer: Answer, patience: asyncio.Timeout, deltas: list[Delta]) -> bool:
        """Returns True when the answer needs no more. Without deltas it is a sign of life, such as a comment."""
        now = time.monotonic()
        for delta in deltas:
            if delta.content or delta.reasoning:
                answer.written_at = now
                if answer.must_restart:
                    answer.restart()
                    self._log.write(answer.entry, RESTART, RESTARTED, 0)
            self._write(answer, delta)
            if answer.is_cut_off:
                return True
        seconds = self._settings.token_seconds if answer.has_output else self._settings.first_token_seconds
        if answer.finish_reason:
            seconds = min(seconds or END_SECONDS, END_SECONDS)
        if now - answer.written_at <= MAX_SIGNS_OF_LIFE * seconds or not seconds:
            self._extend_patience(patience, seconds, now)
        return False

    def _extend_patience(self, patience: asyncio.Timeout, seconds: float, now: float) -> None:
        """Allows this much silence from now on, and up to a tenth more: so most tokens need not set the timer again."""
        if seconds and not seconds <= (patience.when() or 0.0) - now <= 1.1 * seconds:
            patience.reschedule(now + 1.1 * seconds)
        elif not seconds and patience.when():
            patience.reschedule(None)

    def _write(self, answer: Answer, delta: Delta) -> None:
        max_bytes = self._settings.answer_bytes
        if delta.reasoning and (reasoning := answer.add(REASONING, delta.reasoning, max_bytes)):
            self._log.write(answer.entry, REASONING, reasoning, answer.offset if delta.content else delta.offset)
        if delta.content and (content := answer.add(CONTENT, delta.content, max_bytes)):
            self._log.write(answer.entry, CONTENT, content, delta.offset)
        answer.offset = delta.offset
        answer.finish_reason = delta.finish_reason or answer.finish_reason
        answer.usage = delta.usage or answer.usage
        answer.timings = delta.timings or answer.timings

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
            await self._llama.discard_stream(answer.key)

    async def _try_finish(self, answer: Answer) -> bool:
        """Returns False if the log has changed."""
        entry = answer.entry
        await self._log.flush(entry)
        end = answer.end()
        is_done, others_wait = await self._retry(lambda: self._dbapi.finish(end))
        if others_wait:
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
