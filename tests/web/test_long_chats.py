"""A long chat costs little: refusals do not show it, and its pages do not keep other sessions waiting."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Cluster, Service, Stack, until
from tests.web.dom import parse
from tests.web.limited_stack import limited_stack
from tests.web.visitor import Visitor


@pytest.fixture(scope="module")
async def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with limited_stack(cluster, tmp_path_factory.mktemp("limited")) as stack:
        yield stack


async def test_a_refusal_costs_little_however_long_the_chat_is(stack: Stack, owner: Any) -> None:
    web = stack.services[-1]
    visitor = Visitor(web)
    visitor.http.headers["X-Forwarded-For"] = "192.0.2.200"
    chat = await visitor.begin()
    await lengthen(owner, chat, 2000)
    refused = {"empty": {"content": " "}, "long": {"content": "y" * 32_001}}
    await visitor.http.post(f"{chat}/messages", data=refused["long"])  # warms up

    for form in refused.values():
        before = cpu_seconds(web)
        for _ in range(10):
            answer = await visitor.http.post(f"{chat}/messages?last=2000", data=form | {"parent_id": "root"})
            page = parse(answer.text)
            assert answer.status_code in (413, 422)
            assert page.select("#content").text.strip() == form["content"].strip()
            assert [each.attributes["value"] for each in page.matching("input")[1:]] == ["root"]
            assert len(answer.text) < 10_000 + len(form["content"])
        assert cpu_seconds(web) - before < 10 * 0.03, "a page of this chat takes 0.4 s"
    await visitor.http.aclose()


async def test_an_unknown_message_to_edit_shows_no_more_messages(stack: Stack, owner: Any) -> None:
    visitor = Visitor(stack.services[-1])
    chat = await visitor.begin()
    await lengthen(owner, chat, 200)
    ids = [message["id"] for message in await visitor.messages(chat)]

    unknown, old = "00000000-0000-4000-8000-000000000000", ids[-100]
    shown = [len((await visitor.page(f"{chat}?edit={edited}")).matching("article")) for edited in (unknown, old)]

    assert shown[0] == 60
    assert 99 <= shown[1] <= 100, "an existing message is shown with all that follow it"
    await visitor.http.aclose()


async def test_pages_of_one_session_are_loaded_in_turn(stack: Stack, owner: Any) -> None:
    crowd, neighbour = Visitor(stack.services[-1]), Visitor(stack.services[-1])
    chat, own = await crowd.begin(), await neighbour.begin()
    await lengthen(owner, chat, 400)
    ended: list[str] = []

    async def load(visitor: Visitor, path: str, name: str) -> int:
        status = (await visitor.http.get(path)).status_code
        ended.append(name)
        return status

    heavy = [asyncio.create_task(load(crowd, f"{chat}?last=400", "heavy")) for _ in range(60)]
    await until(lambda: "heavy" in ended)
    assert await load(neighbour, own, "neighbour") == 200
    waited = ended.index("neighbour")
    statuses = await asyncio.gather(*heavy)

    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 10
    assert ended[waited:].count("heavy") >= 5, "the neighbour does not wait for all of them"
    for visitor in (crowd, neighbour):
        await visitor.http.aclose()


async def lengthen(owner: Any, chat: str, count: int) -> None:
    """Adds messages to the shown branch."""
    await owner.execute(
        """
        WITH RECURSIVE chat AS (SELECT * FROM chats WHERE id = $1),
        ids AS (SELECT n, gen_random_uuid() AS id FROM generate_series(1, $2) AS n),
        added AS (
          INSERT INTO messages (id, session_id, chat_id, parent_id, role, content)
          SELECT ids.id, chat.session_id, chat.id, coalesce(before.id, chat.tip_id),
                 CASE ids.n % 2 WHEN 1 THEN 'user' ELSE 'assistant' END, repeat('Some **words** of this message. ', 20)
            FROM chat, ids LEFT JOIN ids before ON before.n = ids.n - 1 ORDER BY ids.n
        )
        UPDATE chats SET tip_id = (SELECT id FROM ids WHERE n = $2) WHERE id = $1
        """,
        chat.removeprefix("/chats/"),
        count,
    )


def cpu_seconds(service: Service) -> float:
    """CPU time of the process so far."""
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
