"""Whatever a form contains, its message is stored as text, or refused with the text still in the form."""

from typing import Any

import pytest

from tests.stack import row_counts
from tests.web.actions import draft
from tests.web.dom import parse
from tests.web.visitor import HTMX, Visitor

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        ("", 422, "write a message first"),
        (" \n\t ", 422, "write a message first"),
        ("\u200b\u200d\ufeff", 422, "write a message first"),
        ("x" * 32_001, 413, "32,001 characters; the maximum is 32,000"),
        ("東" * 32_001, 413, "32,001 characters"),
    ],
    ids=["nothing", "spaces", "invisible", "too long", "too long in Chinese"],
)
async def test_a_message_that_is_refused_stays_in_the_form(
    visitor: Visitor, owner: Any, content: str, status: int, sentence: str
) -> None:
    chat = await visitor.begin()
    before = await row_counts(owner)

    refused, notice = await visitor.post(chat, content), await visitor.post(chat, content, HTMX)

    page = parse(refused.text)
    assert (refused.status_code, notice.status_code) == (status, status)
    assert sentence in page.select("#notice").text
    assert draft(page) == content
    assert not page.matching("article"), "the chat is not shown again"
    assert chat in [link.attributes["href"] for link in page.matching("a")]
    fragment = parse(notice.text).select("#notice")
    assert fragment.text == page.select("#notice").text
    assert fragment.attributes["role"] == "alert"
    assert parse(notice.text).matching("html") == []
    assert await row_counts(owner) == before


@pytest.mark.parametrize("character", ["x", "東", "🙂", "\r\n"])
async def test_the_longest_message_is_counted_in_characters(visitor: Visitor, character: str) -> None:
    chat = await visitor.begin()

    message = await visitor.say(chat, "y" + character * 31_999)

    assert (await visitor.messages(chat))[-2]["content"] == "y" + character.replace("\r\n", "\n") * 31_999
    await visitor.stop(chat, message)


async def test_an_oversized_body_is_refused_with_a_message(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    before = await row_counts(owner)

    async def endless() -> Any:
        for _ in range(100):
            yield b"content=" + b"x" * 10_000 + b"&"

    answers = [
        await visitor.post(chat, "x" * 400_001),
        await visitor.http.post(f"{chat}/messages", content=endless(), headers=FORM),
    ]
    notice = await visitor.post(chat, "x" * 400_001, HTMX)

    assert [answer.status_code for answer in [*answers, notice]] == [413] * 3
    assert "too long" in parse(answers[0].text).select("#notice").text
    assert notice.text.startswith('<p id="notice"')
    assert await row_counts(owner) == before


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=x", "application/json", "text/plain", "multipart/form-data", "x" * 5000]
)
async def test_another_format_is_refused_and_nothing_is_stored(visitor: Visitor, owner: Any, kind: str) -> None:
    chat = await visitor.begin()
    before = await row_counts(owner)

    body = b'--x\r\nContent-Disposition: form-data; name="content"; filename="../../x"\r\n\r\nHi\r\n--x--\r\n'
    refused = await visitor.http.post(f"{chat}/messages", content=body, headers={"Content-Type": kind})

    assert refused.status_code == 415
    assert "format" in parse(refused.text).select("#notice").text
    assert await row_counts(owner) == before


async def test_too_many_fields_are_refused(visitor: Visitor) -> None:
    chat = await visitor.begin()

    refused = await visitor.http.post(f"{chat}/messages", content=b"a=1&" * 21 + b"content=Hi", headers=FORM)

    assert refused.status_code == 400
    assert len(await visitor.messages(chat)) == 1


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        (b"content=%FF%FEx", "\ufffd\ufffdx"),
        (b"content=\xff\xfex", "\ufffd\ufffdx"),
        (b"content=%C0%AF.", "\ufffd\ufffd."),
        (b"content=%ED%A0%80.", "\ufffd\ufffd\ufffd."),
        (b"content=a%00b", "a\ufffdb"),
        (b"content=a%0D%0Ab%0Dc", "a\nb\rc"),
        (b"content=%E2%80%A8%F0%9F%99%82+%2B", "\u2028🙂 +"),
        (b"content=first&content=second", "first"),
        (b"content=%3Cb%3E%26amp%3B%7B%7B7*7%7D%7D", "<b>&amp;{{7*7}}"),
        (b"content=%", "%"),
    ],
)
async def test_whatever_bytes_come_text_is_stored(visitor: Visitor, body: bytes, stored: str) -> None:
    chat = await visitor.begin()

    sent = await visitor.http.post(f"{chat}/messages", content=body, headers=FORM)

    assert sent.status_code == 303
    assert (await visitor.messages(chat))[1]["content"] == stored
    assert (await visitor.page(chat)).matching("article")[1].select(".content").text == stored


@pytest.mark.parametrize("field", ["message_id", "parent_id"])
async def test_a_damaged_form_shows_an_error_and_keeps_the_text(visitor: Visitor, field: str) -> None:
    chat = await visitor.begin()

    refused = await visitor.post(chat, "Keep this", **{field: "not an id"})

    assert refused.status_code == 422
    assert draft(parse(refused.text)) == "Keep this"
    assert "not an id" not in refused.text, "the form can be sent again"
    assert "reload" in parse(refused.text).select("#notice").text
