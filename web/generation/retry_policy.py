"""How long a writer waits for a model server that is lost or busy, and when the answer fails instead."""

import asyncio
from datetime import UTC, datetime, timedelta

from web.clients.refusals import TOO_BUSY
from web.errors import AnswerFailed, Busy, Loading, ModelError, Unreachable
from web.generation.answer import Answer
from web.live.hub import LiveAnswers
from web.settings import Settings

RETRY_SECONDS = 0.25
MAX_REQUESTS = 5  # to the model server for one answer, by all processes
MAX_LOSSES, MAX_IDLE_LOSSES = 20, 2  # of a stream that can be resumed: in all, and in a row without new text
BROKEN_SECONDS, LOADING_SECONDS = (0.25, 0.5, 1.0, 2.0), (0.5, 2.0, 5.0, 10.0)  # pauses after each loss in a row
MAX_WAIT_SECONDS = 600.0  # for a busy model server

UNREACHABLE = "The model server cannot be reached. The text written so far is kept."
BROKEN = "The model server broke off this answer several times. The text written so far is kept."
WAITING = "The model server is busy. The answer continues at {until}."
BUSY_UNTIL = "The model server is too busy until {until}. Please try again then."


class RetryPolicy:
    def __init__(self, settings: Settings, live_answers: LiveAnswers) -> None:
        self._settings, self._live_answers = settings, live_answers

    def check_requests(self, answer: Answer, message: str, error: ModelError) -> None:
        """Raises AnswerFailed if the model server had enough requests for this answer."""
        if answer.requests >= MAX_REQUESTS:
            raise AnswerFailed(message, error.details) from error

    async def wait_lost(self, answer: Answer, error: Loading | Unreachable, attempt_seconds: float) -> None:
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
        answer.llama.recheck()
        await asyncio.sleep(pause)

    async def wait_busy(self, answer: Answer, error: Busy) -> None:
        """Waits as long as the model server asks. Raises AnswerFailed if that is too long, or too often."""
        self.check_requests(answer, TOO_BUSY, error)
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

    def _check_losses(self, answer: Answer, error: Loading | Unreachable) -> None:
        """Raises AnswerFailed if the model server broke off too often. A stream that it keeps may be resumed."""
        may_resume = answer.llama.keeps_streams and answer.has_output and answer.losses < MAX_LOSSES
        if not may_resume:
            self.check_requests(answer, UNREACHABLE if isinstance(error, Loading) else BROKEN, error)
