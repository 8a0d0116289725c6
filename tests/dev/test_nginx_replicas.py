"""How the public nginx chooses among the web processes, and what it sends again."""

import asyncio
from uuid import uuid4

import pytest

from tests.dev.public_nginx import Upstream, public_nginx


@pytest.mark.parametrize("failure", ["down", "drop", "503 Service Unavailable"])
async def test_a_get_is_retried_on_another_server_when_one_fails(failure: str) -> None:
    async with public_nginx(Upstream(failure), Upstream()) as client:
        codes = {(await client.get("/")).status_code for _ in range(6)}

    assert codes == {200}


async def test_a_post_that_reached_a_server_is_never_sent_to_another() -> None:
    servers = Upstream("drop"), Upstream("drop")
    async with public_nginx(*servers) as client:
        response = await client.post("/chats", data={"username": "ada"})

    assert response.status_code == 502
    assert sum(len(each.requests) for each in servers) == 1


async def test_a_post_that_timed_out_is_never_sent_again() -> None:
    servers = Upstream("silent"), Upstream("silent")
    async with public_nginx(*servers, read_timeout="200ms") as client:
        response = await client.post("/chats", data={"username": "ada"})

    assert response.status_code == 504
    assert "did not respond in time" in response.text
    assert sum(len(each.requests) for each in servers) == 1


async def test_a_post_that_reached_no_server_is_sent_to_another() -> None:
    async with public_nginx(Upstream("down"), Upstream()) as client:
        codes = {(await client.post("/chats", data={"username": "ada"})).status_code for _ in range(4)}

    assert codes == {200}


async def test_all_requests_of_a_chat_prefer_one_server() -> None:
    servers = Upstream(), Upstream()
    chats = [f"/chats/{uuid4()}" for _ in range(40)]
    async with public_nginx(*servers) as client:
        for path in ("", "/messages/1/stream", ".json"):
            await asyncio.gather(*(client.get(chat + path) for chat in chats))

    of_servers = [{line.split()[1][: len(chats[0])] for line in each.requests} for each in servers]
    assert of_servers[0] | of_servers[1] == set(chats)
    assert not of_servers[0] & of_servers[1]
    assert min(map(len, of_servers)) > 5  # both are used


@pytest.mark.parametrize("status", ["down", "503 Service Unavailable"])
async def test_a_chat_whose_server_is_away_is_served_by_another(status: str) -> None:
    async with public_nginx(Upstream(), Upstream(status)) as client:
        responses = await asyncio.gather(*(client.get(f"/chats/{uuid4()}") for _ in range(40)))

    assert {response.status_code for response in responses} == {200}
