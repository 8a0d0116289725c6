"""Settings from the environment: a missing, malformed or weak value is reported by name."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from kit import public_url
from kit.settings import SettingsError, choice, positive, read, secret

KEY, OLDER = "k3y-with-at-least-32-characters-in-it", "0lder-key-with-at-least-32-characters"


@dataclass(frozen=True, kw_only=True)
class Settings:
    address: str
    keys: tuple[str, ...] = secret()
    port: int = 80
    pause: float = 0.5
    loud: bool = False
    size: int = positive(1)
    mode: str = choice("fast", "slow")


def test_variables_are_named_after_the_fields_and_converted_to_their_types() -> None:
    given = {"ADDRESS": "here", "KEYS": f"{KEY}, {OLDER}", "PORT": "81", "PAUSE": "2", "LOUD": "Yes", "OTHER": "x"}

    assert read(Settings, given) == Settings(address="here", keys=(KEY, OLDER), port=81, pause=2.0, loud=True)


def test_a_missing_or_empty_variable_gets_its_default() -> None:
    assert read(Settings, {"ADDRESS": "here", "KEYS": KEY, "PORT": ""}) == Settings(address="here", keys=(KEY,))


def test_a_variable_can_be_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{KEY}\n")

    assert read(Settings, {"ADDRESS": "here", "KEYS_FILE": str(tmp_path / "keys"), "KEYS": OLDER}).keys == (KEY,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"KEYS": KEY}, "ADDRESS is not set"),
        ({"ADDRESS": "here"}, "KEYS is not set"),
        ({"ADDRESS": "here", "KEYS": "changeme"}, "KEYS: every key needs at least 32"),
        ({"ADDRESS": "here", "KEYS": f"{KEY},x"}, "KEYS: every key needs at least 32"),
        ({"ADDRESS": "here", "KEYS": "x" * 64}, "KEYS: every key needs at least 32"),
        ({"ADDRESS": "here", "KEYS": " , "}, "KEYS: every key needs at least 32"),
        ({"ADDRESS": "here", "KEYS": KEY, "PORT": "http"}, "PORT must be a whole number, not 'http'"),
        ({"ADDRESS": "here", "KEYS": KEY, "PORT": "80x"}, "PORT must be a whole number, not '80x'"),
        ({"ADDRESS": "here", "KEYS": KEY, "PORT": "70000"}, "PORT must be from 1 to 65535, not 70000"),
        ({"ADDRESS": "here", "KEYS": KEY, "PAUSE": "-1"}, "PAUSE must not be negative, but is -1.0"),
        ({"ADDRESS": "here", "KEYS": KEY, "PAUSE": "nan"}, "PAUSE must be a finite number, not nan"),
        ({"ADDRESS": "here", "KEYS": KEY, "SIZE": "0"}, "SIZE must be greater than 0, not 0"),
        ({"ADDRESS": "here", "KEYS": KEY, "MODE": "fest"}, "MODE must be fast or slow, not 'fest'"),
        ({"ADDRESS": "here", "KEYS": KEY, "LOUD": "perhaps"}, "LOUD must be yes or no, not 'perhaps'"),
        ({"ADDRESS": "here", "KEYS_FILE": "/nowhere/keys"}, "KEYS_FILE: cannot read /nowhere/keys"),
    ],
)
def test_an_invalid_value_is_reported_by_name(given: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("(", r"\(")):
        read(Settings, given)


def test_a_secret_is_not_in_the_repr() -> None:
    assert KEY not in repr(read(Settings, {"ADDRESS": "here", "KEYS": KEY}))


@pytest.mark.parametrize("url", ["https://chat.example.org", "http://127.0.0.1:8080/", "https://[::1]:8443"])
def test_a_public_url_is_a_scheme_a_host_and_a_port(url: str) -> None:
    public_url.check(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("chat.example.org", "must be a URL like"),
        ("ftp://chat.example.org", "must be a URL like"),
        ("https://", "must be a URL like"),
        ("https://chat.example.org:80x", "must be a URL like"),
        ("https://chat.example.org:70000", "must be a URL like"),
        ("https://chat example.org", "must be a URL like"),
        ("https://example.org/chat", "must not have a path, but ends with '/chat'"),
        ("https://example.org/chat/", "must not have a path"),
        ("https://example.org//", "must not have a path"),
        ("https://ada@example.org", "must have no user name"),
        ("https://example.org?a=b", "must have no user name"),
        ("https://example.org/#a", "must have no user name"),
    ],
)
def test_a_public_url_with_a_part_that_would_be_ignored_is_refused(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("?", r"\?")):
        public_url.check(url)
