"""How one answer is written: asked from the model server, copied into the log as it comes, and finished.

The model server may be lost and come back, the database may be gone for a while, and another process may have begun this
answer: it goes on from what the log holds.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from kit.logs import event
from web.clients.completions import Piece, Stream
from web.clients.dbapi import Dbapi
from web.clients.llama import TOO_LONG, Llama
from web.errors import Gone, Loading, ModelFailure, NotFound, Rejected, TooLong, Unavailable, Unreachable
from web.generation import context_window
from web.generation.log_writer import ANEW, CONTENT, REASONING, Entry, Fenced, Log
from web.live.hub import Watch
from web.settings import Settings

RETRY_SECONDS = 0.25
MOST_ATTEMPTS = 5  # claims in a row without a single new character, by processes that may have died of it
PASSED_ON = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "max_tokens", "seed")
BEGUN_ANEW = "The model server was lost, so the answer was begun anew."

Result = TypeVar("Result")
logger = logging.getLogger("web.writer")


class Writer:
    def __init__(self, settings: Settings, dbapi: Dbapi, llama: Llama, log: Log, watch: Watch, look_for_work: Callable[[], None]) -> None:
        self._settings, self._dbapi, self._llama, self._log, self._watch = settings, dbapi, llama, log, watch
        self._look_for_work = look_for_work
        self.ended: Counter[str] = Counter()  # by their final status

    async def write(self, claimed: dict[str, Any], prompt: dict[str, Any] | None, survived: int) -> None:
        """Writes a claimed answer to its end; without the prompt it is asked for. `survived`: of its claims in a row, those that this
        process did not die of."""
        entry = self._log.open(claimed["id"], claimed["fence"], claimed["last_seq"])
        answer = Answer(claimed, prompt, entry, survived)
        try:
            if claimed["stop_requested"]:
                entry.stop_requested.set()
            await self._until_stopped(answer)
            await self._finish(answer)
        except Fenced:
            self._look_for_work()  # its slot may be free
            if entry.deleted:  # nobody will go on with it
                await self._llama.forget(answer.key)
        except asyncio.CancelledError:
            await self._flush(entry)
            raise
        finally:
            self._log.close(entry)
            self._watch.left(entry.id)

    async def _flush(self, entry: Entry) -> None:
        with contextlib.suppress(Fenced, TimeoutError):
            async with asyncio.timeout(2):
                await entry.settled()

    async def _until_stopped(self, answer: "Answer") -> None:
        """Generates until the end, or until somebody asks to stop. Raises Fenced."""
        entry = answer.entry
        work = asyncio.create_task(self._generate(answer))
        signs = [asyncio.create_task(entry.stop_requested.wait()), asyncio.create_task(entry.fenced.wait())]
        try:
            await asyncio.wait([work, *signs], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, *signs):
                task.cancel()
            await asyncio.gather(work, *signs, return_exceptions=True)
        error = None if work.cancelled() else work.exception()
        if entry.fenced.is_set() or isinstance(error, Fenced):
            raise Fenced
        if error:
            if not isinstance(error, ModelFailure):
                logger.error("an answer broke off", exc_info=error)
            answer.failed(str(error) if isinstance(error, ModelFailure) else "Something went wrong here while the answer was written.")
        elif entry.stop_requested.is_set() and not answer.complete:
            answer.status = "stopped"

    async def _generate(self, answer: "Answer") -> None:
        """Asks the model and copies what it says, over as many connections as it takes. Raises ModelFailure."""
        claimed = answer.claimed
        if claimed["attempts"] - answer.survived >= MOST_ATTEMPTS:
            raise ModelFailure("The model could not finish this answer.")
        if claimed["last_seq"]:
            await self._recall(answer)
        ids = [UUID(claimed[name]) for name in ("session_id", "chat_id", "message_id")]
        prompt = answer.prompt if answer.prompt is not None else await self._patiently(lambda: self._dbapi.prompt(*ids))
        resume, scale = bool(claimed["previous_key"]), 1.0
        lost_at: float | None = None
        while True:
            source = self._resumed(answer) if resume else self._asked(answer, self._request(answer, prompt, scale))
            try:
                await self._copy(source, answer)
                return
            except Gone:  # it may have been restarted
                resume = False
                self._llama.doubt()
            except TooLong as error:  # the estimate was wrong: now we know better
                if scale > 1.0:
                    raise ModelFailure(TOO_LONG) from error
                scale = max(1.01, 1.1 * error.tokens / max(1.0, answer.estimated_tokens))
            except Rejected as error:
                raise ModelFailure(error.sentence) from error
            except (Loading, Unreachable) as error:
                if answer.finish_reason:
                    return
                now = time.monotonic()
                if lost_at is None or answer.heard_at > lost_at:
                    lost_at = now
                    resume = self._llama.keeps_streams and answer.spoke
                patience = self._settings.first_token_seconds if isinstance(error, Loading) else self._settings.unreachable_seconds
                if now - lost_at > patience:
                    raise ModelFailure("The model server cannot be reached. What was written so far is kept.") from error
                self._llama.doubt()
                await asyncio.sleep(RETRY_SECONDS)

    async def _recall(self, answer: "Answer") -> None:
        """What others have written of this answer."""
        log = await self._patiently(lambda: self._dbapi.read([(answer.entry.id, 0)]))
        for _, _, _, kind, text in log["chunks"]:
            if kind == ANEW:
                answer.begin_anew()
            else:
                answer.note(kind, text)

    def _resumed(self, answer: "Answer") -> AbstractAsyncContextManager[Stream]:
        return self._llama.resume(answer.key, answer.offset)

    @contextlib.asynccontextmanager
    async def _asked(self, answer: "Answer", request: dict[str, Any]) -> AsyncIterator[Stream]:
        """Asks anew: under the key that the claim has noted, or under a new one that is noted first."""
        if not self._llama.learned:
            raise Unreachable
        if answer.text and not self._llama.continues:
            answer.begin_anew()
            self._log.write(answer.entry, ANEW, BEGUN_ANEW, 0)
        if answer.asked or answer.claimed["previous_key"]:
            answer.rename()
            if not await self._patiently(lambda: self._dbapi.rename(answer.entry.id, answer.entry.fence, answer.key)):
                raise Fenced
        answer.asked = True
        async with self._llama.ask(request, answer.key) as stream:
            yield stream

    def _request(self, answer: "Answer", prompt: dict[str, Any], scale: float) -> dict[str, Any]:
        """From an allow-list, with what was written so far as the beginning of the answer.

        Of a long chat the oldest turns are left out; `scale` corrects the estimate of what fits.
        """
        asked = answer.claimed["request"]
        request = {"max_tokens": self._settings.max_tokens} | {name: asked[name] for name in PASSED_ON if name in asked}
        if model := asked.get("model") or self._settings.model:
            request["model"] = model
        messages = [{"role": message["role"], "content": message["content"]} for message in prompt["messages"]]
        first = context_window.first_remembered(messages, prompt["system_prompt"], self._llama.context, request["max_tokens"], scale)
        messages = messages[first:]
        if prompt["system_prompt"]:
            messages.insert(0, {"role": "system", "content": prompt["system_prompt"]})
        if answer.text and self._llama.continues:
            messages.append({"role": "assistant", "content": answer.text})
            request |= {"continue_final_message": True, "add_generation_prompt": False}
        answer.estimated_tokens = sum(context_window.estimate(message["content"]) for message in messages)
        return {**request, "messages": messages}

    async def _copy(self, source: AbstractAsyncContextManager[Stream], answer: "Answer") -> None:
        """Pieces into the log, until the model is done. Raises a ModelError, or ModelFailure if it falls silent."""
        async with _first_word(self._settings.first_token_seconds, source) as stream:
            try:
                async with asyncio.timeout(None) as patience:
                    self._wait_again(patience, answer, time.monotonic())
                    await stream.copy(partial(self._take, answer, patience))
            except TimeoutError:
                raise ModelFailure(_silence(answer.spoke)) from None

    def _take(self, answer: "Answer", patience: asyncio.Timeout, pieces: list[Piece]) -> bool:
        """What has come at once; True if nothing more is wanted."""
        answer.heard_at = time.monotonic()
        for piece in pieces:
            self._write(answer, piece)
            if answer.is_cut_off:
                return True
        self._wait_again(patience, answer, answer.heard_at)
        return False

    def _wait_again(self, patience: asyncio.Timeout, answer: "Answer", now: float) -> None:
        """For as long as the model may be silent, and a tenth of it more: so most tokens need not set the timer anew."""
        seconds = self._settings.token_seconds if answer.spoke else self._settings.first_token_seconds
        if seconds and not seconds <= (patience.when() or 0.0) - now <= 1.1 * seconds:
            patience.reschedule(now + 1.1 * seconds)
        elif not seconds and patience.when():
            patience.reschedule(None)

    def _write(self, answer: "Answer", piece: Piece) -> None:
        most = self._settings.answer_bytes
        if piece.reasoning and (reasoning := answer.note(REASONING, piece.reasoning, most)):
            self._log.write(answer.entry, REASONING, reasoning, answer.offset if piece.content else piece.offset)
        if piece.content and (content := answer.note(CONTENT, piece.content, most)):
            self._log.write(answer.entry, CONTENT, content, piece.offset)
        answer.offset = piece.offset
        answer.finish_reason = piece.finish_reason or answer.finish_reason
        answer.usage = piece.usage or answer.usage
        answer.timings = piece.timings or answer.timings

    async def _finish(self, answer: "Answer") -> None:
        """The last words into the log, then the final status; for as long as it takes. Raises Fenced.

        Only who has finished an answer may end the model server's stream: it may be another process's by now.
        """
        entry = answer.entry
        while True:
            await self._log.settle(entry)
            end = {"id": entry.id, "fence": entry.fence, "last_seq": entry.last_seq, **answer.end()}
            done, waiting = await self._patiently(partial(self._dbapi.finish, end))
            if waiting:
                self._look_for_work()
            if done:
                self._watch.finished(entry.id, entry.last_seq, answer.end())
                break
            state = (await self._patiently(lambda: self._dbapi.read([(entry.id, entry.last_seq)])))["states"]
            if state and state[0]["fence"] != entry.fence:
                raise Fenced
            if not state or state[0]["status"] != "streaming":
                break
            await asyncio.sleep(RETRY_SECONDS)
        self.ended[answer.status] += 1
        event(logger, "answer", generation=entry.id, status=answer.status, seconds=round(time.monotonic() - answer.began_at, 3))
        if answer.asked or answer.claimed["previous_key"]:
            await self._llama.forget(answer.key)

    async def _patiently(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Asks dbapi until it answers: an answer waits for its database."""
        while True:
            try:
                return await call()
            except NotFound as error:  # the chat was deleted
                raise Fenced from error
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)


class Answer:
    """One answer while it is written: what was said, and where in the model server's stream we are."""

    def __init__(self, claimed: dict[str, Any], prompt: dict[str, Any] | None, entry: Entry, survived: int) -> None:
        self.claimed, self.prompt, self.entry, self.survived = claimed, prompt, entry, survived
        self.key, self.offset = str(claimed["upstream_key"]), int(claimed["upstream_offset"])
        self.asked = self.spoke = self.is_cut_off = False
        self.status, self.error = "complete", None
        self.finish_reason: str | None = None
        self.usage: dict[str, Any] | None = None
        self.timings: dict[str, Any] | None = None
        self.estimated_tokens = 1.0
        self.began_at = self.heard_at = time.monotonic()
        self.first_word_at: float | None = None
        self._parts: list[str] = []
        self._bytes = self._renamed = 0

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def complete(self) -> bool:
        return self.finish_reason is not None

    def note(self, kind: int, text: str, most: int = 0) -> str:
        """As much of the text as an answer of at most so many bytes has room for; 0 is no limit."""
        size = _size(text)
        if most and self._bytes + size > most:
            self.is_cut_off, self.finish_reason = True, "length"
            text = text.encode()[: most - self._bytes].decode(errors="ignore")
            size = _size(text)
        if text:
            self._bytes += size
            self.spoke = True
            self.first_word_at = self.first_word_at or time.monotonic()
        if kind == CONTENT:
            self._parts.append(text)
        return text

    def begin_anew(self) -> None:
        """The model server can't go on from the middle of an answer."""
        self._parts.clear()
        self._bytes = 0

    def rename(self) -> None:
        self._renamed += 1
        suffix = f".{self._renamed}" if self.asked else ""
        self.key, self.offset = f"g-{self.entry.id}-{self.entry.fence}{suffix}", 0

    def failed(self, sentence: str) -> None:
        self.status, self.error = "failed", sentence  # type: ignore[assignment]

    def end(self) -> dict[str, Any]:
        timings = dict(self.timings or {})
        if self.first_word_at:
            timings["first_word_ms"] = round(1000 * (self.first_word_at - self.began_at), 1)
        return {
            "status": self.status,
            "error": self.error,
            "finish_reason": self.finish_reason,
            "usage": self.usage,
            "timings": timings or None,
        }


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


@contextlib.asynccontextmanager
async def _first_word(seconds: float, source: AbstractAsyncContextManager[Stream]) -> AsyncIterator[Stream]:
    """The source, opened; a server that is busy sends no headers, so opening counts towards the first word."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(seconds or None):
                stream = await stack.enter_async_context(source)
        except TimeoutError:
            raise ModelFailure(_silence(False)) from None
        yield stream


def _silence(spoke: bool) -> str:
    if spoke:
        return "The model stopped in the middle of its answer. What was written so far is kept."
    return "The model did not begin to answer in time. Please try again."
