"""Two writers append chunks and renew leases: once, twice, late and wrongly."""

from uuid import UUID

import hypothesis.strategies as st
from hypothesis.stateful import precondition, rule

from tests.log.harness import Row
from tests.log.machine import Hold, LogMachine, indexes, writers
from tests.log.model import CONTENT, REASONING, RESTART, Chunk, Generation

kinds = st.sampled_from([CONTENT, CONTENT, CONTENT, REASONING, RESTART])


class AppendMachine(LogMachine):
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


def chunk_of(row: Row) -> Chunk:
    _, fence, seq, kind, text, _ = row
    assert seq is not None
    return Chunk(seq, fence, kind, text)
