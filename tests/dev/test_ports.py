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
            ports.reserve("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(StartError, match=r"cannot listen on 192\.0\.2\.1:8080"):
        ports.reserve("192.0.2.1", 8080)


@pytest.fixture(autouse=True)
def none_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    monkeypatch.setattr(ports, "_given", set())


def test_a_service_keeps_its_port_over_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    last = ports.free()
    monkeypatch.setattr(ports, "_given", set())

    assert ports.free(last) == last


def test_a_port_taken_by_another_program_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    last = ports.free()
    monkeypatch.setattr(ports, "_given", set())

    with socket.create_server(("127.0.0.1", last)):
        assert ports.free(last) != last


def test_no_port_is_given_twice_although_nobody_listens_yet() -> None:
    public = ports.free()
    given = [ports.free(public) for _ in range(500)]

    assert len({public, *given}) == 501


def test_inner_ports_avoid_the_reserved_public_port(monkeypatch: pytest.MonkeyPatch) -> None:
    public = ports.free()
    monkeypatch.setattr(ports, "_given", set())
    ports.reserve("127.0.0.1", public)
    monkeypatch.setattr(ports, "INNER", range(public, public + 1))

    with pytest.raises(StartError, match=f"no port from {public} to {public} is free"):
        ports.free()


def test_inner_ports_are_outside_the_range_of_outgoing_connections() -> None:
    assert {ports.free() for _ in range(50)} <= set(range(20000, 30000))
