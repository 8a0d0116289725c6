"""Malformed requests, and the headers of every response."""

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dbapi.routes import routes as dbapi_routes
from tests.stack import Service, Stack, client, serving
from tests.web.all_routes import UNKNOWN
from tests.web.cookies import signed
from tests.web.visitor import EVENTS, HTML, TEXT, Visitor
from web.routes import routes

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; "
    "frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types app"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.mark.parametrize(
    ("head", "statuses"),
    [
        ("GET / HTTP/1.1\r\n\r\n", {400}),
        ("GET / HTTP/1.1\r\nHost: chat.test\r\nHost: evil.test\r\n\r\n", {400}),
        ("GET / HTTP/1.1\r\nHost: chat.test\r\nHost: chat.test\r\n\r\n", {400}),
        ("GET http://evil.test/ HTTP/1.1\r\nHost: chat.test\r\n\r\n", {200, 400, 404, 421}),
        ("GET @evil.test/ HTTP/1.1\r\nHost: chat.test\r\n\r\n", {400, 404}),
        ("GET //evil.test/ HTTP/1.1\r\nHost: chat.test\r\n\r\n", {400, 404}),
        ("GET //evil.test/.. HTTP/1.1\r\nHost: chat.test\r\n\r\n", {400, 404}),
        ("GET /chats// HTTP/1.1\r\nHost: chat.test\r\n\r\n", {307, 400, 404}),
        ("GET /static/..%2f..%2fetc/passwd HTTP/1.1\r\nHost: chat.test\r\n\r\n", {400, 404}),
        ("GET /static/../app.py HTTP/1.1\r\nHost: chat.test\r\n\r\n", {400, 404}),
        ("GET /static/%00 HTTP/1.1\r\nHost: chat.test\r\n\r\n", {400, 404}),
        ("GET /" + "x" * 8000 + " HTTP/1.1\r\nHost: chat.test\r\n\r\n", {400, 404, 414}),
        ("GET /%0d%0aSet-Cookie:%20x=1 HTTP/1.1\r\nHost: chat.test\r\n\r\n", {400, 404}),
    ],
    ids=[
        "no host",
        "two hosts",
        "one host twice",
        "absolute",
        "@",
        "//",
        "//..",
        "slashes",
        "encoded dots",
        "dots",
        "nul",
        "long",
        "line feed",
    ],
)
async def test_malformed_requests_are_refused_cleanly(web: Service, head: str, statuses: set[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    writer.write(head.encode())

    async with asyncio.timeout(5):
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    writer.close()
    await writer.wait_closed()

    assert int(answer.split()[1]) in statuses
    assert "evil" not in answer
    assert "set-cookie" not in answer.lower()


@pytest.fixture(scope="module")
async def broken(stack: Stack, default_web: Service) -> AsyncIterator[Service]:
    """A web process whose database service sends nonsense."""

    async def nonsense(request: Request) -> Response:
        quiet = {
            "claimed": [],
            "waiting": 0,
            "streaming": 0,
            "next_expiry": None,
            "states": [],
            "chunks": [],
            "ok": [],
            "stop": [],
        }
        if request.url.path == "/events":
            return JSONResponse(quiet)
        return JSONResponse(quiet | {"session_id": str(uuid4()), "chats": [{"id": "secret-host"}]})

    with serving(Starlette(routes=[Route("/{path:path}", nonsense, methods=["GET", "POST"])])) as url:
        web = await stack.web(DBAPI_URL=url)
        yield web
        await stack.leave(web)


async def test_every_answer_carries_the_same_headers(visitor: Visitor) -> None:
    chat = await visitor.begin()
    running = await visitor.say(chat, {"text": "one two", "hang_after": 1})
    done = await visitor.ended(await visitor.begin(new="1"), await visitor.say(visitor.chats[-1]))
    stream, finished = f"{chat}/messages/{running}/stream", f"{visitor.chats[-1]}/messages/{done['id']}/stream"
    http = visitor.http

    answers = {
        200: [await http.get(path) for path in ("/", chat, "/healthz", "/readyz", "/static/app.css", "/static/page.js")]
        + [await http.get(finished, headers={"Accept": accept}) for accept in (EVENTS, TEXT)]
        + [await http.get("/chats"), await http.head(stream, headers={"Accept": EVENTS})],
        201: [await visitor.post(chat, "Hi", {"HX-Request": "true"})],
        204: [await http.post(f"{chat}/messages/{running}/stop", headers={"HX-Request": "true"})],
        303: [await http.post("/chats", data={"username": "Ada"}), await http.post(f"{chat}/messages/{running}/stop")],
        400: [
            await http.get("/", headers={"Host": "a/b"}),
            await http.post(
                "/chats", content=b"a&" * 50, headers={"Content-Type": "application/x-www-form-urlencoded"}
            ),
        ],
        403: [await http.post("/chats", data={"username": "Eve"}, headers={"Sec-Fetch-Site": "cross-site"})],
        404: [
            await http.get(path)
            for path in (
                "/nowhere",
                f"/chats/{UNKNOWN}",
                f"/chats/{UNKNOWN}/messages/{UNKNOWN}/stream",
                "/static/no.css",
            )
        ],
        405: [await http.get("/chats/selected"), await http.post("/")],
        413: [await visitor.post(chat, "x" * 40_000), await visitor.post(chat, "x" * 500_000)],
        415: [await http.post(f"{chat}/messages", json={"content": "Hi"})],
        421: [await http.get("/", headers={"Host": "evil.test"})],
        422: [await http.post("/chats", data={"username": ""}), await visitor.post(chat, " ")],
    }

    for status, given in answers.items():
        for answer in given:
            about = f"{status} {answer.request.method} {answer.url}"
            assert answer.status_code == status, about
            assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, about
            assert "camera=()" in answer.headers["permissions-policy"], about
            assert "server" not in answer.headers, about
            if answer.headers.get("content-type", "").startswith("text/html"):
                assert answer.headers["cache-control"] == "no-store", about
                assert answer.headers["vary"] == "HX-Request, Cookie", about


async def test_only_the_streamed_frame_may_be_framed_and_only_by_the_same_origin(visitor: Visitor) -> None:
    chat = await visitor.begin()
    message = await visitor.say(chat, {"text": "Because."})

    frame = await visitor.http.get(f"{chat}/messages/{message}/stream")

    assert frame.headers["content-type"].startswith("text/html")
    assert frame.headers["content-security-policy"] == POLICY.replace(
        "frame-ancestors 'none'", "frame-ancestors 'self'"
    )
    assert frame.headers["x-frame-options"] == "SAMEORIGIN"
    assert {
        name: frame.headers[name] for name in HEADERS if name not in ("content-security-policy", "x-frame-options")
    }.items() <= HEADERS.items()


async def test_an_internal_error_shows_a_message_with_the_same_headers(broken: Service) -> None:
    answers = []
    for headers in ({"Accept": HTML}, {"Accept": TEXT}, {"HX-Request": "true"}):
        async with client(broken.url, headers=headers | {"Cookie": f"runnel={signed('x' * 43)}"}) as http:
            answers.append(await http.get("/"))
    page, line, notice = answers

    for answer in (page, line, notice):
        assert answer.status_code == 500
        assert "Something went wrong on the server" in answer.text
        assert not any(word in answer.text for word in ("Traceback", "KeyError", "Undefined", "secret-host", "/web/"))
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "<html" in page.text
    assert line.headers["content-type"].startswith("text/plain")
    assert notice.text.startswith('<p id="notice"')


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/", "/offline", "/join", "/static/app.css"])
@pytest.mark.parametrize("suffix", ["%0a", "%0d", "%20", "%00"])
async def test_a_path_matches_a_route_only_as_a_whole(visitor: Visitor, path: str, suffix: str) -> None:
    for method in ("GET", "HEAD"):
        response = await visitor.http.request(method, path + suffix)
        assert response.status_code == 404


def test_no_route_matches_a_path_that_ends_with_a_line_feed() -> None:
    """Every route of both services, whatever its parameters."""
    known = {"id": "00000000-0000-4000-8000-000000000000", "path": ""}
    for route in routes + dbapi_routes:
        path = re.sub(r"{\w+:(\w+)}", lambda match: known[match[1]], route.path)
        assert route.path_regex.match(path)
        if not path.endswith("/username/"):
            assert not route.path_regex.match(f"{path}\n"), route.path


async def test_the_page_refers_to_static_files_that_are_there(visitor: Visitor) -> None:
    page = await visitor.page(await visitor.begin())
    addresses = [
        node.attributes.get("href") or node.attributes.get("src", "")
        for node in page.matching("link") + page.matching("script")
    ]

    answers = [await visitor.http.get(address) for address in addresses]

    assert len(addresses) >= 5
    addresses.remove("/manifest.webmanifest")
    assert all(address.startswith("/static/") and "?v=" in address for address in addresses)
    assert [answer.status_code for answer in answers] == [200] * len(answers)


async def test_many_byte_ranges_are_cheap(visitor: Visitor) -> None:
    answer = await asyncio.wait_for(
        visitor.http.get("/static/app.css", headers={"Range": "bytes=" + "0-," * 5000 + "0-1"}), 5
    )

    assert answer.status_code in (200, 206, 400, 416, 431)
    assert len(answer.content) < 1_000_000


async def test_no_page_has_inline_code(visitor: Visitor) -> None:
    page = await visitor.page(await visitor.begin())

    assert not [script for script in page.matching("script") if script.text.strip() or "src" not in script.attributes]
    assert not page.matching("style")
    assert not [
        (node.tag, name)
        for node in page.all()
        for name in node.attributes
        if name == "style" or name.startswith(("on", "hx-on"))
    ]
