"""The limits of the public nginx on the size and number of requests."""

import httpx
import pytest

from tests import long_requests
from tests.dev.public_nginx import SECURITY_HEADERS, STREAM, Upstream, public_nginx


async def test_requests_that_are_too_large_are_refused_with_a_message() -> None:
    async with public_nginx(Upstream()) as client:
        body = await client.post("/chats", content=b"x" * 600_000)
        host, port = client.base_url.host, client.base_url.port or 0
        header = await long_requests.get(host, port, "/", Cookie="x" * 62_000)
        address = await long_requests.get(host, port, "/" + "x" * 62_000)

    assert (body.status_code, header.status, address.status) == (413, 400, 414)
    assert "too long" in address.body
    assert "go back and shorten it" in body.text
    for headers in (dict(body.headers), header.headers, address.headers):
        assert SECURITY_HEADERS.items() <= {name.lower(): text for name, text in headers.items()}.items()


async def all_responses(client: httpx.AsyncClient, requests: list[httpx.Request]) -> list[httpx.Response]:
    """Send these requests concurrently and keep all responses open until the last one has started."""
    opened = [await client.send(request, stream=True) for request in requests]
    for response in opened:
        await response.aclose()
    return opened


@pytest.mark.parametrize(("limit", "codes"), [("2", [200, 200, 429]), ("0", [200, 200, 200])])
async def test_open_streams_per_address_are_limited(limit: str, codes: list[int]) -> None:
    async with public_nginx(
        Upstream(content_type="text/event-stream", body=b"data: x\n\n"), STREAMS_PER_ADDRESS=limit
    ) as client:
        opened = [await client.send(client.build_request("GET", STREAM), stream=True) for _ in range(3)]
        for response in opened:
            await response.aclose()

    assert [response.status_code for response in opened] == codes


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


async def test_concurrent_requests_per_address_are_limited() -> None:
    async with public_nginx(
        Upstream(content_type="text/event-stream", body=b"x" * 100_000), STREAMS_PER_ADDRESS="1"
    ) as client:
        opened = await all_responses(client, [client.build_request("GET", "/slow") for _ in range(3)])

    assert [response.status_code for response in opened] == [200, 200, 429]


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
