"""How web tells clients apart: by IPv4 address or IPv6 network, of which it stores a keyed hash only."""

import pytest
from starlette.requests import Request

from web.addresses import Addresses, network


def request(peer: str, forwarded: str = "") -> Request:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    return Request({"type": "http", "headers": headers, "client": (peer, 1)})


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "198.51.100.7"),
        ("192.0.2.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),  # the proxy appended the last one
        ("192.0.2.1", "unknown", "192.0.2.1"),
        ("192.0.2.1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("192.0.2.1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("fe80::1%eth0", "", "fe80::/64"),
        ("a socket", "", "a socket"),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_network(peer: str, forwarded: str, expected: str) -> None:
    assert network(request(peer, forwarded)) == expected


def test_the_hash_depends_on_the_key_and_the_network_only() -> None:
    one, other = Addresses("k" * 32), Addresses("l" * 32)
    address = request("192.0.2.1", "2001:db8::1")

    assert one.hashed(address) == Addresses("k" * 32).hashed(request("192.0.2.2", "2001:db8::2"))
    assert one.hashed(address) != other.hashed(address)
    assert len(one.hashed(address)) == 64
    assert one.hashed(address) != one.hashed(request("192.0.2.1", "2001:db8:0:1::1"))
