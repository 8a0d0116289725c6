"""The generation log, for the processes that write answers and those that show them."""

from dbapi.endpoint import endpoint
from dbapi.schemas.generations import (
    Appended,
    Appends,
    Claim,
    Claimed,
    ClaimedList,
    CursorList,
    Finish,
    Finished,
    LeaseList,
    Log,
    LogState,
    Released,
    Rename,
    Renamed,
)
from dbapi.sql import log
from dbapi.state import Request

MAX_LOG_BYTES = 16_000_000  # one append carries the new text of every answer that a process writes


@endpoint()
async def claim(request: Request, wanted: Claim) -> ClaimedList:
    """Claims answers to write: those whose lease ended, and queued ones while their pools have free slots."""
    async with request.state["database"].connection() as connection:
        rows = await log.claim(connection, wanted.owner, wanted.all_pools, wanted.lease)
        left = await log.next_work(connection)
    return ClaimedList(claimed=[Claimed.model_validate(dict(row)) for row in rows], **left)


@endpoint(max_bytes=MAX_LOG_BYTES)
async def append(request: Request, new: Appends) -> Appended:
    """Appends to all answers of a process.

    Entries missing from `ok` were refused: their fence is outdated or their seq is taken.
    """
    if not new.entries:
        return Appended(ok=[], stop=[])
    async with request.state["database"].connection() as connection:
        rows = await log.append(connection, new.entries, new.lease)
    return Appended(ok=[row["id"] for row in rows], stop=[row["id"] for row in rows if row["stop_requested"]])


@endpoint()
async def finish(request: Request, end: Finish) -> Finished:
    """Sets the final status and copies the text from the log to the message."""
    async with request.state["database"].connection() as connection:
        done = await log.finish(connection, **end.model_dump())
        waiting = done and (await log.next_work(connection))["waiting"] > 0
    return Finished(done=done, waiting=waiting)


@endpoint()
async def rename(request: Request, new: Rename) -> Renamed:
    """Stores the key of a request to the model server, before that request is sent."""
    async with request.state["database"].connection() as connection:
        done = await log.rename(connection, new.id, new.fence, new.upstream_key)
    return Renamed(done=done)


@endpoint()
async def release(request: Request, leases: LeaseList) -> Released:
    """Ends the leases of a process that shuts down, so that others continue its answers at once."""
    async with request.state["database"].connection() as connection:
        return Released(released=await log.release(connection, leases.entries))


@endpoint(max_bytes=MAX_LOG_BYTES)
async def read(request: Request, cursors: CursorList) -> Log:
    """Returns the states and new chunks of several answers."""
    async with request.state["database"].connection() as connection:
        states, chunks = await log.read(connection, cursors.entries)
    return Log(
        states=[LogState.model_validate(dict(row)) for row in states],
        chunks=[tuple(row) for row in chunks],
    )
