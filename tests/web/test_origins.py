"""Only the pages of this origin change anything, and only known hosts are served."""

import itertools
import re
from typing import Any

import pytest

from tests.stack import PUBLIC_URL, Service, client, row_counts
from tests.web.actions import finished_answer
from tests.web.all_routes import ANSWER_ACTIONS, CHAT_ACTIONS, UNKNOWN
from tests.web.visitor import HTML, Visitor
from web.routes import routes

UNSAFE = {  # every unsafe route, with a form that changes nothing
    "/appearance": ({"theme": "dark"}, 303),
    "/chats": ({"username": ""}, 422),
    f"/chats/{UNKNOWN}/messages": ({"content": "Hi"}, 404),
    "/devices/link": ({}, (404, 200)),  # without a session, and with one
    "/devices/sign-out": ({"others": "1"}, (404, 303)),
    f"/devices/{UNKNOWN}/sign-out": ({}, 404),
    "/join": ({"code": "x"}, 404),
    "/chats/selected": ({"action": "archive", f"chat-{UNKNOWN}": "1"}, (404, 303)),
    f"/chats/{UNKNOWN}/title": ({"title": "x"}, 404),
    f"/chats/{UNKNOWN}/pin": ({}, 404),
    f"/chats/{UNKNOWN}/unpin": ({}, 404),
    f"/chats/{UNKNOWN}/archive": ({}, 404),
    f"/chats/{UNKNOWN}/unarchive": ({}, 404),
    f"/chats/{UNKNOWN}/delete": ({}, 404),
    f"/chats/{UNKNOWN}/restore": ({}, 404),
    f"/chats/{UNKNOWN}/leave": ({}, 404),
    f"/chats/{UNKNOWN}/return": ({}, 404),
    f"/chats/{UNKNOWN}/keep": ({}, 404),
    f"/chats/{UNKNOWN}/settings": ({}, 404),
    f"/chats/{UNKNOWN}/presets/{UNKNOWN}/delete": ({}, 404),
    f"/chats/{UNKNOWN}/messages/{UNKNOWN}/stop": ({}, 404),
    f"/chats/{UNKNOWN}/messages/{UNKNOWN}/regenerate": ({}, 404),
    f"/chats/{UNKNOWN}/messages/{UNKNOWN}/continue": ({}, 404),
    f"/chats/{UNKNOWN}/messages/{UNKNOWN}/show": ({}, 404),
    f"/chats/{UNKNOWN}/messages/{UNKNOWN}/edit": ({"content": "Hi"}, 404),
    f"/chats/{UNKNOWN}/messages/{UNKNOWN}/delete": ({}, 404),
}
SITES = [
    None,
    "same-origin",
    "none",
    "same-site",
    "cross-site",
    "junk",
    "",
    "Same-Origin",
    ("same-origin", "cross-site"),
]
ORIGINS = [
    None,
    PUBLIC_URL,
    "http://other.test:8080",
    "http://chat.test",
    "https://chat.test:8080",
    "null",
    "http://",
    "%",
    "",
    (PUBLIC_URL, "null"),
]


def allowed(site: Any, origin: Any, cookie: bool) -> bool:
    """The rule: Sec-Fetch-Site decides, then Origin; without both, only requests without a cookie are allowed."""
    if site is not None:
        return site in ("same-origin", "none")
    if origin is not None:
        return bool(origin == PUBLIC_URL)
    return not cookie


def lines(name: str, value: Any) -> list[tuple[str, str]]:
    values = () if value is None else value if isinstance(value, tuple) else (value,)
    return [(name, each) for each in values]


def test_every_unsafe_route_is_tested() -> None:
    unsafe = {route.path for route in routes if (route.methods or set()) - {"GET", "HEAD"}}

    assert {re.sub("{[^}]*}", UNKNOWN, path) for path in unsafe} == UNSAFE.keys()


@pytest.mark.parametrize("path", UNSAFE)
async def test_only_same_origin_requests_change_anything(web: Service, visitor: Visitor, owner: Any, path: str) -> None:
    await visitor.begin()
    (form, status), cookie = UNSAFE[path], f"runnel={visitor.http.cookies['runnel']}"
    statuses = status if isinstance(status, tuple) else (status, status)
    await visitor.http.post(path, data=form)  # a first request makes its changes
    before, wrong = await row_counts(owner), []

    async with client(web.url, headers={"Accept": HTML}) as http:
        for site, origin, with_cookie in itertools.product(SITES, ORIGINS, (False, True)):
            headers = (
                lines("Sec-Fetch-Site", site)
                + lines("Origin", origin)
                + lines("Cookie", cookie if with_cookie else None)
            )
            answer = await http.post(path, data=form, headers=headers)
            if answer.status_code != (statuses[with_cookie] if allowed(site, origin, with_cookie) else 403):
                wrong.append((site, origin, with_cookie, answer.status_code))

    assert wrong == []
    assert await row_counts(owner) == before


async def test_a_cross_site_page_can_change_nothing(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    message = await visitor.say(chat, {"text": "one two", "hang_after": 1})
    await visitor.written(chat, message)
    before, foreign = await row_counts(owner), {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.test"}

    answers = [
        await visitor.http.post("/chats", data={"username": "Eve", "new": "1"}, headers=foreign),
        await visitor.post(chat, "Hi", foreign),
        await visitor.http.post(f"{chat}/messages/{message}/stop", headers=foreign),
        await visitor.http.post(
            f"{chat}/messages", content=b'{"content":"Hi"}', headers=foreign | {"Content-Type": "text/plain"}
        ),
        await visitor.http.request(
            "OPTIONS", f"{chat}/messages", headers=foreign | {"Access-Control-Request-Method": "POST"}
        ),
    ]

    assert [answer.status_code for answer in answers] == [403] * 5
    assert not any(name.startswith("access-control") for answer in answers for name in answer.headers)
    assert await row_counts(owner) == before
    assert (await visitor.message(chat, message))["status"] == "streaming"


@pytest.mark.parametrize("verb", [*CHAT_ACTIONS, *(f"messages/%s/{verb}" for verb in ANSWER_ACTIONS)])
async def test_only_our_own_pages_may_act_on_a_chat_or_an_answer(visitor: Visitor, verb: str) -> None:
    chat = await visitor.begin()
    done = await finished_answer(visitor, chat)
    before = await visitor.messages(chat)

    answer = await visitor.http.post(
        f"{chat}/{verb.replace('%s', done['id'])}", headers={"Sec-Fetch-Site": "cross-site"}
    )

    assert answer.status_code == 403
    assert await visitor.messages(chat) == before


async def test_localhost_counts_as_same_origin(web: Service, visitor: Visitor) -> None:
    await visitor.begin()
    cookie, origin = f"runnel={visitor.http.cookies['runnel']}", f"http://localhost:{web.port}"

    async with client(web.url, headers={"Cookie": cookie, "Host": f"localhost:{web.port}"}) as http:
        same, other_port, other_name = [
            await http.post("/chats", data={"username": ""}, headers={"Origin": each})
            for each in (origin, "http://localhost:1", f"http://127.0.0.1:{web.port}")
        ]

    assert (same.status_code, other_port.status_code, other_name.status_code) == (422, 403, 403)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "FOO", "_DO_DELETE"])
async def test_other_methods_do_nothing(visitor: Visitor, owner: Any, method: str) -> None:
    chat = await visitor.begin()
    before = await row_counts(owner)

    answers = [
        await visitor.http.request(method, path)
        for path in ("/", "/chats", chat, f"{chat}/messages", "/static/app.css")
    ]

    assert {answer.status_code for answer in answers} <= {400, 403, 405}
    assert await row_counts(owner) == before


async def test_a_get_with_an_overridden_method_stays_a_get(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    before = await row_counts(owner)

    answers = [
        await visitor.http.get(
            path,
            params={"_method": "POST", "content": "Hi", "username": "Eve"},
            headers={"X-HTTP-Method-Override": "POST"},
        )
        for path in (chat, f"{chat}/messages", "/chats", "/chats/selected")
    ]

    assert [answer.status_code for answer in answers] == [200, 405, 200, 405]
    assert await row_counts(owner) == before


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("chat.test:8080", 200),
        ("chat.test", 200),
        ("CHAT.test:8080", 200),
        ("127.0.0.1", 200),
        ("localhost:1234", 200),
        ("evil.test", 421),
        ("chat.test.evil.test", 421),
        ("evilchat.test", 421),
        ("127.0.0.1.evil.test", 421),
        ("[::1]", 421),
        ("chat.test:8080@evil.test", 400),
        ("evil.test/chat.test?x", 400),
        ("chat.test#x", 400),
        ("chat.test:port", 400),
        ("chat.test:99999", 400),
        ("chat.test evil.test", 400),
        ("", 400),
    ],
)
async def test_only_known_hosts_are_accepted(web: Service, visitor: Visitor, host: str, status: int) -> None:
    chat = await visitor.begin()

    answers = [
        await visitor.http.get(path, headers={"Host": host, "X-Forwarded-Host": "chat.test"})
        for path in ("/", chat, "/static/app.css")
    ]

    assert [answer.status_code for answer in answers] == [status] * 3
    assert "evil" not in "".join(answer.text + str(answer.headers) for answer in answers)


async def test_dns_rebinding_is_refused(visitor: Visitor, owner: Any) -> None:
    await visitor.begin()
    before = await row_counts(owner)

    answer = await visitor.http.post(
        "/chats", data={"username": "Eve", "new": "1"}, headers={"Host": "evil.test", "Origin": "http://evil.test"}
    )

    assert answer.status_code == 421
    assert await row_counts(owner) == before


async def test_forwarded_headers_are_ignored(visitor: Visitor) -> None:
    spoofed = {
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "1.2.3.4",
        "Forwarded": "host=evil.test;proto=https",
    }

    answer = await visitor.http.post("/chats", data={"username": "Ada"}, headers=spoofed)

    assert answer.headers["location"].startswith("/chats/")
    assert "evil" not in str(answer.headers) + answer.text
    assert "secure" not in answer.headers["set-cookie"].lower()
