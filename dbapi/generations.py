"""The generation log, for the processes that write answers and those that watch them."""

from starlette.requests import Request
from starlette.responses import Response

from dbapi import body
from dbapi.body import MOST_LOG_BYTES
from dbapi.schemas import Appended, Appends, Claim, Claimed, ClaimedList, Done, Finish, Finished, Held, Log, Places, Released, Rename, State
from dbapi.sql import log


async def claim(request: Request) -> Response:
    """Answers to write: those whose writer is gone, and queued ones as far as the model has slots free."""
    wanted = await body.read(request, Claim)
    async with request.state["database"].log() as door:
        rows = await log.claim(door, wanted.owner, wanted.slots, wanted.lease)
        left = await log.next_work(door)
    claimed = [Claimed.model_validate(dict(row)) for row in rows]
    return body.answer(ClaimedList(claimed=claimed, **left))


async def append(request: Request) -> Response:
    """Appends to all answers of a process at once. What is missing from `ok` was refused: its fence has passed, or its seq is taken."""
    new = await body.read(request, Appends, MOST_LOG_BYTES)
    if not new.entries:
        return body.answer(Appended(ok=[], stop=[]))
    async with request.state["database"].log() as door:
        rows = await log.append(door, new.entries, new.lease)
    return body.answer(Appended(ok=[row["id"] for row in rows], stop=[row["id"] for row in rows if row["stop_requested"]]))


async def finish(request: Request) -> Response:
    """Sets the final status; the message's text becomes what the log says."""
    end = await body.read(request, Finish)
    async with request.state["database"].log() as door:
        done = await log.finish(door, **end.model_dump())
        waiting = done and (await log.next_work(door))["waiting"] > 0
    return body.answer(Finished(done=done, waiting=waiting))


async def rename(request: Request) -> Response:
    """Notes under which key the model server is asked, before it is asked."""
    new = await body.read(request, Rename)
    async with request.state["database"].log() as door:
        done = await log.rename(door, new.id, new.fence, new.upstream_key)
    return body.answer(Done(done=done))


async def release(request: Request) -> Response:
    """Ends the leases of a process that leaves, so that others go on at once."""
    held = await body.read(request, Held)
    async with request.state["database"].log() as door:
        released = await log.release(door, held.entries)
    return body.answer(Released(released=released))


async def read(request: Request) -> Response:
    """States and new chunks of any number of answers."""
    places = await body.read(request, Places, MOST_LOG_BYTES)
    async with request.state["database"].log() as door:
        states, chunks = await log.read(door, places.entries)
    return body.answer(Log(states=[State.model_validate(dict(row)) for row in states], chunks=[tuple(row) for row in chunks]))
