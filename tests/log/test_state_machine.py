"""Two writers do to the log what writers do, late, twice, after their time and at once; it stays what the model says.

They hold leases that end, lose replies and connections, and go on after somebody took over. PostgreSQL loses its last
appends. Whoever watches keeps a cursor, which must mean the same text for ever.
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
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from tests.log.door import LEASE, WRITERS, Door, Row
from tests.log.model import ANEW, CONTENT, FINAL, REASONING, Chunk, Generation, fold, to_claim
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

writers, anything = st.sampled_from(WRITERS), st.integers(0, 1000)
kinds = st.sampled_from([CONTENT, CONTENT, CONTENT, REASONING, ANEW])
endings = st.sampled_from([("complete", None), ("stopped", None), ("failed", "The model broke off.")])


@dataclass(eq=False)
class Hold:
    """What a writer believes about an answer that it claimed. It may be long wrong."""

    writer: str
    generation: Generation
    fence: int
    last_seq: int
    doubt: Chunk | None = None  # sent, and the reply was lost
    recent: list[Chunk] = field(default_factory=list)

    def next(self, kind: int, text: str) -> Chunk:
        """The chunk to send now: the one in doubt until it is known to be in the log."""
        return self.doubt or Chunk(self.last_seq + 1, self.fence, kind, text)

    def appended(self, chunk: Chunk) -> None:
        self.last_seq, self.doubt = chunk.seq, None
        self.recent.append(chunk)


class Log(RuleBasedStateMachine):
    door: ClassVar[Door]
    seen: ClassVar[Counter[str]]  # what has happened in all runs, to know that they were worth something

    @initialize()
    def begin(self) -> None:
        self.generations: list[Generation] = []
        self.holds: list[Hold] = []
        self.losable: list[tuple[Generation, int]] = []  # appends since the last commit that reached the disk: what, and its offset before
        self.cursors: dict[tuple[UUID, int, int], tuple[str, str]] = {}  # what viewers saw under an event's id
        self.words = itertools.count(1)
        ada, ben = uuid4(), uuid4()
        sessions = [ada, ada, ben]
        self.chats = list(zip(sessions, self.door.begin(sessions), strict=True))
        for which in range(2):
            self.ask(which)
        self.claim("A")

    # Asking and stopping

    @rule(which=anything)
    def ask(self, which: int) -> None:
        session, chat = self.chats[which % len(self.chats)]
        self.generations.append(Generation(self.door.ask(session, chat), session, chat))
        self.losable.clear()

    @precondition(lambda self: self.generations)
    @rule(which=anything)
    def stop(self, which: int) -> None:
        generation = self.generations[which % len(self.generations)]
        generation.stop()
        assert self.door.stop(generation.session, generation.chat, generation.id) == generation.status
        if generation.stop_requested:
            self.losable.clear()

    # Claiming

    @rule(writer=writers)
    def claim(self, writer: str) -> None:
        self.claimed((writer,), self.door.claim((writer,), SLOTS), to_claim(self.generations, SLOTS))

    @precondition(lambda self: self.generations)
    @rule(writer=writers, which=anything)
    def claim_one(self, writer: str, which: int) -> None:
        only = self.generations[which % len(self.generations)]
        self.claimed(
            (writer,), self.door.claim((writer,), SLOTS, only.id), [each for each in to_claim(self.generations, SLOTS) if each is only]
        )

    def claimed(self, by: tuple[str, ...], got: list[list[Any]], expected: list[Generation]) -> None:
        rows = [(row["id"], writer, row) for writer, each in zip(by, got, strict=True) for row in each]
        assert sorted(each for each, _, _ in rows) == sorted(each.id for each in expected)
        for generation in expected:
            writer, row = next((writer, row) for each, writer, row in rows if each == generation.id)
            self.note("takeover" if generation.fence else "claim")
            previous_key = generation.key
            generation.claim(writer)
            told = (row["fence"], row["last_seq"], row["previous_key"], row["upstream_key"], row["upstream_offset"], row["attempts"])
            assert told == (generation.fence, generation.last_seq, previous_key, generation.key, generation.offset, generation.attempts)
            assert row["stop_requested"] == generation.stop_requested
            self.holds.append(Hold(writer, generation, generation.fence, generation.last_seq))
            self.losable.clear()

    # Appending

    @precondition(lambda self: self.holds)
    @rule(writer=writers, kind=kinds)
    def write(self, writer: str, kind: int) -> None:
        """To all its answers in one statement, also to those that others have taken over."""
        sent = self.sent(writer, kind)
        if sent:
            (accepted,) = self.door.append((writer, [row for _, row in sent]))
            self.accepted(sent, accepted)

    @precondition(lambda self: self.holds)
    @rule(writer=writers, kind=kinds, at_once=st.booleans())
    def write_and_not_hear_the_reply(self, writer: str, kind: int, at_once: bool) -> None:
        """We see whether it was accepted, but the writer doesn't: it sends the same again, at once or next time."""
        sent = self.sent(writer, kind)
        if sent:
            (accepted,) = self.door.append((writer, [row for _, row in sent]))
            self.unheard(sent, accepted)
        if at_once:
            self.write(writer, kind)

    def unheard(self, sent: list[tuple[Hold, Row]], accepted: set[UUID]) -> None:
        for hold, row in sent:
            hold.doubt = chunk_of(row)
            if row[0] in accepted:
                self.appended(hold.generation, row)

    @precondition(lambda self: self.holds)
    @rule(which=anything, how=st.sampled_from(["replay", "gap", "older fence", "newer fence", "zero", "negative"]))
    def write_wrongly(self, which: int, how: str) -> None:
        hold = self.held(which)
        fence = hold.fence + {"older fence": -1, "newer fence": 1}.get(how, 0)
        seq = {"replay": hold.last_seq, "gap": hold.last_seq + 2, "zero": 0, "negative": -1}.get(how, hold.last_seq + 1)
        row = (hold.generation.id, fence, seq, CONTENT, self.word(), None)
        (accepted,) = self.door.append((hold.writer, [row]))
        assert bool(accepted) == self.appended(hold.generation, row)

    @precondition(lambda self: self.holds)
    @rule(which=anything)
    def renew(self, which: int) -> None:
        hold = self.held(which)
        row = (hold.generation.id, hold.fence, None, CONTENT, "", None)
        (accepted,) = self.door.append((hold.writer, [row]))
        assert bool(accepted) == self.appended(hold.generation, row)

    def sent(self, writer: str, kind: int) -> list[tuple[Hold, Row]]:
        """The next chunk of each answer that this writer believes to hold; it sends nothing for one twice."""
        holds = {hold.generation: hold for hold in self.holds if hold.writer == writer}
        chunks = [(hold, hold.next(kind, self.word())) for hold in holds.values()]
        return [(hold, (hold.generation.id, hold.fence, chunk.seq, chunk.kind, chunk.text, 100 * chunk.seq)) for hold, chunk in chunks]

    def accepted(self, sent: list[tuple[Hold, Row]], accepted: set[UUID]) -> None:
        for hold, row in sent:
            assert (row[0] in accepted) == self.appended(hold.generation, row)
            chunk = chunk_of(row)
            if row[0] in accepted:
                hold.appended(chunk)
            else:
                self.settle(hold, chunk)

    def settle(self, hold: Hold, chunk: Chunk) -> None:
        """Refused: it was there already, PostgreSQL has lost some, or somebody else writes now."""
        generation = hold.generation
        if generation.status != "streaming" or generation.fence != hold.fence:
            self.note("zombie refused")
            hold.doubt = None  # a real writer leaves; this one goes on and must still do no harm
        elif chunk in generation.chunks:
            self.note("was there already")
            hold.appended(chunk)
        elif generation.last_seq < hold.last_seq:
            self.note("restored")
            for lost in hold.recent[generation.last_seq - hold.last_seq :]:
                row = (generation.id, hold.fence, lost.seq, lost.kind, lost.text, 100 * lost.seq)
                assert self.door.append((hold.writer, [row])) == [{generation.id}]
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
    @rule(which=anything, ending=endings, off=st.sampled_from([0, 0, 0, 0, 0, -1, 1]), heard=st.booleans())
    def finish(self, which: int, ending: tuple[str, str | None], off: int, heard: bool) -> None:
        """At the seq that it believes to be the last, or at another; then once more, for the reply was lost."""
        hold = self.held(which)
        status, error = ending
        query = "SELECT log_finish($1, $2, $3, $4, $5, 'stop', NULL, NULL)"
        for _ in range(1 if heard else 2):
            done = self.door.ask_log(hold.writer, query, hold.generation.id, hold.fence, hold.last_seq + off, status, error)
            late = hold.generation.fence != hold.fence
            assert done == hold.generation.finish(hold.fence, hold.last_seq + off, status, error)
            self.note("finished" if done else "zombie could not finish" if late else "could not finish")
            if done:
                self.losable.clear()

    # Leases

    @precondition(lambda self: self.holds)
    @rule(which=anything, missed_by=st.sampled_from([None, *WRITERS]))
    def sleep(self, which: int, missed_by: str | None) -> None:
        """Its writer renews nothing for longer than a lease. Who misses it takes over."""
        running = [each for each in self.generations if each.status == "streaming"]
        if running:
            generation = running[which % len(running)]
            self.door.lapse(generation.id)
            generation.lapsed = True
        if missed_by:
            self.claim(missed_by)

    @precondition(lambda self: self.holds)
    @rule(writer=writers)
    def leave(self, writer: str) -> None:
        """Gives up all its leases, but not those that are others' by now."""
        holds = [hold for hold in self.holds if hold.writer == writer]
        ids, fences = [hold.generation.id for hold in holds], [hold.fence for hold in holds]
        released = self.door.ask_log(writer, "SELECT log_release($1::uuid[], $2::int[])", ids, fences)
        own = [hold.generation for hold in holds if hold.generation.status == "streaming" and hold.generation.fence == hold.fence]
        assert released == len(own)
        for generation in own:
            generation.lapsed, generation.owner = True, None
            self.losable.clear()

    @rule(writer=writers, lost=writers, silent=st.booleans())
    def be_missed(self, writer: str, lost: str, silent: bool) -> None:
        """dbapi has lost the connection of a process; if that has renewed its leases since, it keeps them."""
        own = [each for each in self.generations if each.status == "streaming" and each.owner == lost and (silent or each.lapsed)]
        query = "SELECT log_expire($1, $2::text::interval, $3::text::interval)"
        assert self.door.ask_log(writer, query, lost, LEASE, "0" if silent else LEASE) == len(own)
        for generation in own:
            generation.lapsed = True
            self.losable.clear()

    @precondition(lambda self: self.holds)
    @rule(which=anything)
    def rename(self, which: int) -> None:
        """The model server is asked anew, under another key."""
        hold = self.held(which)
        generation, key = hold.generation, self.word()
        done = self.door.ask_log(hold.writer, "SELECT log_rename($1, $2, $3)", generation.id, hold.fence, key)
        assert done == generation.accepts(hold.fence, None)
        if done:
            generation.key, generation.offset = key, 0
            self.losable.clear()

    # Accidents, and viewers

    @precondition(lambda self: self.holds)
    @rule(writer=writers, kind=kinds, most=st.integers(1, 3))
    def write_and_crash(self, writer: str, kind: int, most: int) -> None:
        """PostgreSQL loses the last appends, which did not wait for the disk."""
        self.write(writer, kind)
        self.note("crash" if self.losable else "crash in vain")
        for _ in range(min(most, len(self.losable))):
            generation, offset = self.losable.pop()
            generation.chunks.pop()
            generation.offset = offset
            self.door.lose(generation.id, generation.last_seq, offset)

    @precondition(lambda self: self.generations)
    @rule(which=anything)
    def watch(self, which: int) -> None:
        generation = self.generations[which % len(self.generations)]
        if generation.chunks:
            last = generation.chunks[-1]
            self.cursors[generation.id, last.seq, last.fence] = fold(generation.chunks)

    # What must be true at any time

    @invariant()
    def the_log_is_what_was_accepted(self) -> None:
        rows = {row["id"]: row for row in self.door.everything()}
        assert len(rows) == len(self.generations)
        for generation in self.generations:
            row = rows[generation.id]
            chunks = [Chunk(*chunk) for chunk in json.loads(row["chunks"] or "[]")]
            assert [chunk.seq for chunk in chunks] == list(range(1, row["last_seq"] + 1)), "without a gap, from 1"
            assert [chunk.fence for chunk in chunks] == sorted(chunk.fence for chunk in chunks), "writers follow each other"
            assert chunks == generation.chunks
            self.check_state(generation, row)
            self.check_cursors(generation, chunks)
        streaming = [row["chat_id"] for row in rows.values() if row["status"] == "streaming"]
        assert len(streaming) == len(set(streaming)), "one at a time in a chat"
        assert len(streaming) <= SLOTS

    def check_state(self, generation: Generation, row: Any) -> None:
        state = (row["status"], row["fence"], row["owner"], row["upstream_key"], row["upstream_offset"], row["stop_requested"])
        assert state == (
            generation.status, generation.fence, generation.owner, generation.key, generation.offset, generation.stop_requested
        )  # fmt: skip
        assert row["message_status"] == generation.status
        assert row["lapsed"] == (generation.lapsed and generation.status == "streaming")
        if generation.status in FINAL:
            assert (row["content"], row["reasoning"], row["error"]) == (*fold(generation.chunks), generation.error)
            generation.frozen = generation.frozen or (row["whole"], row["whole_message"])
            assert (row["whole"], row["whole_message"]) == generation.frozen, "nothing changes after the end"

    def check_cursors(self, generation: Generation, chunks: list[Chunk]) -> None:
        """An event's id that is in the log means the text that was seen with it, unless that is void."""
        for place, chunk in enumerate(chunks, 1):
            seen = self.cursors.get((generation.id, chunk.seq, chunk.fence))
            assert seen is None or seen == fold(chunks[:place])

    def held(self, which: int) -> Hold:
        """The small numbers, which Hypothesis likes, are the latest claims."""
        return self.holds[-1 - which % len(self.holds)]

    def word(self) -> str:
        return f"{next(self.words)} "

    def note(self, what: str) -> None:
        self.seen[what] += 1


class LogAtOnce(Log):
    """Besides, both writers act at the same moment, and connections break. Which of them wins differs when it is run again."""

    @rule()
    def claim_at_once(self) -> None:
        self.claimed(WRITERS, self.door.claim(WRITERS, SLOTS), to_claim(self.generations, SLOTS))

    @precondition(lambda self: self.holds)
    @rule(kind=kinds)
    def write_at_once(self, kind: int) -> None:
        batches = {writer: sent for writer in WRITERS if (sent := self.sent(writer, kind))}
        results = self.door.append(*((writer, [row for _, row in sent]) for writer, sent in batches.items()))
        for sent, accepted in zip(batches.values(), results, strict=True):
            self.accepted(sent, accepted)

    @precondition(lambda self: self.holds)
    @rule(writer=writers, kind=kinds, seconds=st.sampled_from([0, 0.0005, 0.001, 0.002]))
    def write_and_lose_the_connection(self, writer: str, kind: int, seconds: float) -> None:
        sent = self.sent(writer, kind)
        if not sent:
            return
        self.door.append_and_lose_the_reply(writer, [row for _, row in sent], seconds)
        stored = {row["id"]: row["last_seq"] for row in self.door.everything()}
        accepted = {hold.generation.id for hold, _ in sent if stored[hold.generation.id] > hold.generation.last_seq}
        expected = {hold.generation.id for hold, row in sent if hold.generation.accepts(row[1], row[2])}
        assert accepted in (set(), expected), "a statement is all or nothing"
        self.note("cut before" if expected and not accepted else "cut after" if expected else "cut in vain")
        self.unheard(sent, accepted)


def chunk_of(row: Row) -> Chunk:
    _, fence, seq, kind, text, _ = row
    assert seq is not None
    return Chunk(seq, fence, kind, text)


@pytest.fixture
async def database(cluster: Cluster) -> str:
    return await cluster.new_database()


@pytest.fixture
def door(cluster: Cluster, database: str) -> Iterator[Door]:
    door = Door(cluster.runtime_url(database), urlsplit(cluster.superuser_url)._replace(path=f"/{database}").geturl())
    yield door
    door.close()


def run(machine: type[Log], door: Door, how: settings) -> set[str]:
    """What has happened in all its runs."""
    bound: Any = type(machine.__name__, (machine,), {"door": door, "seen": Counter()})
    run_state_machine_as_test(bound, settings=how)
    return set(bound.seen)


def test_whatever_two_writers_do_the_log_is_what_the_model_says(door: Door) -> None:
    happened = run(Log, door, BOUNDED)

    worth_it = {"claim", "takeover", "finished", "was there already", "zombie refused", "crash", "restored"}
    assert worth_it <= happened, "it passed for the wrong reason"


def test_the_same_holds_when_they_do_it_at_once_and_connections_break(door: Door) -> None:
    happened = run(LogAtOnce, door, BOUNDED)

    assert happened >= {"claim", "takeover", "zombie refused"}, "it passed for the wrong reason"
    assert happened & {"cut before", "cut after"}, "no connection was cut in time"  # on which side of the commit is chance


# Each plant takes a condition out of a function: which function, what is taken out, and what is there instead.
PLANTS = {
    "an append without its fence": ("log_append", "AND g.fence = new.fence ", ""),
    "an append without its seq": ("log_append", "AND (new.seq IS NULL OR g.last_seq = new.seq - 1)", ""),
}
RARER_PLANTS = {
    "an end without its seq": ("log_finish", " AND g.last_seq = at_seq", ""),
    "a claim that keeps the fence": ("log_claim", "fence = g.fence + 1,", "fence = greatest(g.fence, 1),"),
    "an append to what has ended": ("log_append", "AND g.status = 'streaming' AND (", "AND ("),
    "an end without its fence": ("log_finish", "AND g.fence = held_fence ", ""),
    "an end that keeps what is void": ("log_finish", "AND v.kind = 2", "AND v.kind = 9"),
    "a claim of what is held": ("log_claim", "AND g.lease_until < clock_timestamp()", ""),
    "a claim that doesn't count the slots": ("log_claim", "slots - count(*)", "slots"),
    "a release of what is another's": ("log_release", "AND g.fence = t.fence ", ""),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_is_found_within_a_minute(door: Door, plant: str) -> None:
    door.without(*PLANTS[plant])
    began = time.monotonic()

    with pytest.raises((AssertionError, UniqueViolationError)):
        run(Log, door, THOROUGH)

    assert time.monotonic() - began < 60


@pytest.mark.skipif(ROUNDS < 10, reason="takes a minute or two: with CHAOS_ROUNDS=10 or more")
@pytest.mark.parametrize("plant", RARER_PLANTS)
def test_a_planted_bug_is_found_that_needs_a_rarer_case(door: Door, plant: str) -> None:
    door.without(*RARER_PLANTS[plant])

    with pytest.raises((AssertionError, UniqueViolationError)):
        run(Log, door, THOROUGH)
