"""All actions of two writers: they claim, append, finish, pause and crash, one after the other or simultaneously."""

from typing import Any
from uuid import uuid4

import hypothesis.strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.log.appends import AppendMachine, kinds
from tests.log.harness import LEASE, WRITERS
from tests.log.machine import SLOTS, Hold, indexes, writers
from tests.log.model import Generation, claimable, fold

endings = st.sampled_from([("complete", None), ("stopped", None), ("failed", "The model broke off.")])


class TwoWriters(AppendMachine):
    @initialize()
    def begin(self) -> None:
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
