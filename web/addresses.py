"""The network address of a client, as a keyed hash: it tells clients apart, and no one can read the address from it."""

import hashlib
import hmac
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from starlette.requests import HTTPConnection

IPV6_PREFIX = 64  # a customer of a provider has at least this much, so one address of it means nothing


class Addresses:
    def __init__(self, key: str) -> None:
        self._key = hashlib.sha256(b"runnel.address" + key.encode()).digest()

    def hashed(self, request: HTTPConnection[Any]) -> str:
        """The same in every web process that has the same key."""
        return hmac.new(self._key, network(request).encode(), hashlib.sha256).hexdigest()


def network(request: HTTPConnection[Any]) -> str:
    """The client's IPv4 address or IPv6 network.

    Only the proxy can connect to web, and appends the address of its client to X-Forwarded-For.
    """
    peer = request.client.host if request.client else ""
    forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return _network(forwarded) or _network(peer) or peer


def _network(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Network((int(address), IPV6_PREFIX), strict=False))
    return str(address)
