"""Copies the deltas of a model server's stream into the log, until the model is done or silent for too long."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from web.clients.completions import Delta
from web.contract import CONTENT, REASONING, RESTART
from web.errors import AnswerFailed
from web.generation.answer import Answer
from web.generation.log_writer import LogWriter
from web.settings import Settings

END_SECONDS = 3.0  # between the last token and the end of the stream
MAX_SIGNS_OF_LIFE = 10  # how many times the usual silence, if the server sends comments meanwhile

RESTARTED = "The model server was lost, so the answer was restarted."
MODEL_SILENT = "The model did not start to answer in time. Please try again."
MODEL_STALLED = "The model stopped in the middle of its answer. The text written so far is kept."


class Copier:
    def __init__(self, settings: Settings, log_writer: LogWriter) -> None:
        self._settings, self._log = settings, log_writer

    async def copy(self, answer: Answer, read: Callable[[Callable[[list[Delta]], bool]], Awaitable[None]]) -> None:
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
