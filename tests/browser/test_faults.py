"""When a service fails, the reader sees a message and loses no text."""

import asyncio
import os
import re
import signal

import asyncpg
import httpx
import pytest
from playwright.async_api import expect

from tests.browser.browser_user import ANSWER, BrowserUser
from tests.browser.documents import SAMPLE
from tests.stack import client, until
from tests.system.running import Runnel

pytestmark = pytest.mark.browser

NOT_LOADED = re.compile("Failed to load resource|net::ERR_|htmx:(sse:)?error|fetching the script")


async def test_without_the_database_service_the_message_stays_in_its_field(runnel: Runnel, ada: BrowserUser) -> None:
    ada.expected = NOT_LOADED
    field, notice = ada.page.locator("#content"), ada.page.locator("#notice")

    with runnel.without("dbapi-1"):
        await field.fill("Do not lose me")
        await field.press("Enter")
        await expect(notice).to_contain_text("The database is not available at the moment.")
        await expect(field).to_have_value("Do not lose me")
        assert await notice.get_attribute("role") == "alert"
    await runnel.wait_restarted("dbapi-1")

    await field.press("Enter")
    await expect(ada.page.locator("article")).to_have_count(3)
    await expect(notice).to_be_hidden()
    await expect(field).to_have_value("")
    await ada.ended()
    assert [message["content"] for message in await ada.messages() if message["role"] == "user"] == ["Do not lose me"]


async def test_without_the_server_the_message_stays_in_its_field(runnel: Runnel, ada: BrowserUser) -> None:
    ada.expected = NOT_LOADED
    field, notice = ada.page.locator("#content"), ada.page.locator("#notice")

    with runnel.without("nginx"):
        await field.fill("Do not lose me either")
        await field.press("Enter")
        await expect(notice).to_have_text(
            "The server cannot be reached. Your message is still here: please send it again."
        )
        await expect(field).to_have_value("Do not lose me either")
    await runnel.wait_restarted("nginx")

    await field.press("Enter")
    await expect(ada.page.locator("article")).to_have_count(3)
    await expect(notice).to_be_hidden()
    await ada.ended()


async def test_without_web_the_message_stays_in_its_field_too(runnel: Runnel, ada: BrowserUser) -> None:
    ada.expected = NOT_LOADED
    field = ada.page.locator("#content")

    with runnel.without("web-1"), runnel.without("web-2"):
        await field.fill("And me?")
        await field.press("Enter")
        await expect(ada.page.locator("#notice")).to_contain_text("still in your browser")
        await expect(field).to_have_value("And me?")
    await expect(ada.page).to_have_title(re.compile("Runnel"))
    await runnel.wait_restarted("web-1")
    await runnel.wait_restarted("web-2")

    await field.press("Enter")
    await expect(ada.page.locator("article")).to_have_count(3)
    await ada.ended()


async def test_a_lost_connection_resumes_where_it_broke(runnel: Runnel, ada: BrowserUser) -> None:
    ada.expected = NOT_LOADED
    await ada.page.evaluate("window.same = true")
    await ada.say(text=SAMPLE, delay_ms=12)
    await ada.begun(5)

    with runnel.without("nginx"):
        await expect(ada.page.locator(f"{ANSWER}.reconnecting")).to_have_count(1)
    await runnel.wait_restarted("nginx")

    await ada.ended()
    live = await ada.html()
    assert await ada.page.evaluate("same"), "the page was reloaded"
    await ada.page.reload()
    assert await ada.html() == live
    assert (await ada.stored())["content"] == SAMPLE


async def test_an_answer_waits_for_an_unreachable_model_server(model: str, ada: BrowserUser) -> None:
    await control(model, down=True)
    try:
        await ada.say(text="Here I am again.")
        await expect(ada.page.locator(f"{ANSWER} .progress")).to_contain_text(
            "The model server does not respond at the moment."
        )
    finally:
        await control(model, down=False)

    await ada.ended()
    assert await ada.text() == "Here I am again."


async def test_the_page_waits_while_the_model_is_loading(model: str, ada: BrowserUser) -> None:
    await control(model, loading_seconds=60)
    try:
        await ada.say(text="Now I have read it.")
        await expect(ada.page.locator(f"{ANSWER} .progress")).to_contain_text("The model is still loading.")
    finally:
        await control(model, loading_seconds=0)

    await ada.ended()
    assert await ada.text() == "Now I have read it."


async def test_an_answer_continues_after_its_model_server_was_lost(model: str, ada: BrowserUser) -> None:
    await ada.say(text=SAMPLE, delay_ms=12)
    await ada.begun(12)

    await control(model, down=True)
    await asyncio.sleep(0.3)
    early = await ada.text()
    await control(model, down=False)

    await ada.ended()
    assert len(await ada.text()) > len(early)
    assert (await ada.stored())["content"] == SAMPLE


async def test_a_broken_answer_keeps_its_text_and_shows_the_reason(ada: BrowserUser) -> None:
    await ada.say(text="As far as here. And no further.", error_after=6)
    await ada.ended()

    footer = ada.page.locator(f"{ANSWER} footer")
    await expect(footer.get_by_role("alert")).to_have_text("The model server broke off this answer.")
    shown = await ada.text()
    assert shown.startswith("As far")
    await ada.page.reload()
    assert await ada.text() == shown
    await expect(footer.get_by_role("alert")).to_have_text("The model server broke off this answer.")
    assert (await ada.stored())["status"] == "failed"


@pytest.mark.parametrize("body", ["json", "html"])
async def test_error_messages_of_the_model_server_are_folded_and_cleaned(ada: BrowserUser, body: str) -> None:
    await ada.say(status=500, body=body)
    await ada.ended()

    outcome = ada.page.locator(f"{ANSWER} .outcome")
    assert "failed" in await outcome.locator("summary").inner_text()
    assert "500" not in await outcome.locator("summary").inner_text()
    assert await outcome.get_attribute("open") is None
    assert "secret-host" not in await ada.page.locator(ANSWER).inner_html()


async def test_another_replica_continues_in_the_open_tab(runnel: Runnel, ada: BrowserUser) -> None:
    """Twice, because at first the tab may be connected to the other replica."""
    ada.expected = NOT_LOADED
    text = SAMPLE * 4
    await ada.page.evaluate("window.same = true")
    await ada.say(text=text, delay_ms=9)
    await ada.begun(12)

    for _ in range(2):
        before = len(await ada.text())
        service = await writer(runnel)
        runnel.kill(service)
        await ada.page.wait_for_function(
            "([selector, length]) => document.querySelector(selector).innerText.length > length + 100",
            arg=[f"{ANSWER} .content", before],
        )
        await runnel.wait_restarted(service)
        assert await ada.is_live()

    await ada.ended()
    live = await ada.html()
    assert await ada.page.evaluate("same"), "the page was reloaded"
    await ada.page.reload()
    assert await ada.html() == live
    assert (await ada.stored())["content"] == text


async def test_a_rolling_restart_is_not_noticed(runnel: Runnel, ada: BrowserUser) -> None:
    ada.expected = NOT_LOADED
    await ada.page.evaluate("window.same = true")
    await ada.say(text=SAMPLE * 3, delay_ms=18)  # longer than two processes take to stop, LINGER_SECONDS each
    await ada.begun(5)

    for service in ("web-1", "web-2"):
        said = len(runnel.dev.text)
        os.kill(runnel.dev.pid(service), signal.SIGTERM)
        await until(lambda said=said, service=service: f"{service} is back" in runnel.dev.text[said:])  # type: ignore[misc]
        assert await ada.is_live()

    await ada.ended()
    live = await ada.html()
    assert await ada.page.evaluate("same")
    await ada.page.reload()
    assert await ada.html() == live
    assert (await ada.stored())["content"] == SAMPLE * 3


async def writer(runnel: Runnel) -> str:
    """The web process that writes the running answer, according to the database."""
    connection = await asyncpg.connect(runnel.dev.url("postgres"))
    try:

        async def owner() -> str | None:
            found = await connection.fetchval(
                "SELECT owner FROM generations WHERE status = 'streaming' AND lease_until > now()"
            )
            return next((name for name in ("web-1", "web-2") if found and f"-{runnel.dev.pid(name)}-" in found), None)

        service: str = await until(owner)
        return service
    finally:
        await connection.close()


async def control(model: str, **settings: object) -> None:
    async with client(model) as http:
        answer: httpx.Response = await http.post("/__control", json=settings)
    answer.raise_for_status()
