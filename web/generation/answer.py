"""One answer while this process writes it: its text, and the position in the model server's stream."""

import time

from web.contract import CONTENT, ClaimedAnswer, Finish, Numbers, Prompt, Status
from web.generation.log_writer import Entry


class Answer:
    def __init__(self, claimed: ClaimedAnswer, prompt: Prompt | None, entry: Entry, own_claims: int) -> None:
        """`own_claims` counts the claims in a row that this process made and survived, including this one."""
        self.claimed, self.prompt, self.entry, self.own_claims = claimed, prompt, entry, own_claims
        self.key, self.offset = claimed["upstream_key"], claimed["upstream_offset"]
        self.request_sent = self.has_output = self.is_cut_off = False
        self.status: Status = "complete"
        self.error: str | None = None
        self.finish_reason: str | None = None
        self.usage: Numbers | None = None
        self.timings: Numbers | None = None
        self.estimated_tokens = 1.0  # of the prompt
        self.started_at = self.last_token_at = time.monotonic()
        self._first_token_at: float | None = None
        self._parts: list[str] = []
        self._bytes = self._renamed = 0

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
            self.has_output = True
            self._first_token_at = self._first_token_at or time.monotonic()
        if kind == CONTENT:
            self._parts.append(text)
        return text

    def restart(self) -> None:
        """Discards the text: the model server cannot continue it."""
        self._parts.clear()
        self._bytes = 0

    def rename(self) -> None:
        """Gives the next request a new key: the model server may still keep the stream of the old one."""
        self._renamed += 1
        suffix = f".{self._renamed}" if self.request_sent else ""
        self.key, self.offset = f"g-{self.entry.id}-{self.entry.fencing_token}{suffix}", 0

    def fail(self, message: str) -> None:
        self.status, self.error = "failed", message

    def end(self) -> Finish:
        timings = dict(self.timings or {})
        if self._first_token_at:
            timings["first_word_ms"] = round(1000 * (self._first_token_at - self.started_at), 1)
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
