"""The state of two writers and of the model, and what must hold after every action."""

import itertools
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from tests.log.harness import WRITERS, LogHarness
from tests.log.model import FINAL, Chunk, Generation, fold

SLOTS = 2

writers, indexes = st.sampled_from(WRITERS), st.integers(0, 1000)


@dataclass(eq=False)
class Hold:
    """A writer's view of an answer that it claimed. It may be outdated."""

    writer: str
    generation: Generation
    fence: int
    last_seq: int
    unconfirmed: Chunk | None = None  # sent, but the response was lost
    recent: list[Chunk] = field(default_factory=list)

    def next(self, kind: int, text: str) -> Chunk:
        """The chunk to send now: the unconfirmed one until it is known to be in the log."""
        return self.unconfirmed or Chunk(self.last_seq + 1, self.fence, kind, text)

    def appended(self, chunk: Chunk) -> None:
        self.last_seq, self.unconfirmed = chunk.seq, None
        self.recent.append(chunk)


class LogMachine(RuleBasedStateMachine):
    harness: ClassVar[LogHarness]
    events: ClassVar[Counter[str]]  # events of all runs, to prove that they covered the interesting cases

    def __init__(self) -> None:
        super().__init__()
        self.chats: list[tuple[UUID, UUID]] = []  # each after its session
        self.generations: list[Generation] = []
        self.holds: list[Hold] = []
        # Appends since the last commit on disk, with the offset before each
        self.losable: list[tuple[Generation, int]] = []
        # The text that viewers saw with an event's id
        self.cursors: dict[tuple[UUID, int, int], tuple[str, str]] = {}
        self.words = itertools.count(1)

    @invariant()
    def the_log_contains_exactly_the_accepted_chunks(self) -> None:
        rows = {row["id"]: row for row in self.harness.all_rows()}
        assert len(rows) == len(self.generations)
        for generation in self.generations:
            row = rows[generation.id]
            chunks = [Chunk(*chunk) for chunk in json.loads(row["chunks"] or "[]")]
            assert [chunk.seq for chunk in chunks] == list(range(1, row["last_seq"] + 1)), (
                "seqs have no gap and start at 1"
            )
            assert [chunk.fence for chunk in chunks] == sorted(chunk.fence for chunk in chunks), "fences never decrease"
            assert chunks == generation.chunks
            self.check_state(generation, row)
            self.check_cursors(generation, chunks)
        streaming = [row["chat_id"] for row in rows.values() if row["status"] == "streaming"]
        assert len(streaming) == len(set(streaming)), "only one answer of a chat runs at a time"
        assert len(streaming) <= SLOTS

    def check_state(self, generation: Generation, row: Any) -> None:
        columns = ("status", "fence", "owner", "upstream_key", "upstream_offset", "stop_requested")
        expected = (generation.status, generation.fence, generation.owner, generation.key, generation.offset)
        assert tuple(row[column] for column in columns) == (*expected, generation.stop_requested)
        assert row["message_status"] == generation.status
        assert row["lease_expired"] == (generation.lease_expired and generation.status == "streaming")
        if generation.status in FINAL:
            assert (row["content"], row["reasoning"], row["error"]) == (*fold(generation.chunks), generation.error)
            generation.final_rows = generation.final_rows or (row["whole"], row["whole_message"])
            assert (row["whole"], row["whole_message"]) == generation.final_rows, "a finished answer does not change"

    def check_cursors(self, generation: Generation, chunks: list[Chunk]) -> None:
        """An event's id that is still in the log stands for the same text as when a viewer saw it."""
        for index, chunk in enumerate(chunks, 1):
            seen = self.cursors.get((generation.id, chunk.seq, chunk.fence))
            assert seen is None or seen == fold(chunks[:index])

    def held(self, which: int) -> Hold:
        """Small numbers, which Hypothesis prefers, are the latest claims."""
        return self.holds[-1 - which % len(self.holds)]

    def next_word(self) -> str:
        return f"{next(self.words)} "

    def count(self, what: str) -> None:
        self.events[what] += 1
