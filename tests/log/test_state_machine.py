"""Two writers call the log's functions late, twice, after their lease and simultaneously; the log must match the model.

Leases end, responses and connections get lost, and writers continue after another one took over. PostgreSQL loses its
last appends. Viewers keep cursors, and a cursor must always stand for the same text.
"""

import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import hypothesis.strategies as st
import pytest
from asyncpg import UniqueViolationError
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.log.harness import LEASE, WRITERS, LogHarness, Row
from tests.log.model import CONTENT, FINAL, REASONING, RESTART, Chunk, Generation, claimable, fold
from tests.stack import Cluster

SLOTS = 2
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "3"))
BOUNDED = settings(
    max_examples=10 * ROUNDS,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)
THOROUGH = settings(BOUNDED, max_examples=1000, phases=[Phase.generate])

writers, indexes = st.sampled_from(WRITERS), st.integers(0, 1000)
kinds = st.sampled_from([CONTENT, CONTENT, CONTENT, REASONING, RESTART])
endings = st.sampled_from([("complete", None), ("stopped", None), ("failed", "The model broke off.")])


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


class TwoWriters(RuleBasedStateMachine):
    harness: ClassVar[LogHarness]
    events: ClassVar[Counter[str]]  # events of all runs, to prove that they covered the interesting cases

    @initialize()
    def begin(self) -> None:
        self.generations: list[Generation] = []
        self.holds: list[Hold] = []
        self.losable: list[
            tuple[Generation, int]
        ] = []  # appends since the last commit on disk, with the offset before each
        self.cursors: dict[tuple[UUID, int, int], tuple[str, str]] = {}  # the text that viewers saw with an event's id
        self.words = itertools.count(1)
        ada, ben = uuid4(), uuid4()
        sessions = [ada, ada, ben]
        self.chats = list(zip(sessions, self.harness.create_chats(sessions), strict=True))
        for which in range(2):
            self.add_turn(which)
        self.claim("A")

    # Turns and stops

    @rule(which=indexes)
    def add_turn(self, which: int) -> None:
        session, chat = self.chats[which % len(self.chats)]
        self.generations.append(Generation(self.harness.add_turn(session, chat), session, chat))
        self.losable.clear()

    @precondition(lambda self: self.generations)
    @rule(which=indexes)
    def stop(self, which: int) -> None:
        generation = self.generations[which % len(self.generations)]
        generation.stop()
        assert self.harness.stop(generation.session, generation.chat, generation.id) == generation.status
        if generation.stop_requested:
            self.losable.clear()

    # Claiming

    @rule(writer=writers)
    def claim(self, writer: str) -> None:
        self.claimed((writer,), self.harness.claim((writer,), SLOTS), claimable(self.generations, SLOTS))

    @precondition(lambda self: self.generations)
    @rule(writer=writers, which=indexes)
    def claim_one(self, writer: str, which: int) -> None:
        only = self.generations[which % len(self.generations)]
        self.claimed(
            (writer,),
            self.harness.claim((writer,), SLOTS, only.id),
            [each for each in claimable(self.generations, SLOTS) if each is only],
        )

    def claimed(self, by: tuple[str, ...], got: list[list[Any]], expected: list[Generation]) -> None:
        rows = [(row["id"], writer, row) for writer, each in zip(by, got, strict=True) for row in each]
        assert sorted(each for each, _, _ in rows) == sorted(each.id for each in expected)
        for generation in expected:
            writer, row = next((writer, row) for each, writer, row in rows if each == generation.id)
            self.count("takeover" if generation.fence else "claim")
            previous_key = generation.key
            generation.claim(writer)
            claimed_row = (
                row["fence"],
                row["last_seq"],
                row["previous_key"],
                row["upstream_key"],
                row["upstream_offset"],
                row["attempts"],
            )
            assert claimed_row == (
                generation.fence,
                generation.last_seq,
                previous_key,
                generation.key,
                generation.offset,
                generation.attempts,
            )
            assert row["stop_requested"] == generation.stop_requested
            self.holds.append(Hold(writer, generation, generation.fence, generation.last_seq))
            self.losable.clear()

    # Appending

    @precondition(lambda self: self.holds)
    @rule(writer=writers, kind=kinds)
    def write(self, writer: str, kind: int) -> None:
        """Appends to all answers of the writer in one statement, also to those that another writer took over."""
        sent = self.sent(writer, kind)
        if sent:
            (accepted,) = self.harness.append((writer, [row for _, row in sent]))
            self.accepted(sent, accepted)

    @precondition(lambda self: self.holds)
    @rule(writer=writers, kind=kinds, resend=st.booleans())
    def write_and_lose_the_response(self, writer: str, kind: int, resend: bool) -> None:
        """The test sees whether it was accepted, but the writer does not: it sends the same again, now or next time."""
        sent = self.sent(writer, kind)
        if sent:
            (accepted,) = self.harness.append((writer, [row for _, row in sent]))
            self.response_lost(sent, accepted)
        if resend:
            self.write(writer, kind)

    def response_lost(self, sent: list[tuple[Hold, Row]], accepted: set[UUID]) -> None:
        for hold, row in sent:
            hold.unconfirmed = chunk_of(row)
            if row[0] in accepted:
                self.appended(hold.generation, row)

    @precondition(lambda self: self.holds)
    @rule(which=indexes, how=st.sampled_from(["replay", "gap", "older fence", "newer fence", "zero", "negative"]))
    def write_wrongly(self, which: int, how: str) -> None:
        hold = self.held(which)
        fence = hold.fence + {"older fence": -1, "newer fence": 1}.get(how, 0)
        seq = {"replay": hold.last_seq, "gap": hold.last_seq + 2, "zero": 0, "negative": -1}.get(how, hold.last_seq + 1)
        row = (hold.generation.id, fence, seq, CONTENT, self.next_word(), None)
        (accepted,) = self.harness.append((hold.writer, [row]))
        assert bool(accepted) == self.appended(hold.generation, row)

    @precondition(lambda self: self.holds)
    @rule(which=indexes)
    def renew(self, which: int) -> None:
        hold = self.held(which)
        row = (hold.generation.id, hold.fence, None, CONTENT, "", None)
        (accepted,) = self.harness.append((hold.writer, [row]))
        assert bool(accepted) == self.appended(hold.generation, row)

    def sent(self, writer: str, kind: int) -> list[tuple[Hold, Row]]:
        """The next chunk of each answer in the writer's view, one for each answer."""
        holds = {hold.generation: hold for hold in self.holds if hold.writer == writer}
        chunks = [(hold, hold.next(kind, self.next_word())) for hold in holds.values()]
        return [
            (hold, (hold.generation.id, hold.fence, chunk.seq, chunk.kind, chunk.text, 100 * chunk.seq))
            for hold, chunk in chunks
        ]

    def accepted(self, sent: list[tuple[Hold, Row]], accepted: set[UUID]) -> None:
        for hold, row in sent:
            assert (row[0] in accepted) == self.appended(hold.generation, row)
            chunk = chunk_of(row)
            if row[0] in accepted:
                hold.appended(chunk)
            else:
                self.refused(hold, chunk)

    def refused(self, hold: Hold, chunk: Chunk) -> None:
        """The chunk was appended before, PostgreSQL lost earlier ones, or another writer took over."""
        generation = hold.generation
        if generation.status != "streaming" or generation.fence != hold.fence:
            self.count("zombie refused")
            hold.unconfirmed = None  # a real writer stops; this one continues and must still do no harm
        elif chunk in generation.chunks:
            self.count("already appended")
            hold.appended(chunk)
        elif generation.last_seq < hold.last_seq:
            self.count("restored")
            for lost in hold.recent[generation.last_seq - hold.last_seq :]:
                row = (generation.id, hold.fence, lost.seq, lost.kind, lost.text, 100 * lost.seq)
                assert self.harness.append((hold.writer, [row])) == [{generation.id}]
                assert self.appended(generation, row)

    def appended(self, generation: Generation, row: Row) -> bool:
        offset = generation.offset
        if not generation.append(*row[1:]):
            return False
        if row[2] is not None:
            self.losable.append((generation, offset))
        return True

    # Ending

    @precondition(lambda self: self.holds)
    @rule(which=indexes, ending=endings, off=st.sampled_from([0, 0, 0, 0, 0, -1, 1]), lost=st.booleans())
    def finish(self, which: int, ending: tuple[str, str | None], off: int, lost: bool) -> None:
        """With the last seq in the writer's view, or another one. Twice if the response was lost."""
        hold = self.held(which)
        status, error = ending
        query = "SELECT log_finish($1, $2, $3, $4, $5, 'stop', NULL, NULL)"
        for _ in range(2 if lost else 1):
            done = self.harness.fetchval(
                hold.writer, query, hold.generation.id, hold.fence, hold.last_seq + off, status, error
            )
            late = hold.generation.fence != hold.fence
            assert done == hold.generation.finish(hold.fence, hold.last_seq + off, status, error)
            self.count("finished" if done else "zombie could not finish" if late else "could not finish")
            if done:
                self.losable.clear()

    # Leases

    @precondition(lambda self: self.holds)
    @rule(which=indexes, taken_over_by=st.sampled_from([None, *WRITERS]))
    def pause(self, which: int, taken_over_by: str | None) -> None:
        """The writer renews nothing for longer than a lease. Another writer may take over."""
        running = [each for each in self.generations if each.status == "streaming"]
        if running:
            generation = running[which % len(running)]
            self.harness.expire_lease(generation.id)
            generation.lease_expired = True
        if taken_over_by:
            self.claim(taken_over_by)

    @precondition(lambda self: self.holds)
    @rule(writer=writers)
    def release(self, writer: str) -> None:
        """Ends all leases of the writer, but not those that another one holds by now."""
        holds = [hold for hold in self.holds if hold.writer == writer]
        ids, fences = [hold.generation.id for hold in holds], [hold.fence for hold in holds]
        released = self.harness.fetchval(writer, "SELECT log_release($1::uuid[], $2::int[])", ids, fences)
        own = [
            hold.generation
            for hold in holds
            if hold.generation.status == "streaming" and hold.generation.fence == hold.fence
        ]
        assert released == len(own)
        for generation in own:
            generation.lease_expired, generation.owner = True, None
            self.losable.clear()

    @rule(writer=writers, lost=writers, silent=st.booleans())
    def expire(self, writer: str, lost: str, silent: bool) -> None:
        """dbapi lost the connection of a process. The process keeps leases that it has renewed since."""
        own = [
            each
            for each in self.generations
            if each.status == "streaming" and each.owner == lost and (silent or each.lease_expired)
        ]
        query = "SELECT log_expire($1, $2::text::interval, $3::text::interval)"
        assert self.harness.fetchval(writer, query, lost, LEASE, "0" if silent else LEASE) == len(own)
        for generation in own:
            generation.lease_expired = True
            self.losable.clear()

    @precondition(lambda self: self.holds)
    @rule(which=indexes)
    def rename(self, which: int) -> None:
        """The model server gets a new request, with another key."""
        hold = self.held(which)
        generation, key = hold.generation, self.next_word()
        done = self.harness.fetchval(hold.writer, "SELECT log_rename($1, $2, $3)", generation.id, hold.fence, key)
        assert done == generation.accepts(hold.fence, None)
        if done:
            generation.key, generation.offset = key, 0
            self.losable.clear()

    # Crashes and viewers

    @precondition(lambda self: self.holds)
    @rule(writer=writers, kind=kinds, most=st.integers(1, 3))
    def write_and_crash(self, writer: str, kind: int, most: int) -> None:
        """PostgreSQL crashes and loses the last appends, which did not wait for the disk."""
        self.write(writer, kind)
        self.count("crash" if self.losable else "crash without loss")
        for _ in range(min(most, len(self.losable))):
            generation, offset = self.losable.pop()
            generation.chunks.pop()
            generation.offset = offset
            self.harness.lose_appends(generation.id, generation.last_seq, offset)

    @precondition(lambda self: self.generations)
    @rule(which=indexes)
    def watch(self, which: int) -> None:
        generation = self.generations[which % len(self.generations)]
        if generation.chunks:
            last = generation.chunks[-1]
            self.cursors[generation.id, last.seq, last.fence] = fold(generation.chunks)

    # Invariants

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


class SimultaneousWriters(TwoWriters):
    """Also, both writers act simultaneously, and connections break. The winner differs from run to run."""

    @rule()
    def claim_simultaneously(self) -> None:
        self.claimed(WRITERS, self.harness.claim(WRITERS, SLOTS), claimable(self.generations, SLOTS))

    @precondition(lambda self: self.holds)
    @rule(kind=kinds)
    def write_simultaneously(self, kind: int) -> None:
        batches = {writer: sent for writer in WRITERS if (sent := self.sent(writer, kind))}
        results = self.harness.append(*((writer, [row for _, row in sent]) for writer, sent in batches.items()))
        for sent, accepted in zip(batches.values(), results, strict=True):
            self.accepted(sent, accepted)

    @precondition(lambda self: self.holds)
    @rule(writer=writers, kind=kinds, seconds=st.sampled_from([0, 0.0005, 0.001, 0.002]))
    def write_and_lose_the_connection(self, writer: str, kind: int, seconds: float) -> None:
        sent = self.sent(writer, kind)
        if not sent:
            return
        self.harness.append_and_cut(writer, [row for _, row in sent], seconds)
        stored = {row["id"]: row["last_seq"] for row in self.harness.all_rows()}
        accepted = {hold.generation.id for hold, _ in sent if stored[hold.generation.id] > hold.generation.last_seq}
        expected = {hold.generation.id for hold, row in sent if hold.generation.accepts(row[1], row[2])}
        assert accepted in (set(), expected), "a statement is atomic"
        self.count("cut before" if expected and not accepted else "cut after" if expected else "cut without effect")
        self.response_lost(sent, accepted)


def chunk_of(row: Row) -> Chunk:
    _, fence, seq, kind, text, _ = row
    assert seq is not None
    return Chunk(seq, fence, kind, text)


@pytest.fixture
async def database(cluster: Cluster) -> str:
    return await cluster.new_database()


@pytest.fixture
def harness(cluster: Cluster, database: str) -> Iterator[LogHarness]:
    harness = LogHarness(
        cluster.runtime_url(database), urlsplit(cluster.superuser_url)._replace(path=f"/{database}").geturl()
    )
    yield harness
    harness.close()


def run(machine: type[TwoWriters], harness: LogHarness, how: settings) -> set[str]:
    """The names of the events of all runs."""
    bound: Any = type(machine.__name__, (machine,), {"harness": harness, "events": Counter()})
    run_state_machine_as_test(bound, settings=how)
    return set(bound.events)


def test_the_log_matches_the_model_for_any_actions_of_two_writers(harness: LogHarness) -> None:
    events = run(TwoWriters, harness, BOUNDED)

    required = {"claim", "takeover", "finished", "already appended", "zombie refused", "crash", "restored"}
    assert required <= events, "the runs did not cover the required events"


def test_the_log_matches_the_model_with_simultaneous_writers_and_broken_connections(harness: LogHarness) -> None:
    events = run(SimultaneousWriters, harness, BOUNDED)

    assert events >= {"claim", "takeover", "zombie refused"}, "the runs did not cover the required events"
    assert events & {"cut before", "cut after"}, (
        "no connection was cut while a statement ran"
    )  # before or after the commit is chance


# Each bug removes a condition from a function: the function, the condition, and its replacement.
PLANTED_BUGS = {
    "append ignores the fence": ("log_append", "AND g.fence = new.fence ", ""),
    "append ignores the seq": ("log_append", "AND (new.seq IS NULL OR g.last_seq = new.seq - 1)", ""),
}
RARE_PLANTED_BUGS = {
    "finish ignores the seq": ("log_finish", " AND g.last_seq = at_seq", ""),
    "claim keeps the fence": ("log_claim", "fence = g.fence + 1,", "fence = greatest(g.fence, 1),"),
    "append accepts finished answers": ("log_append", "AND g.status = 'streaming' AND (", "AND ("),
    "finish ignores the fence": ("log_finish", "AND g.fence = held_fence ", ""),
    "finish keeps text before a restart": ("log_finish", "AND v.kind = 2", "AND v.kind = 9"),
    "claim ignores valid leases": ("log_claim", "AND g.lease_until < clock_timestamp()", ""),
    "claim does not count slots": ("log_claim", "slots - count(*)", "slots"),
    "release ignores the fence": ("log_release", "AND g.fence = t.fence ", ""),
}


@pytest.mark.parametrize("bug", PLANTED_BUGS)
def test_a_planted_bug_is_found_within_a_minute(harness: LogHarness, bug: str) -> None:
    harness.replace_in_function(*PLANTED_BUGS[bug])
    began = time.monotonic()

    with pytest.raises((AssertionError, UniqueViolationError)):
        run(TwoWriters, harness, THOROUGH)

    assert time.monotonic() - began < 60


@pytest.mark.skipif(ROUNDS < 10, reason="takes a minute or two: set CHAOS_ROUNDS=10 or more")
@pytest.mark.parametrize("bug", RARE_PLANTED_BUGS)
def test_a_planted_bug_in_a_rare_case_is_found(harness: LogHarness, bug: str) -> None:
    harness.replace_in_function(*RARE_PLANTED_BUGS[bug])

    with pytest.raises((AssertionError, UniqueViolationError)):
        run(TwoWriters, harness, THOROUGH)
