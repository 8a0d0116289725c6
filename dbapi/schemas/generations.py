"""The generation log."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from dbapi.schemas.fields import Output, Status, Text

Slots = Annotated[int, Field(ge=0, le=100_000, description="answers at once, over all processes")]
PoolName = Annotated[Text, Field(max_length=300)]


class Pool(BaseModel):
    """What shares slots, such as a model server. It writes the answers of the models that begin with one of `prefixes`,
    if no pool has a longer one: an empty prefix fits all models, `home` fits `home` and `home/model`."""

    name: PoolName
    slots: Slots
    prefixes: Annotated[list[PoolName], Field(min_length=1, max_length=1000)]


class Claim(BaseModel):
    """A request for work in some pools. Without `pools`, there is one with `slots` for all models."""

    owner: Annotated[str, Field(max_length=100)]
    slots: Slots
    lease: Annotated[float, Field(gt=0, le=3600, description="seconds")]
    pools: Annotated[list[Pool], Field(max_length=1000)] = []

    @property
    def all_pools(self) -> list[tuple[str, int, list[str]]]:
        """Name, slots and prefixes."""
        return [(pool.name, pool.slots, pool.prefixes) for pool in self.pools] or [("", self.slots, [""])]


class Claimed(Output):
    """An answer that the claimer may write until its lease ends or its fencing token is outdated."""

    id: UUID
    session_id: UUID
    chat_id: UUID
    message_id: UUID
    fence: int
    last_seq: int
    previous_key: str | None
    upstream_key: str
    upstream_offset: int
    stop_requested: bool
    attempts: int
    request: dict[str, Any]


class ClaimedList(Output):
    claimed: list[Claimed]
    waiting: int
    streaming: int
    next_expiry: Annotated[float | None, Field(description="seconds until the earliest lease ends")]


Append = tuple[UUID, int, int | None, int, Text, int | None]


class Appends(BaseModel):
    """New text of several answers.

    An entry is: id, fence, seq (null only renews the lease), kind, text, offset in the model server's stream.
    """

    lease: Annotated[float, Field(gt=0, le=3600)]
    entries: list[Append]


class Appended(Output):
    ok: list[UUID]
    stop: Annotated[list[UUID], Field(description="those of `ok` that a user wants to stop")]


class Finish(BaseModel):
    id: UUID
    fence: int
    last_seq: int
    status: Literal["complete", "stopped", "failed"]
    error: Annotated[Text, Field(max_length=1000)] | None = None
    finish_reason: Annotated[Text, Field(max_length=100)] | None = None
    usage: dict[str, Any] | None = None
    timings: dict[str, Any] | None = None


class Finished(Output):
    done: bool
    waiting: Annotated[bool, Field(description="another answer waits for a slot, possibly for this one")] = False


class Rename(BaseModel):
    id: UUID
    fence: int
    upstream_key: Annotated[str, Field(max_length=200)]


class Renamed(Output):
    done: bool


class LeaseList(BaseModel):
    """Answers by id and fence."""

    entries: list[tuple[UUID, int]]


class Released(Output):
    released: int


class CursorList(BaseModel):
    """Answers by id and the last seq that the reader has."""

    entries: list[tuple[UUID, int]]


class LogState(Output):
    id: UUID
    status: Status
    fence: int
    last_seq: int
    place: Annotated[int | None, Field(description="queue position of a queued answer: 1 starts next")]


class Log(Output):
    """The state of each answer, and its chunks after the given seq: generation id, seq, fence, kind, text."""

    states: list[LogState]
    chunks: list[tuple[UUID, int, int, int, str]]


class Notification(BaseModel):
    """A line of the event stream. An empty object is a heartbeat."""

    log: Annotated[dict[UUID, str], Field(description='by generation id: "seq", "seq:status", or "seq:stop"')] = {}
    chats: Annotated[
        list[tuple[UUID, UUID, int | None]],
        Field(description="changed chats: session, chat, revision; without it, only the list of chats has changed"),
    ] = []
    signed_out: Annotated[list[str], Field(description="hashes of the tokens of signed-out devices")] = []
    work: Annotated[bool, Field(description="an answer may be claimable")] = False
    lost: Annotated[bool, Field(description="notifications may have been lost: read everything again")] = False
