"""The public nginx, in front of servers that echo the requests they receive."""

import asyncio
import json
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from dev import nginx, ports, process, settings
from tests.stack import PATIENCE_SECONDS
from web import middleware

STREAM = "/chats/1/messages/2/stream"
SECURITY_HEADERS = {name.lower(): value for name, value in middleware.HEADERS.items()}  # those of web's own pages


@dataclass
class Upstream:
    """Responds to every request with the received headers as JSON, or with the given body."""

    status: str = "200 OK"
    content_type: str = "application/json"
    body: bytes = b""
    port: int = field(default_factory=lambda: ports.free(None, set()))
    requests: list[str] = field(default_factory=list)  # request lines

    async def respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *headers = head.strip().split("\r\n")
            self.requests.append(line)
            if self.status == "drop":
                return
            if self.status == "silent":
                await asyncio.sleep(3)
            body = self.body or _as_json(headers)
            start = f"HTTP/1.1 {self.status}\r\nContent-Type: {self.content_type}\r\nConnection: close\r\n\r\n"
            writer.write(start.encode() + body)
            await writer.drain()
            if self.content_type == "text/event-stream":
                await asyncio.sleep(30)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


def _as_json(headers: list[str]) -> bytes:
    return json.dumps({name.lower(): text for name, text in (each.split(": ", 1) for each in headers)}).encode()


@asynccontextmanager
async def public_nginx(
    *upstreams: Upstream, log: Path | None = None, read_timeout: str = "75s", **environ: str
) -> AsyncIterator[httpx.AsyncClient]:
    """Run nginx in front of these servers. Those with the status "down" do not run."""
    port = ports.free(None, {each.port for each in upstreams})
    servers = [
        await asyncio.start_server(each.respond, "127.0.0.1", each.port) for each in upstreams if each.status != "down"
    ]
    with tempfile.TemporaryDirectory(prefix="runnel nginx ") as name:
        folder = Path(name)
        given = settings.read({"PORT": str(port)} | environ)
        nginx.write_public(folder, given, [f"127.0.0.1:{each.port}" for each in upstreams])
        conf = folder / "nginx.conf"
        conf.write_text(conf.read_text().replace("proxy_read_timeout 75s;", f"proxy_read_timeout {read_timeout};"))
        running = await process.start(nginx.command(folder), log or folder / "log", {}, folder)
        try:
            base = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=PATIENCE_SECONDS) as client:
                for _ in range(200):
                    try:
                        (await asyncio.open_connection("127.0.0.1", port))[1].close()
                        break
                    except OSError:
                        await asyncio.sleep(0.02)
                yield client
        finally:
            await process.stop(running, signal.SIGTERM)
            for server in servers:
                server.close()


def test_nginx_accepts_its_configuration_for_any_number_of_servers(tmp_path: Path) -> None:
    nginx.write_public(tmp_path / "one", settings.read({"STREAMS_PER_ADDRESS": "0"}), ["127.0.0.1:20001"])
    nginx.write_public(
        tmp_path / "three", settings.read({"BIND": "::1"}), [f"127.0.0.1:2000{number}" for number in range(3)]
    )
    nginx.write_inner(tmp_path / "inner", "127.0.0.1:20100", ["127.0.0.1:20101", "127.0.0.1:20102"])

    for name in ("one", "three", "inner"):
        result = subprocess.run([*nginx.command(tmp_path / name), "-t"], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert "[warn]" not in result.stderr


async def test_identity_headers_from_outside_are_overwritten() -> None:
    forged = {
        "X-Forwarded-For": "1.2.3.4",
        "X-Session-ID": "someone",
        "Remote-User": "root",
        "X-Request-ID": "x",
        "X-Forwarded-Proto": "gopher",
    }
    async with public_nginx(Upstream(), PUBLIC_URL="https://chat.example") as client:
        response = await client.get(
            "/",
            headers=forged
            | {"X-User": "root", "X-Forwarded-User": "root", "x_session_id": "x", "Host": "chat.example"},
        )

    got = response.json()
    assert got["host"] == "chat.example"
    assert got["x-forwarded-for"] == "127.0.0.1"
    assert got["x-forwarded-proto"] == "https"
    assert len(got["x-request-id"]) == 32
    assert not {"x-session-id", "remote-user", "x-user", "x-forwarded-user", "x_session_id"} & {
        name for name, text in got.items() if text
    }


@pytest.mark.parametrize(
    ("path", "content_type"), [("/", "text/html; charset=utf-8"), (STREAM, "text/plain; charset=utf-8")]
)
async def test_nginx_explains_that_web_is_down_and_sends_the_security_headers_of_web(
    path: str, content_type: str
) -> None:
    async with public_nginx(Upstream("down"), PUBLIC_URL="https://chat.example") as client:
        response = await client.get(path)

    assert response.status_code == 502
    assert response.headers["content-type"] == content_type
    assert response.headers["retry-after"] == "2"
    assert "What you typed is still in your browser" in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["strict-transport-security"].startswith("max-age=31536000")
    assert "nginx/" not in response.headers["server"]
    expected = middleware.HEADERS | (middleware.FRAMED if path == STREAM else {})
    assert {name: response.headers.get(name) for name in expected} == expected


async def test_the_error_page_loads_its_style_sheet_without_web() -> None:
    async with public_nginx(Upstream("down")) as client:
        page, style = await client.get("/"), await client.get("/sorry.css")

    assert 'href="/sorry.css"' in page.text
    assert (style.status_code, style.headers["content-type"]) == (200, "text/css")


async def test_requests_that_are_too_large_are_refused_with_a_message() -> None:
    async with public_nginx(Upstream()) as client:
        body = await client.post("/chats", content=b"x" * 600_000)
        header = await client.get("/", headers={"Cookie": "x" * 9000})
        address = await client.get("/" + "x" * 9000)

    assert (body.status_code, header.status_code, address.status_code) == (413, 400, 414)
    assert "too long" in address.text
    assert "go back and shorten it" in body.text
    assert all(SECURITY_HEADERS.items() <= dict(each.headers).items() for each in (body, header, address))


async def test_error_responses_of_web_are_passed_on_unchanged() -> None:
    async with public_nginx(Upstream("503 Service Unavailable", body=b'{"model": "down"}')) as client:
        response = await client.get("/readyz")

    assert (response.status_code, response.json()) == (503, {"model": "down"})


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


async def test_an_event_arrives_at_once_and_uncompressed() -> None:
    event = b"data: " + b"x" * 2000 + b"\n\n"
    async with (
        public_nginx(Upstream(content_type="text/event-stream", body=event)) as client,
        asyncio.timeout(5),
        client.stream("GET", STREAM, headers={"Accept-Encoding": "gzip"}) as response,
    ):
        got = b""
        async for part in response.aiter_raw():
            got += part
            if got == event:
                break

    assert "content-encoding" not in response.headers


@pytest.mark.parametrize("content_type", ["text/html", "text/css", "text/javascript", "application/json"])
async def test_pages_are_compressed(content_type: str) -> None:
    async with public_nginx(Upstream(content_type=content_type, body=b"a" * 2000)) as client:
        response = await client.get("/", headers={"Accept-Encoding": "gzip"})

    assert response.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(("limit", "codes"), [("2", [200, 200, 429]), ("0", [200, 200, 200])])
async def test_open_streams_per_address_are_limited(limit: str, codes: list[int]) -> None:
    async with public_nginx(
        Upstream(content_type="text/event-stream", body=b"data: x\n\n"), STREAMS_PER_ADDRESS=limit
    ) as client:
        opened = [await client.send(client.build_request("GET", STREAM), stream=True) for _ in range(3)]
        for response in opened:
            await response.aclose()

    assert [response.status_code for response in opened] == codes


async def test_the_access_log_contains_neither_queries_nor_cookies(tmp_path: Path) -> None:
    async with public_nginx(Upstream("down"), log=tmp_path / "log") as client:
        await client.get("/search?q=hidden-query", headers={"Cookie": "sid=hidden-cookie"})

    text = (tmp_path / "log").read_text()
    assert json.loads(text.splitlines()[-1])["path"] == "/search"
    assert "hidden" not in text


async def all_responses(client: httpx.AsyncClient, requests: list[httpx.Request]) -> list[httpx.Response]:
    """Send these requests concurrently and keep all responses open until the last one has started."""
    opened = [await client.send(request, stream=True) for request in requests]
    for response in opened:
        await response.aclose()
    return opened


@pytest.mark.parametrize("prefix", ["runnel", "__Host-runnel"])
async def test_open_streams_per_device_are_limited_whatever_its_address_and_cookie_signature(prefix: str) -> None:
    def stream(cookie: str) -> httpx.Request:
        return client.build_request("GET", STREAM, headers={"Cookie": cookie})

    mine, other = "m" * 43, "o" * 43
    cookies = [
        f"{prefix}={mine}.2026.x",
        f'x=1; {prefix}="{mine}.2027.y"',
        f"{prefix}={other}.2026.x; {prefix}={mine}.2026.x",
        f"{prefix}={other}.2026.x",
        "x=1",
        "",
    ]
    async with public_nginx(
        Upstream(content_type="text/event-stream", body=b"data: x\n\n"),
        Upstream(content_type="text/event-stream"),
        STREAMS_PER_SESSION="2",
    ) as client:
        opened = await all_responses(client, [stream(cookie) for cookie in cookies])

    assert [response.status_code for response in opened] == [200, 200, 429, 200, 200, 200]
    assert opened[2].headers["retry-after"]
    assert opened[2].headers["content-type"] == "text/plain; charset=utf-8"


async def test_posts_per_address_are_limited_whatever_headers_it_sends_but_gets_are_not() -> None:
    async with public_nginx(Upstream(), WRITES_PER_ADDRESS="5") as client:
        forged = [{"X-Forwarded-For": f"10.0.0.{number}", "Cookie": f"runnel={number}"} for number in range(12)]
        sent = [await client.post("/chats", data={"username": "Ada"}, headers=headers) for headers in forged]
        read = [await client.get("/") for _ in range(12)]

    assert [response.status_code for response in sent[:5]] == [200] * 5
    assert {response.status_code for response in sent[6:]} == {429}
    assert sent[-1].headers["retry-after"]
    assert "go back and send it again" in sent[-1].text
    assert {response.status_code for response in read} == {200}


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


async def test_all_ipv6_addresses_of_a_network_share_a_limit() -> None:
    async with public_nginx(Upstream(), WRITES_PER_ADDRESS="3", TRUSTED_PROXIES="127.0.0.1/32") as client:

        async def post(address: str) -> int:
            headers = {"X-Forwarded-For": address}
            return (await client.post("/chats", data={"username": "Ada"}, headers=headers)).status_code

        one_network = [await post(f"2001:db8::{number:x}:1") for number in range(12)]
        others = [await post(address) for address in ("2001:db8:0:1::1", "2001:db8:0:2::1", "192.0.2.1", "192.0.2.2")]

    assert one_network[:3] == [200] * 3
    assert set(one_network[4:]) == {429}
    assert others == [200] * 4


async def test_concurrent_requests_per_address_are_limited() -> None:
    async with public_nginx(
        Upstream(content_type="text/event-stream", body=b"x" * 100_000), STREAMS_PER_ADDRESS="1"
    ) as client:
        opened = await all_responses(client, [client.build_request("GET", "/slow") for _ in range(3)])

    assert [response.status_code for response in opened] == [200, 200, 429]


@pytest.mark.parametrize(
    ("host", "codes"),
    [
        ("chat.example", {200}),
        ("CHAT.example:8443", {200}),
        ("localhost", {200}),
        ("127.0.0.1:8080", {200}),
        ("evil.example", {421}),
        ("chat.example.evil.example", {421}),
        ("xchat.example", {421}),
        ("chat-example", {421}),
        ("10.0.0.1", {421}),
        ("chat.example/x?", {400}),
        ("chat.example@evil.example", {400, 421}),
        ("", {400}),
    ],
)
@pytest.mark.parametrize("path", ["/", STREAM, "/static/app.css"])
async def test_only_the_public_host_name_is_served(host: str, codes: set[int], path: str) -> None:
    upstream = Upstream()
    async with public_nginx(upstream, PUBLIC_URL="https://chat.example") as client:
        response = await client.get(path, headers={"Host": host})
        health = await client.get("/healthz", headers={"Host": "10.0.0.1"})

    assert response.status_code in codes
    assert (response.status_code == 200) == (f"GET {path} HTTP/1.1" in upstream.requests)
    assert "evil" not in response.text + str(response.headers) or response.status_code == 200
    assert health.status_code == 200


@pytest.mark.parametrize("path", ["/a%20b", "/%20", "/healthz%20x", "/metrics%0a", "/a%0ab", "/%20chat.example"])
async def test_the_host_is_checked_whatever_the_path_contains(path: str) -> None:
    upstream = Upstream()
    async with public_nginx(upstream, PUBLIC_URL="https://chat.example") as client:
        own = await client.get(path, headers={"Host": "chat.example"})
        other = await client.get(path, headers={"Host": "evil.example"})

    assert (own.status_code, other.status_code) == (200, 421)
    assert upstream.requests == [f"GET {path} HTTP/1.1"]


async def raw(client: httpx.AsyncClient, request: bytes) -> bytes:
    """Send these bytes and return everything nginx sends until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


HOST = b"Host: 127.0.0.1\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", b"405"),
        (b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n" + HOST + b"\r\n", b"405"),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + HOST + b"\r\n", b"400"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"400"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", b"501"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"GET / HTTP/3.7\r\n" + HOST + b"\r\n", b"505"),
        (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", b"400"),
        (b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", b"400"),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", b"400"),
        (b"GET /%00 HTTP/1.1\r\n" + HOST + b"\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Cookie: " + b"x" * 40_000 + b"\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"400"),
    ],
)
async def test_malformed_requests_are_refused_by_nginx_with_an_error_page(request_bytes: bytes, status: bytes) -> None:
    upstream = Upstream()
    async with public_nginx(upstream) as client:
        response = await raw(client, request_bytes)
        after = await client.get("/")

    head, _, body = response.partition(b"\r\n\r\n")
    assert head.split()[1] == status
    assert b'<p id="notice" class="notice" role="alert">' in body
    assert b"nginx/" not in response
    sent = {
        name.strip().lower(): text.strip()
        for name, _, text in (line.partition(":") for line in head.decode().splitlines()[1:])
    }
    assert SECURITY_HEADERS.items() <= sent.items()
    assert upstream.requests == ["GET / HTTP/1.1"]
    assert after.status_code == 200
