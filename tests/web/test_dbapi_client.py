"""The client of dbapi, with a server that counts requests."""

import asyncio
from uuid import uuid4

from web.clients.dbapi import MAX_NEW_TURNS, Dbapi
from web.contract import NewTurn

RESPONSE = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


async def test_a_burst_of_turns_waits_before_their_deadlines_begin() -> None:
    running = most = 0

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            running, most = running + 1, max(most, running + 1)
            await asyncio.sleep(0.01)
            running -= 1
            writer.write(RESPONSE)

    async def respond_until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await respond(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    turn: NewTurn = {"content": "Why?", "message_id": str(uuid4())}  # type: ignore[typeddict-item]  # enough for a client
    async with await asyncio.start_server(respond_until_closed, "127.0.0.1", 0) as server:
        client = Dbapi(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "key")
        turns = await asyncio.gather(*[client.create_turn(uuid4(), uuid4(), turn) for _ in range(4 * MAX_NEW_TURNS)])
        await client.close()

    assert len(turns) == 4 * MAX_NEW_TURNS
    assert most == MAX_NEW_TURNS
