"""The cookie: who has ours has a session, everybody else has none, and nothing that is sent can break that."""

import hashlib
import time
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from typing import Any

import pytest
from itsdangerous import TimestampSigner

from tests.stack import SECRET_KEY, Service, Stack, client, until
from tests.web.visitor import HTML, Visitor

NEW_KEY = "new-secret-key-of-the-tests-9876543210fedcba"
DAY = 86_400


def signed(token: str | bytes, key: str = SECRET_KEY, age: float = 0, salt: str = "runnel.device") -> str:
    """A cookie as web signs it, `age` seconds ago."""

    class Then(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time() - age)

    return Then(key, salt=salt, digest_method=hashlib.sha256).sign(token).decode("latin-1")


def token_of(visitor: Visitor) -> str:
    return visitor.http.cookies["runnel"].rsplit(".", 2)[0]


async def status_with(web: Service, chat: str, cookie: str | bytes) -> int:
    """What the chat page says to whoever sends this Cookie header."""
    async with client(web.url, headers={"Accept": HTML}) as http:
        return (await http.get(chat, headers=[(b"Cookie", cookie if isinstance(cookie, bytes) else cookie.encode())])).status_code


async def test_a_cookie_comes_with_the_first_chat_and_is_only_ours(visitor: Visitor) -> None:
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


async def test_the_database_knows_only_the_hash_of_a_token_and_the_page_not_even_that(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    token, page = token_of(visitor), await visitor.http.get(chat)

    device = await owner.fetchrow("SELECT * FROM devices WHERE token_hash = $1", hashlib.sha256(token.encode()).digest())

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
async def test_a_cookie_that_was_changed_is_none(web: Service, visitor: Visitor, change: Any) -> None:
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
async def test_a_cookie_that_is_not_ours_is_none(web: Service, visitor: Visitor, forged: Any) -> None:
    chat, token = await visitor.begin(), token_of(visitor)
    assert await status_with(web, chat, f"runnel={signed(token)}") == 200

    assert await status_with(web, chat, b"runnel=" + forged(token).encode("latin-1", "replace")) == 404


async def test_two_cookies_of_our_name_never_mix_two_sessions(web: Service, visitor: Visitor, other: Visitor) -> None:
    mine, theirs = await visitor.begin(), await other.begin()
    cookies = [f"runnel={each.http.cookies['runnel']}" for each in (visitor, other)]

    statuses = [[await status_with(web, chat, "; ".join(cookies)) for chat in (mine, theirs)] for _ in range(3)]

    assert statuses[0] == statuses[1] == statuses[2]
    assert statuses[0] in ([200, 404], [404, 200], [404, 404], [400, 400])


async def test_a_crowd_of_cookies_breaks_nothing(web: Service, visitor: Visitor) -> None:
    chat = await visitor.begin()
    crowd = "; ".join(f"other{number}=x{'y' * 100}" for number in range(100))

    assert await status_with(web, chat, f"{crowd}; runnel={visitor.http.cookies['runnel']}") == 200
    assert await status_with(web, chat, f"runnel; =; ;;; runnel={visitor.http.cookies['runnel']}") == 200


async def test_no_other_way_opens_a_session(web: Service, visitor: Visitor, owner: Any) -> None:
    chat, value = await visitor.begin(), visitor.http.cookies["runnel"]
    session = str(await owner.fetchval("SELECT session_id FROM chats WHERE id = $1", chat.removeprefix("/chats/")))

    async with client(web.url, params={"runnel": value, "session_id": session}) as http:
        names = ("X-Session-ID", "x_session_id", "Remote-User", "X-User", "X-Forwarded-User")
        answer = await http.get(chat, headers=dict.fromkeys(names, session) | {"Authorization": f"Bearer {value}"})

    assert answer.status_code == 404


@pytest.mark.parametrize(("age", "renewed"), [(0, False), (DAY - 3600, False), (2 * DAY, True), (399 * DAY, True), (-3600, False)])
async def test_a_cookie_is_renewed_when_it_is_older_than_a_day(web: Service, visitor: Visitor, age: float, renewed: bool) -> None:
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
async def rotated(stack: Stack, usual_web: Service) -> AsyncIterator[Service]:
    """A web process after its operator has put a new key before the old one."""
    web = await stack.web(SECRET_KEYS=f"{NEW_KEY},{SECRET_KEY}")
    yield web
    await stack.leave(web)


async def test_a_new_key_keeps_old_cookies_and_signs_them_anew(web: Service, rotated: Service, visitor: Visitor) -> None:
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
async def secure(stack: Stack, usual_web: Service) -> AsyncIterator[Service]:
    """A web process that is reached by https."""
    web = await stack.web(PUBLIC_URL="https://chat.test")
    yield web
    await stack.leave(web)


async def test_by_https_the_cookie_is_for_this_host_and_for_https_only(web: Service, secure: Service) -> None:
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
        answer.headers["strict-transport-security"].startswith("max-age=31536000") for answer in (began, shown, under_the_other_name)
    )


async def test_by_http_nothing_claims_to_be_secure(visitor: Visitor) -> None:
    began = await visitor.http.post("/chats", data={"username": "Ada"})

    assert "strict-transport-security" not in began.headers
    assert "secure" not in began.headers["set-cookie"].lower()


async def test_a_device_that_was_signed_out_has_no_session_any_more(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    await owner.execute("UPDATE devices SET revoked_at = now() WHERE token_hash = $1", hashlib.sha256(token_of(visitor).encode()).digest())

    async def gone() -> bool:
        return (await visitor.http.get(chat)).status_code == 404

    await until(gone, seconds=5)
    began = await visitor.http.post("/chats", data={"username": "Ada"})
    assert "set-cookie" in began.headers
    assert began.headers["location"] != chat


async def test_many_looks_make_no_session(web: Service, owner: Any) -> None:
    before = await owner.fetchval("SELECT count(*) FROM devices")

    async with client(web.url) as http:
        for _ in range(200):
            assert (await http.get("/")).status_code == 200

    assert await owner.fetchval("SELECT count(*) FROM devices") == before
