"""The configuration, headers, error pages and compression of the public nginx."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from dev import nginx, settings
from tests.dev.public_nginx import STREAM, Upstream, public_nginx
from web import middleware


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


async def test_error_responses_of_web_are_passed_on_unchanged() -> None:
    async with public_nginx(Upstream("503 Service Unavailable", body=b'{"model": "down"}')) as client:
        response = await client.get("/readyz")

    assert (response.status_code, response.json()) == (503, {"model": "down"})


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


async def test_the_access_log_contains_neither_queries_nor_cookies(tmp_path: Path) -> None:
    async with public_nginx(Upstream("down"), log=tmp_path / "log") as client:
        await client.get("/search?q=hidden-query", headers={"Cookie": "sid=hidden-cookie"})

    text = (tmp_path / "log").read_text()
    assert json.loads(text.splitlines()[-1])["path"] == "/search"
    assert "hidden" not in text
