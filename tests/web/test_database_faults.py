"""A busy, locked, migrating or missing database: visitors get an error soon, keep their text, and recover."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.stack import DBAPI_KEY, Service, Stack, client, until
from tests.web.actions import draft
from tests.web.dom import parse
from tests.web.visitor import HTMX, Visitor

TOLD_SECONDS = 3.5  # three, and tolerance for a busy machine
PAUSE_SECONDS = 0.1  # between two pairs of requests


@pytest.fixture
async def second(stack: Stack) -> AsyncIterator[Any]:
    """Another connection of the owner."""
    connection = await asyncpg.connect(stack.cluster.owner_url(stack.database))
    yield connection
    await connection.close()


async def test_a_held_lock_gives_an_error_in_time(visitor: Visitor, second: Any) -> None:
    chat = await visitor.begin()

    async with second.transaction():
        await second.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        answers = await asyncio.gather(visitor.post(chat, "What I typed"), *(visitor.http.get(chat) for _ in range(5)))
        took = time.monotonic() - began
    after = await visitor.http.get(chat)

    assert {answer.status_code for answer in answers} == {503}
    assert all(answer.headers["retry-after"] for answer in answers)
    assert took < TOLD_SECONDS
    assert parse(answers[0].text).select("#content").text.strip() == "What I typed"
    assert after.status_code == 200
    assert len(await visitor.messages(chat)) == 1


async def test_an_exhausted_pool_gives_an_error_in_time_and_recovers(
    visitor: Visitor, second: Any, stack: Stack
) -> None:
    chat = await visitor.begin()
    path = f"/chats/{chat.removeprefix('/chats/')}/title"

    async with second.transaction():
        await second.execute("LOCK TABLE chats IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        answers = await asyncio.gather(
            *(visitor.http.post(path, data={"title": f"Title {number}"}) for number in range(40))
        )
        took = time.monotonic() - began
    alive = await visitor.http.get("/healthz")

    assert {answer.status_code for answer in answers} == {503}
    assert took < 2 * TOLD_SECONDS, "a form makes at most two requests: to find the session, and to change the data"
    assert alive.status_code == 200

    async def works() -> bool:
        return (await visitor.http.post(path, data={"title": "Another"})).status_code == 303

    await until(works)


async def test_a_migration_under_traffic_is_not_noticed(visitor: Visitor, second: Any) -> None:
    chat = await visitor.begin()
    answer = await visitor.say(chat, {"text": "word " * 120, "delay_ms": 20})
    statuses: list[int] = []

    async def traffic(done: asyncio.Event) -> None:
        while not done.is_set():
            statuses.append((await visitor.http.get(chat)).status_code)
            statuses.append(
                (await visitor.http.post(f"{chat}/title", data={"title": f"Title {len(statuses)}"})).status_code
            )
            await asyncio.sleep(PAUSE_SECONDS)

    async def some_requests() -> None:
        wanted = len(statuses) + 4
        await until(lambda: len(statuses) >= wanted)

    done = asyncio.Event()
    asking = asyncio.create_task(traffic(done))
    try:
        async with visitor.watching(chat, answer, "text/plain") as watched:
            for statement in (
                "ALTER TABLE chats ADD COLUMN colour text",
                "ALTER TABLE messages ADD COLUMN colour text",
                "CREATE INDEX messages_colour ON messages (session_id, colour)",
                "ALTER TABLE generations ADD COLUMN colour text",
            ):
                await some_requests()
                await second.execute(f"SET lock_timeout = '4s'; {statement}")
            text = (await watched.response.aread()).decode()
    finally:
        done.set()
        await asking
        await second.execute(
            "ALTER TABLE chats DROP COLUMN colour; ALTER TABLE messages DROP COLUMN colour; "
            "ALTER TABLE generations DROP COLUMN colour"
        )

    assert set(statuses) == {200, 303}
    assert text == "word " * 120


async def test_a_migration_that_cannot_get_its_lock_gives_up_and_requests_continue(
    visitor: Visitor, second: Any, owner: Any
) -> None:
    chat = await visitor.begin()

    async with owner.transaction():
        await owner.fetch("SELECT FROM chats LIMIT 1")  # an endless reader
        waiting = asyncio.create_task(
            second.execute("SET lock_timeout = '1s'; ALTER TABLE chats ADD COLUMN colour text")
        )
        await asyncio.sleep(0.2)
        held_up = await visitor.http.get(chat)
        with contextlib.suppress(asyncpg.LockNotAvailableError):
            await waiting
        assert waiting.exception() is not None

    assert held_up.status_code == 200
    assert (await visitor.http.get(chat)).status_code == 200


async def test_a_process_whose_credential_dbapi_rejects_is_not_ready(web: Service, tmp_path: Path) -> None:
    environ = {name: value for name, value in web.environ.items() if name != "WEB_PORT"}
    wrong = await Service("web", tmp_path / "log", environ | {"DBAPI_KEYS": DBAPI_KEY[::-1]}).start(wait=False)

    async def alive() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            async with client(wrong.url) as http:
                return (await http.get("/healthz")).status_code == 200
        return False

    try:
        await until(alive, wrong.log_tail)
        async with client(wrong.url) as http, client(web.url) as other:

            async def refused() -> bool:
                response = await http.get("/readyz")
                assert response.status_code == 503
                return "credential" in response.json()["reason"]  # at first, dbapi may not respond in time

            await until(refused, wrong.log_tail)
            assert (await other.get("/readyz")).status_code == 200
    finally:
        await wrong.terminate()


async def test_without_the_database_a_message_is_kept_and_can_be_sent_again(
    stack: Stack, web: Service, visitor: Visitor
) -> None:
    chat = await visitor.begin()
    await stack.dbapi.kill()
    try:
        refused, notice = await visitor.post(chat, "Keep\nthis <b>"), await visitor.post(chat, "Keep this", HTMX)
        home, ready, alive = [await visitor.http.get(path) for path in ("/", "/readyz", "/healthz")]
    finally:
        await stack.dbapi.start()

    form = parse(refused.text)
    assert [answer.status_code for answer in (refused, notice, home, ready, alive)] == [503, 503, 503, 503, 200]
    assert refused.headers["retry-after"] == notice.headers["retry-after"] == home.headers["retry-after"]
    assert draft(form) == "Keep\nthis <b>"
    assert "not available at the moment" in form.select("#notice").text
    assert notice.text.startswith('<p id="notice"')
    sent = await visitor.http.post(
        form.select("form").attributes["action"],
        data={"content": draft(form), "message_id": form.select("#message-id").attributes["value"]},
    )
    assert sent.status_code == 303
    assert (await visitor.messages(chat))[1]["content"] == "Keep\nthis <b>"


async def test_without_the_database_a_user_name_is_kept(stack: Stack, web: Service, visitor: Visitor) -> None:
    await stack.dbapi.kill()
    try:
        refused = await visitor.http.post("/chats", data={"username": "Ada"})
    finally:
        await stack.dbapi.start()

    assert refused.status_code == 503
    assert parse(refused.text).select("#username").attributes["value"] == "Ada"


async def test_without_the_database_an_event_stream_never_answers_html(
    stack: Stack, web: Service, visitor: Visitor
) -> None:
    chat = await visitor.begin()
    message = await visitor.say(chat)
    await visitor.ended(chat, message)
    await stack.dbapi.kill()
    try:
        refused = await visitor.http.get(
            f"{chat}/messages/{message}/stream", headers={"Accept": "text/event-stream", "HX-Request": "true"}
        )
    finally:
        await stack.dbapi.start()

    assert refused.status_code == 503
    assert not refused.headers["content-type"].startswith("text/html")
