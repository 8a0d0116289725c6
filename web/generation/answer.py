"""One answer while this process writes it: its text, and the position in the model server's stream."""

import time

from web.clients.models import Target
from web.clients.thinking import ThinkTags
from web.contract import CONTENT, ClaimedAnswer, Finish, Numbers, Prompt, Status
from web.generation.log_writer import Entry

MAX_ERROR = 1000  # characters that dbapi stores


class Answer:
    def __init__(
        self, claimed: ClaimedAnswer, prompt: Prompt | None, entry: Entry, own_claims: int, target: Target
    ) -> None:
        """`own_claims` counts the claims in a row that this process made and survived, including this one."""
        self.llama, self.model, self.pool = target
        self.claimed, self.prompt, self.entry, self.own_claims = claimed, prompt, entry, own_claims
        self.key, self.offset = claimed["upstream_key"], claimed["upstream_offset"]
        self.thinking = ThinkTags()
        self.left_out: set[str] = set()  # parameters that the model server refused
        self.is_key_used = bool(claimed["previous_key"])  # the model server may have a request with it
        self.requests = _requests(claimed["previous_key"])  # of this answer, by all processes
        self.losses = self.idle_losses = 0  # broken streams, in all and in a row without new text
        self.busy_seconds = 0.0  # how long the model server asked to wait, in all
        self.away_seconds = 0.0  # how long the model server could not be reached, all losses together
        self.request_sent = self.has_output = self.has_reasoning = self.is_cut_off = self._has_grown = False
        self.must_restart = False  # as soon as new text arrives
        self.status: Status = "complete"
        self.error: str | None = None
        self.finish_reason: str | None = None
        self.usage: Numbers | None = None
        self.timings: Numbers | None = None
        self.estimated_tokens = 1.0  # of the prompt
        self.scale = 1.0  # of the estimate, when the prompt was last sent
        self.others_wait = False  # another answer waited for a slot when this one ended
        self.started_at = self.written_at = time.monotonic()  # written: when text last arrived
        self._first_token_at: float | None = None
        self._thinking_since: float | None = None
        self._thinking_until: float | None = None
        self._parts: list[str] = []
        self._bytes = 0

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def is_complete(self) -> bool:
        return self.finish_reason is not None

    @property
    def may_have_stream(self) -> bool:
        """Whether the model server may keep a stream of this answer."""
        return self.request_sent or bool(self.claimed["previous_key"])

    def add(self, kind: int, text: str, max_bytes: int = 0) -> str:
        """Adds the text, and returns the part of it that fits into `max_bytes` for the whole answer; 0 is no limit."""
        size = _size(text)
        if max_bytes and self._bytes + size > max_bytes:
            self.is_cut_off, self.finish_reason = True, "length"
            text = text.encode()[: max_bytes - self._bytes].decode(errors="ignore")
            size = _size(text)
        if text:
            self._bytes += size
            self.has_output = self._has_grown = True
            self._note_time(kind)
        if kind == CONTENT:
            self._parts.append(text)
        else:
            self.has_reasoning = True
        return text

    def _note_time(self, kind: int) -> None:
        now = time.monotonic()
        self._first_token_at = self._first_token_at or now
        if kind != CONTENT:
            self._thinking_since = self._thinking_since or now
        elif self._thinking_since and not self._thinking_until:
            self._thinking_until = now

    def restart(self) -> None:
        """Discards the text: the model server cannot continue it."""
        self.must_restart = False
        self._parts.clear()
        self._bytes = 0

    def rename(self) -> None:
        """Gives the next request a new key: the model server may still keep the stream of the old one.

        The key ends with the number of the request, so that the database knows how many there were.
        """
        self.key, self.offset = f"g-{self.entry.id}-{self.entry.fencing_token}.{self.requests + 1}", 0

    def sent(self) -> None:
        self.requests += 1
        self.request_sent = self.is_key_used = True

    def count_loss(self) -> None:
        """A stream was broken, or not begun."""
        self.losses += 1
        self.idle_losses = 1 if self._has_grown else self.idle_losses + 1
        self._has_grown = False

    def not_sent(self) -> None:
        """The model server cannot have received the last request."""
        self.requests -= 1
        self.is_key_used = False

    def fail(self, message: str, details: str = "") -> None:
        """`details` follow the message on a line of their own."""
        self.status, self.error = "failed", f"{message}\n{details}"[:MAX_ERROR] if details else message

    def end(self) -> Finish:
        timings = dict(self.timings or {})
        if self._first_token_at:
            timings["first_word_ms"] = round(1000 * (self._first_token_at - self.started_at), 1)
        if self._thinking_since and self._thinking_until:
            timings["thinking_ms"] = round(1000 * (self._thinking_until - self._thinking_since), 1)
        return {
            "id": self.entry.id,
            "fence": self.entry.fencing_token,
            "last_seq": self.entry.last_seq,
            "status": self.status,
            "error": self.error,
            "finish_reason": self.finish_reason,
            "usage": self.usage,
            "timings": timings or None,
        }


def _size(text: str) -> int:
    """Bytes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _requests(key: str | None) -> int:
    """How many requests were sent, as the last key tells."""
    if not key:
        return 0
    number = key.rpartition(".")[2]
    return max(1, int(number)) if number.isdecimal() else 1
