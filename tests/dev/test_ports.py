"""The public port and the inner ports."""

import socket

import pytest

from dev import ports
from dev.terminal import StartError


def test_a_port_in_use_is_refused_with_a_suggestion() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            StartError, match=f"port {port} on 127.0.0.1 is in use by another program; .* PORT={port + 1} make dev"
        ):
            ports.refuse_taken("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(StartError, match=r"cannot listen on 192\.0\.2\.1:8080"):
        ports.refuse_taken("192.0.2.1", 8080)


def test_an_inner_port_is_reused_while_it_is_free() -> None:
    port = ports.free(None, set())

    assert ports.free(port, set()) == port
    assert ports.free(port, {port}) != port
    with socket.create_server(("127.0.0.1", port)):
        assert ports.free(port, set()) != port


def test_inner_ports_are_outside_the_range_of_outgoing_connections() -> None:
    taken: set[int] = set()
    for _ in range(50):
        ports.free(None, taken)

    assert len(taken) == 50
    assert taken <= set(range(20000, 30000))
