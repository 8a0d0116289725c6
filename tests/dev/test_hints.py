"""What `make dev` says about addresses, and about variables that are no settings."""

import ipaddress
from pathlib import Path

import pytest

from dev import reach, settings, unknown
from tests.stack import ROOT


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "only this machine can open it; for other devices: BIND=0.0.0.0 PUBLIC_URL=http://{}:8080 make dev"),
        ({"PORT": "81"}, "BIND=0.0.0.0 PUBLIC_URL=http://{}:81 make dev"),
        ({"BIND": "0.0.0.0"}, "links and QR codes lead to it; for other devices, set PUBLIC_URL=http://{}:8080"),
        ({"BIND": "0.0.0.0", "PUBLIC_URL": "http://localhost"}, "for other devices, set PUBLIC_URL=http://{}"),
        ({"BIND": "::", "PUBLIC_URL": "http://[::1]:8080"}, "for other devices, set PUBLIC_URL=http://{}:8080"),
    ],
)
def test_the_terminal_explains_who_can_open_the_site(given: dict[str, str], expected: str) -> None:
    address = reach.lan_address() or "ADDRESS-OF-THIS-MACHINE"

    assert reach.hint(settings.read(given)).endswith(expected.format(address))


@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0"])
def test_nothing_is_said_if_the_public_url_was_chosen(bind: str) -> None:
    assert reach.hint(settings.read({"BIND": bind, "PUBLIC_URL": "https://chat.example.org"})) == ""


def test_the_address_is_one_that_other_devices_can_use() -> None:
    address = reach.lan_address()

    assert not address or not ipaddress.ip_address(address).is_loopback


def test_variables_that_are_no_settings_are_reported(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text((ROOT / ".env.example").read_text())
    (tmp_path / ".env").write_text("PORT=81\n#OTHER=1\nWEB_REPLICA=2\nexport COLOUR=red\nSECRET_KEYS_FILE=/x\n")
    environ = {"PULBIC_URL": "x", "PATH": "/bin", "HOME": "/", "LLAMA_ARG_THREADS": "2", "DBAPI_KEYS_FILE": "/x"}

    assert list(unknown.warnings(tmp_path, environ)) == [
        ".env sets COLOUR, which is not a setting",
        ".env sets WEB_REPLICA, which is not a setting; did you mean WEB_REPLICAS?",
        "PULBIC_URL is set, which is not a setting; did you mean PUBLIC_URL?",
    ]


def test_no_setting_is_reported_as_unknown() -> None:
    environ = dict.fromkeys(["PORT", "WEB_PORT", "LLAMA_URL", "MODELS", "TAG", "COMPOSE_FILE", "DB_MEMORY"], "x")

    assert list(unknown.warnings(ROOT, environ)) == []
