"""The headers of every kind of response, through nginx."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev import nginx, ports, process, settings
from tests.observatory import Site, graded
from tests.stack import Service, Stack, client, serving, until
from tests.web.visitor import EVENTS, HTML, HTMX, TEXT

NAME = "chat.test"
ORIGIN = f"https://{NAME}"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; "
    "frame-ancestors {}; "
    "require-trusted-types-for 'script'; trusted-types app"
)
ALWAYS = {
    "content-security-policy": POLICY.format("'none'"),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), display-capture=(), "
    "browsing-topics=()",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
}
FRAMED = {"content-security-policy": POLICY.format("'self'"), "x-frame-options": "SAMEORIGIN"}
TELLTALE = ("nginx/", "uvicorn", "starlette", "python", "traceback", "asyncpg", "sqlalchemy", "127.0.0.1:")
STREAMS = 2


@asynccontextmanager
async def through_nginx(folder: Path, web: str) -> AsyncIterator[httpx.AsyncClient]:
    """nginx in front of this web process, as https://chat.test."""
    port = ports.free()
    given = {"PORT": str(port), "PUBLIC_URL": ORIGIN, "STREAMS_PER_SESSION": str(STREAMS)}
    nginx.write_public(folder, settings.read(given), [web.removeprefix("http://")])
    running = await process.start(nginx.command(folder), folder / "log", {}, folder)
    try:
        async with client(f"http://127.0.0.1:{port}", headers={"Host": NAME, "Origin": ORIGIN, "Accept": HTML}) as http:

            async def listens() -> bool:
                try:
                    return bool(await http.get("/sorry.css"))
                except httpx.ConnectError:
                    return False

            await until(listens)
            yield http
    finally:
        await process.stop(running, signal.SIGTERM)


@pytest.fixture(scope="module")
async def secure_web(stack: Stack) -> Service:
    """A web process behind TLS."""
    return await stack.web(PUBLIC_URL=ORIGIN)


@pytest.fixture(scope="module")
async def broken_web(stack: Stack, secure_web: Service) -> AsyncIterator[Service]:
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
        return JSONResponse(quiet | {"session_id": "not one"})

    with serving(Starlette(routes=[Route("/{path:path}", nonsense, methods=["GET", "POST"])])) as url:
        web = await stack.web(PUBLIC_URL=ORIGIN, DBAPI_URL=url)
        yield web
        await stack.leave(web)


@pytest.fixture(scope="module")
async def web_without_dbapi(stack: Stack, secure_web: Service) -> AsyncIterator[Service]:
    """A web process without a database service."""
    web = stack._service("web", "web", **secure_web.environ | {"DBAPI_URL": f"http://127.0.0.1:{ports.free()}"})
    web.environ["WEB_PORT"] = str(web.port)
    await web.start(wait=False)

    async def alive() -> bool:
        try:
            async with client(web.url) as http:
                return (await http.get("/healthz")).status_code == 200
        except httpx.HTTPError:
            return False

    await until(alive, web.log_tail)
    yield web
    await stack.leave(web)


@pytest.fixture(scope="module")
async def http(secure_web: Service, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    async with through_nginx(tmp_path_factory.mktemp("nginx"), secure_web.url) as http:
        yield http


def assert_headers(
    answer: httpx.Response, status: int, changed: dict[str, str] | None = None, *, no_store: bool = True
) -> None:
    """Checks that each security header appears exactly once, and that nothing reveals internals."""
    about = f"{answer.request.method} {str(answer.url)[:100]}"
    assert answer.status_code == status, about
    expected = ALWAYS | (changed or {})
    assert {name: answer.headers.get_list(name) for name in expected} == {
        name: [value] for name, value in expected.items()
    }, about
    if no_store:
        assert "no-store" in answer.headers["cache-control"], about
    said = (str(answer.headers) + (answer.text if answer.is_closed else "")).lower()
    assert [word for word in TELLTALE if word in said.replace(str(answer.url).lower(), "")] == [], about
    assert "x-powered-by" not in answer.headers
    assert answer.headers["server"] == "nginx"


async def signed_in(http: httpx.AsyncClient) -> tuple[str, httpx.Response]:
    """Starts a chat; returns its path and the response. Sends the Secure cookie although the test uses http."""
    began = await http.post("/chats", data={"username": "Ada", "new": "1"})
    http.headers["Cookie"] = (
        began.headers["set-cookie"].partition(";")[0] if "set-cookie" in began.headers else http.headers["Cookie"]
    )
    return began.headers["location"], began


async def test_golden_headers(http: httpx.AsyncClient) -> None:
    chat, began = await signed_in(http)
    said = await http.post(f"{chat}/messages", data={"content": '{"text": "word", "hang_after": 1}'})
    stream = said.headers["location"].replace("#message-", "/messages/") + "/stream"

    assert_headers(began, 303, no_store=False)
    assert_headers(said, 303, no_store=False)
    for path in ("/", chat, f"{chat}/settings", "/devices", "/offline"):
        assert_headers(await http.get(path), 200)
    assert_headers(await http.get("/join?code=x"), 200, {"referrer-policy": "strict-origin"})
    for path in ("/healthz", "/readyz", "/static/app.css", "/static/htmx.min.js", "/sw.js", "/manifest.webmanifest"):
        assert_headers(await http.get(path), 200, no_store=False)
    for kind in ("json", "md", "txt"):
        assert_headers(
            await http.get(f"{chat}.{kind}"), 200, {"content-security-policy": "default-src 'none'; sandbox"}
        )
    assert_headers(await http.post(f"{chat}/messages", data={"content": "Hi"}, headers=HTMX), 201)
    assert_headers(await http.get(f"{chat}/list", headers=HTMX), 200)
    assert_headers(
        await http.post("/chats", data={"username": "x"}, headers={"Origin": "https://evil.test"}), 403, no_store=False
    )
    assert_headers(await http.get("/nowhere"), 404)
    assert_headers(await http.get("/nowhere", headers=HTMX), 404)
    assert_headers(await http.get("/nowhere", headers={"Accept": "*/*"}), 404, no_store=False)
    assert_headers(await http.get("/static/nothing.css"), 404)
    assert_headers(await http.get(stream.replace("/messages/", "/messages/0")), 404)
    assert_headers(await http.post("/"), 405)
    assert_headers(await http.post(f"{chat}/messages", data={"content": "x" * 33_000}), 413)
    assert_headers(await http.post(f"{chat}/messages", content=b"x" * 450_000), 413)
    assert_headers(await http.post(f"{chat}/messages", content=b"x" * 600_000), 413)
    assert_headers(await http.post(f"{chat}/messages", json={}), 415)
    assert_headers(await http.post(f"{chat}/messages", data={"content": " "}), 422)
    assert_headers(await http.get("/" + "x" * 62_000), 414)
    assert_headers(await http.get("/", headers={"X": "x" * 62_000}), 400)
    assert_headers(await http.get("/", headers={"Host": "evil.test"}), 421)

    opened = []
    for accept, changed in ((EVENTS, ALWAYS), (HTML, FRAMED)):
        opened.append(await http.send(http.build_request("GET", stream, headers={"Accept": accept}), stream=True))
        assert_headers(opened[-1], 200, changed)
    assert_headers(await http.get(stream, headers={"Accept": EVENTS}), 429, FRAMED)
    for each in opened:
        await each.aclose()
    assert_headers(await http.head(stream, headers={"Accept": TEXT}), 200)
    await http.post(stream.replace("/stream", "/stop"))


async def test_golden_headers_when_something_inside_is_broken(
    broken_web: Service, web_without_dbapi: Service, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    await signed_in(http)
    cookie = {"Cookie": http.headers["Cookie"]}

    async with through_nginx(tmp_path / "broken", broken_web.url) as broken:
        assert_headers(await broken.post("/chats", data={"username": "Ada"}), 500)
        assert_headers(await broken.post("/chats", data={"username": "Ada"}, headers=HTMX), 500)
    async with through_nginx(tmp_path / "lonely", web_without_dbapi.url) as lonely:
        for answer in (await lonely.get("/", headers=cookie), await lonely.post("/chats", data={"username": "Ada"})):
            assert_headers(answer, 503)
            assert answer.headers["retry-after"]
        assert 'value="Ada"' in answer.text
    async with through_nginx(tmp_path / "none", f"http://127.0.0.1:{ports.free()}") as none:
        for method, accept in (("GET", HTML), ("POST", HTML), ("POST", "*/*")):
            assert_headers(await none.request(method, "/chats", headers={"Accept": accept}), 502)
        assert_headers(await none.get("/chats/1/messages/2/stream"), 502, FRAMED)


async def test_the_cookie_is_bound_to_this_host_and_no_script_sees_it(http: httpx.AsyncClient) -> None:
    http.headers.pop("Cookie", None)
    _, began = await signed_in(http)

    name, flags = (
        began.headers["set-cookie"].split("=")[0],
        {flag.strip() for flag in began.headers["set-cookie"].split(";")[1:]},
    )

    assert name == "__Host-runnel"
    assert flags == {"HttpOnly", "Max-Age=34560000", "Path=/", "SameSite=lax", "Secure"}
    assert len(began.headers["set-cookie"]) < 4096


# Mozilla Observatory


async def scanned(http: httpx.AsyncClient, path: str, cookies: list[str], without: str = "") -> Site:
    page, foreign = (
        await http.get(path),
        await http.get(path, headers={"Origin": "https://http-observatory.security.mozilla.org"}),
    )
    if without:
        assert without in page.headers
        del page.headers[without]
    return Site(page, None, foreign, cookies)


async def test_the_observatory_gives_the_best_grade(http: httpx.AsyncClient) -> None:
    http.headers.pop("Cookie", None)
    chat, began = await signed_in(http)

    for path in ("/", chat, "/devices", "/nowhere", "/" + "x" * 62_000):
        score, grade, found = graded(await scanned(http, path, [began.headers["set-cookie"]]))
        print(f"\nMozilla Observatory, replayed: {path[:40]} {score} {grade} {found}")
        assert (grade, min(found.values())) == ("A+", 0), found
        assert score >= 130


@pytest.mark.parametrize(
    ("without", "worst"),
    [
        ("content-security-policy", 75),  # and X-Frame-Options is used instead
        ("strict-transport-security", 80),
        ("x-content-type-options", 140),
        ("referrer-policy", 140),
        ("cross-origin-opener-policy", 135),
        ("cross-origin-resource-policy", 135),
    ],
)
async def test_the_observatory_finds_missing_headers(http: httpx.AsyncClient, without: str, worst: int) -> None:
    http.headers.pop("Cookie", None)
    _, began = await signed_in(http)

    best, _, _ = graded(await scanned(http, "/", [began.headers["set-cookie"]]))
    score, _, _ = graded(await scanned(http, "/", [began.headers["set-cookie"]], without))

    assert (best, score) == (145, worst)


def test_the_observatory_finds_a_missing_cookie_flag() -> None:
    request = httpx.Request("GET", ORIGIN, headers={"Origin": "https://evil.test"})
    answer = httpx.Response(200, headers=ALWAYS, request=request)

    worth = {
        cookie: graded(Site(answer, None, answer, [cookie]))[2]["cookies"]
        for cookie in (
            "__Host-runnel=x; Secure; HttpOnly; SameSite=Lax",
            "__Host-runnel=x; Secure; HttpOnly",
            "session=x; Secure; SameSite=Lax",
            "runnel=x; HttpOnly",
        )
    }

    assert list(worth.values()) == [5, 0, -30, -5]
