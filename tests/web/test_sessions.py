"""Session cookies: only valid ones open a session, and no input breaks that."""

import hashlib
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from typing import Any

import pytest
from itsdangerous import TimestampSigner

from tests.stack import SECRET_KEY, Service, Stack, client, until
from tests.web.cookies import DAY, NEW_KEY, signed, status_with, token_of
from tests.web.visitor import Visitor


async def test_the_first_chat_sets_a_protected_cookie(visitor: Visitor) -> None:
    looked = await visitor.http.get("/")
    began = await visitor.http.post("/chats", data={"username": "Ada"})
    later = await visitor.http.post("/chats", data={"username": "Ada"})

    cookie = began.headers["set-cookie"]
    flags = {flag.strip().lower() for flag in cookie.split(";")[1:]}
    assert cookie.startswith("runnel=")
    assert flags == {"httponly", "path=/", "samesite=lax", f"max-age={400 * DAY}"}
    assert "set-cookie" not in looked.headers
    assert "set-cookie" not in later.headers
    assert len(token_of(visitor)) >= 43


async def test_the_database_stores_only_a_tokens_hash_and_the_page_neither(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    token, page = token_of(visitor), await visitor.http.get(chat)

    device = await owner.fetchrow(
        "SELECT * FROM devices WHERE token_hash = $1", hashlib.sha256(token.encode()).digest()
    )

    assert device is not None
    assert token not in page.text + str(page.headers) + str(tuple(device))
    assert device["token_hash"].hex() not in page.text
    assert str(device["session_id"]) not in page.text


@pytest.mark.parametrize(
    "change",
    [
        lambda value: "",
        lambda value: value[:-1],
        lambda value: value[:40],
        lambda value: ("A" if value[0] != "A" else "B") + value[1:],
        lambda value: value.replace(".", "!", 1),
        lambda value: value + "x",
        lambda value: value + "." + value,
        lambda value: value.rsplit(".", 2)[0],
        lambda value: value * 100,
        lambda value: "x" * 5000,
        lambda value: value[:10] + "%00" + value[10:],
        lambda value: "é" + value,
        lambda value: "\udcff".encode("utf-8", "surrogateescape").decode("latin-1") + value,
        lambda value: ".." + value,
        lambda value: "....",
    ],
)
async def test_a_modified_cookie_is_refused(web: Service, visitor: Visitor, change: Any) -> None:
    chat, value = await visitor.begin(), visitor.http.cookies["runnel"]
    assert await status_with(web, chat, f"runnel={value}") == 200

    assert await status_with(web, chat, f"runnel={change(value)}".encode("latin-1")) == 404


@pytest.mark.parametrize(
    "forged",
    [
        lambda token: signed(token, NEW_KEY),
        lambda token: signed(token, salt="itsdangerous.Signer"),
        lambda token: signed(token, age=401 * DAY),
        lambda token: signed(token, age=-2 * DAY),
        lambda token: signed(""),
        lambda token: signed("x" * 43),
        lambda token: signed("[1, 2]"),
        lambda token: signed('{"sid": {"a": 1}}'),
        lambda token: signed(b"\xff\xfe"),
        lambda token: signed("a.b.c"),
        lambda token: TimestampSigner(SECRET_KEY).sign(token).decode(),
    ],
    ids=[
        "other key",
        "other purpose",
        "expired",
        "from the future",
        "empty",
        "unknown",
        "a list",
        "an object",
        "no text",
        "dots",
        "default",
    ],
)
async def test_a_forged_cookie_is_refused(web: Service, visitor: Visitor, forged: Any) -> None:
    chat, token = await visitor.begin(), token_of(visitor)
    assert await status_with(web, chat, f"runnel={signed(token)}") == 200

    assert await status_with(web, chat, b"runnel=" + forged(token).encode("latin-1", "replace")) == 404


async def test_many_other_cookies_are_ignored(web: Service, visitor: Visitor) -> None:
    chat = await visitor.begin()
    crowd = "; ".join(f"other{number}=x{'y' * 100}" for number in range(100))

    assert await status_with(web, chat, f"{crowd}; runnel={visitor.http.cookies['runnel']}") == 200
    assert await status_with(web, chat, f"runnel; =; ;;; runnel={visitor.http.cookies['runnel']}") == 200


@pytest.mark.parametrize(
    ("age", "renewed"), [(0, False), (DAY - 3600, False), (2 * DAY, True), (399 * DAY, True), (-3600, False)]
)
async def test_a_cookie_is_renewed_when_it_is_older_than_a_day(
    web: Service, visitor: Visitor, age: float, renewed: bool
) -> None:
    chat, token = await visitor.begin(), token_of(visitor)

    async with client(web.url, headers={"Cookie": f"runnel={signed(token, age=age)}"}) as http:
        answers = [await http.get(path) for path in (chat, "/")]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [("set-cookie" in answer.headers) for answer in answers] == [renewed, renewed]
    if renewed:
        again = SimpleCookie(answers[0].headers["set-cookie"])["runnel"].value
        assert again.startswith(f"{token}.")
        assert await status_with(web, chat, f"runnel={again}") == 200


@pytest.fixture(scope="module")
async def rotated(stack: Stack, default_web: Service) -> AsyncIterator[Service]:
    """A web process with a new signing key before the old one."""
    web = await stack.web(SECRET_KEYS=f"{NEW_KEY},{SECRET_KEY}")
    yield web
    await stack.leave(web)


async def test_a_new_key_accepts_old_cookies_and_signs_them_again(
    web: Service, rotated: Service, visitor: Visitor
) -> None:
    chat = await visitor.begin()

    async with client(rotated.url, headers={"Cookie": f"runnel={visitor.http.cookies['runnel']}"}) as http:
        shown = await http.get(chat)
    again = SimpleCookie(shown.headers["set-cookie"])["runnel"].value

    assert shown.status_code == 200
    assert again.startswith(f"{token_of(visitor)}.")
    assert TimestampSigner(NEW_KEY, salt="runnel.device", digest_method=hashlib.sha256).validate(again)
    assert await status_with(rotated, chat, f"runnel={again}") == 200
    assert await status_with(web, chat, f"runnel={again}") == 404


@pytest.fixture(scope="module")
async def secure(stack: Stack, default_web: Service) -> AsyncIterator[Service]:
    """A web process with an https URL."""
    web = await stack.web(PUBLIC_URL="https://chat.test")
    yield web
    await stack.leave(web)


async def test_with_https_the_cookie_is_bound_to_host_and_https(web: Service, secure: Service) -> None:
    async with client(secure.url, headers={"Host": "chat.test", "Origin": "https://chat.test"}) as http:
        began = await http.post("/chats", data={"username": "Ada"})
        name, value = began.headers["set-cookie"].split(";")[0].split("=", 1)
        shown = await http.get(began.headers["location"], headers={"Cookie": f"{name}={value}"})
        under_the_other_name = await http.get(began.headers["location"], headers={"Cookie": f"runnel={value}"})

    flags = {flag.strip().lower() for flag in began.headers["set-cookie"].split(";")[1:]}
    assert name == "__Host-runnel"
    assert flags == {"httponly", "path=/", "samesite=lax", "secure", f"max-age={400 * DAY}"}
    assert (shown.status_code, under_the_other_name.status_code) == (200, 404)
    assert all(
        answer.headers["strict-transport-security"].startswith("max-age=31536000")
        for answer in (began, shown, under_the_other_name)
    )


async def test_plain_http_sets_no_secure_headers(visitor: Visitor) -> None:
    began = await visitor.http.post("/chats", data={"username": "Ada"})

    assert "strict-transport-security" not in began.headers
    assert "secure" not in began.headers["set-cookie"].lower()


async def test_a_signed_out_device_has_no_session(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    await owner.execute(
        "UPDATE devices SET revoked_at = now() WHERE token_hash = $1",
        hashlib.sha256(token_of(visitor).encode()).digest(),
    )

    async def gone() -> bool:
        return (await visitor.http.get(chat)).status_code == 404

    await until(gone, seconds=5)
    began = await visitor.http.post("/chats", data={"username": "Ada"})
    assert "set-cookie" in began.headers
    assert began.headers["location"] != chat


async def test_page_views_create_no_session(web: Service, owner: Any) -> None:
    before = await owner.fetchval("SELECT count(*) FROM devices")

    async with client(web.url) as http:
        for _ in range(200):
            assert (await http.get("/")).status_code == 200

    assert await owner.fetchval("SELECT count(*) FROM devices") == before
