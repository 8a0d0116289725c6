"""A model of an answer's log and of the model server, which a hub reads instead of dbapi."""

import asyncio
from typing import cast
from uuid import UUID

from web.contract import CONTENT, REASONING, RESTART, AnswerState, Chunk, Finish, Log, Message

GENERATION, MESSAGE = str(UUID(int=3)), str(UUID(int=4))


class LogModel:
    """The log in the database, and every text that it ever contained."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.fencing_token = 1
        self.status = "streaming"
        self.texts = [""]

    @property
    def last_seq(self) -> int:
        return len(self.chunks)

    def text(self, kind: int = CONTENT) -> str:
        restarts = [index for index, chunk in enumerate(self.chunks) if chunk.kind == RESTART]
        valid = self.chunks[restarts[-1] :] if restarts else self.chunks
        return "".join(chunk.text for chunk in valid if chunk.kind == kind)

    def append(self, kind: int, text: str) -> Chunk:
        self.chunks.append(Chunk(self.last_seq + 1, self.fencing_token, kind, text))
        self.texts.append(self.text())
        return self.chunks[-1]

    def lose(self, count: int) -> None:
        del self.chunks[max(0, len(self.chunks) - count) :]
        self.texts.append(self.text())

    def finish(self) -> Finish:
        return {
            "id": GENERATION,
            "fence": self.fencing_token,
            "last_seq": self.last_seq,
            "status": "complete",
            "error": None,
            "finish_reason": None,
            "usage": None,
            "timings": None,
        }

    # What the hub requests from dbapi

    async def read(self, cursors: list[tuple[str, int]]) -> Log:
        await asyncio.sleep(0)
        state = {
            "id": GENERATION,
            "status": self.status,
            "fence": self.fencing_token,
            "last_seq": self.last_seq,
            "place": None,
        }
        ((_, after),) = cursors
        return Log({GENERATION: cast(AnswerState, state)}, {GENERATION: self.chunks[after:]})

    async def message(self, session: UUID, chat_id: UUID, message_id: UUID) -> Message:
        await asyncio.sleep(0)
        return self.record()

    def record(self) -> Message:
        return cast(
            Message,
            {
                "id": MESSAGE,
                "parent_id": None,
                "role": "assistant",
                "content": self.text(),
                "reasoning": self.text(REASONING),
                "status": self.status,
                "error": None,
                "model": None,
                "usage": None,
                "timings": None,
                "created_at": "2026-11-27T12:00:00Z",
                "generation_id": GENERATION,
                "finish_reason": None,
                "siblings": [],
            },
        )


class Models:
    """One model server."""

    state, context = "ready", None

    def of(self, _: str | None) -> "Models":
        return self
