"""What every visitor receives through nginx: security headers, compression, and small pages."""

import asyncio
import re
from urllib.parse import quote

import httpx
import pytest

from tests import long_requests
from tests.system.running import Runnel
from tests.system.user import User
from web.middleware import HEADERS

MAX_FIRST_LOAD_BYTES = 34_000
ASSET = re.compile(r'(?:href|src)="(/static/[^"]+)"')


async def test_pages_of_web_and_error_pages_of_nginx_have_the_security_headers(runnel: Runnel, ada: User) -> None:
    def expect(response: httpx.Response, status: int) -> None:
        assert response.status_code == status
        assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
        assert "nginx/" not in response.headers.get("Server", "") + response.text
        assert "uvicorn" not in response.headers.get("Server", "")

    expect(await ada.http.get("/"), 200)
    expect(await ada.http.get(ada.chat), 200)
    expect(await ada.http.get("/nowhere"), 404)
    expect(await ada.http.post(f"{ada.chat}/messages", content=b"x" * 600_000), 413)
    with runnel.without("web-1"):
        error = await ada.http.get(ada.chat)
        stream = await ada.http.get(f"{ada.chat}/messages/1/stream", headers={"Accept": "text/event-stream"})
    expect(error, 502)
    assert "Wait a moment" in error.text
    assert (stream.status_code, stream.headers["Content-Type"]) == (502, "text/plain; charset=utf-8"), (
        "htmx would parse an HTML page as events"
    )
    await runnel.wait_restarted("web-1")


async def test_the_first_load_of_a_chat_page_is_small(ada: User) -> None:
    status, headers, page = await raw(ada.http, ada.chat)
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    html = (await ada.http.get(ada.chat)).text
    for not_loaded in ("<noscript>.*?</noscript>", "<template.*?</template>", '<link rel="apple-touch-icon"[^>]*>'):
        html = re.sub(not_loaded, "", html, flags=re.DOTALL)
    assets = ASSET.findall(html)
    assert sorted(asset.partition("?")[0].rpartition(".")[2] for asset in assets) == ["css", "js", "svg"]

    sizes = {ada.chat: len(page)}
    for asset in assets:
        status, headers, body = await raw(ada.http, asset)
        assert (status, headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
        assert headers.get("Content-Encoding") == "gzip" or len(body) < 512
        sizes[asset] = len(body)

    assert sum(sizes.values()) <= MAX_FIRST_LOAD_BYTES, sizes


@pytest.mark.parametrize("query", ["x" * 10_000, "ж" * 10_000, "漢" * 6_500, "x " * 5_000])
async def test_a_long_search_is_answered(ada: User, query: str) -> None:
    host, port, cookie = ada.http.base_url.host, ada.http.base_url.port or 0, f"runnel={ada.http.cookies['runnel']}"

    response = await long_requests.get(host, port, f"/search?q={quote(query)}", Cookie=cookie)

    assert response.status == 200
    assert "Nothing found" in response.body


@pytest.mark.parametrize("accept", ["text/event-stream", "text/html", "text/plain"])
async def test_a_stream_is_never_compressed(ada: User, accept: str) -> None:
    answer = await ada.say("Write a very long story about a mountain.")

    async with ada.http.stream(
        "GET", f"{answer}/stream", headers={"Accept": accept, "Accept-Encoding": "gzip, br"}
    ) as stream:
        assert stream.headers["Content-Type"].startswith(accept)
        assert "Content-Encoding" not in stream.headers
        async for first in stream.aiter_raw():
            assert first.decode()
            break

    await ada.stop(answer)


async def test_other_requests_work_while_the_model_writes(ada: User) -> None:
    answer = await ada.say("Write a very long story about a desert.")
    await ada.written(answer)

    statuses = await asyncio.gather(
        *(ada.http.get(path) for path in ("/", ada.chat, f"{ada.chat}.md", "/healthz", "/readyz") * 4)
    )

    assert {each.status_code for each in statuses} == {200}
    await ada.stop(answer)


async def raw(http: httpx.AsyncClient, path: str) -> tuple[int, httpx.Headers, bytes]:
    """Return status, headers and the body before decompression."""
    async with http.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
        return answer.status_code, answer.headers, b"".join([chunk async for chunk in answer.aiter_raw()])
