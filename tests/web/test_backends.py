"""MODELS_FILE: what it may contain, and what its errors say."""

from pathlib import Path

import pytest

from kit.settings import SettingsError
from tests.stack import DBAPI_KEY, SECRET_KEY
from web.clients.backends import Backend, read
from web.settings import Settings

FULL = """
[[backend]]
name = "home"
url = "http://llama:8080"

[[backend]]
name = "cloud"
url = "https://models.example/api/v1"
key = "${CLOUD_KEY}"
slots = 8
models = ["qwen/qwen3-8b", "small"]
drop = ["top_k", "min_p"]

[[model]]
id = "cloud/qwen/qwen3-8b"
title = "Qwen 3"

[[model]]
id = "cloud/small"
hidden = true
"""


def backends(folder: Path, text: str) -> list[Backend]:
    file = folder / "models.toml"
    file.write_text(text)
    return read(settings(str(file))).servers


def settings(models_file: str) -> Settings:
    keys = {"secret_keys": (SECRET_KEY,), "dbapi_keys": (DBAPI_KEY,)}
    return Settings(public_url="http://127.0.0.1:8080", models_file=models_file, **keys)  # type: ignore[arg-type]


def test_a_file_names_servers_and_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_KEY", "secret")

    home, cloud = backends(tmp_path, FULL)

    assert home == Backend("home", "http://llama:8080", "", 4)
    assert (cloud.url, cloud.key, cloud.slots) == ("https://models.example/api/v1", "secret", 8)
    assert cloud.models == ("qwen/qwen3-8b", "small")
    assert cloud.left_out == {"top_k", "min_p"}
    assert (cloud.titles, cloud.hidden) == ((("qwen/qwen3-8b", "Qwen 3"),), frozenset(["small"]))
    assert "secret" not in repr(cloud)


def test_a_key_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("secret\n")
    monkeypatch.delenv("CLOUD_KEY", raising=False)
    monkeypatch.setenv("CLOUD_KEY_FILE", str(tmp_path / "key"))

    assert backends(tmp_path, FULL)[1].key == "secret"


def test_a_variable_may_be_in_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_URL", "http://127.0.0.1:8081")
    text = 'default = "home/small"\n[[backend]]\nname = "home"\nurl = "${LLAMA_URL}"\n'
    (tmp_path / "models.toml").write_text(text)

    found = read(settings(str(tmp_path / "models.toml")))

    assert found == ([Backend("home", "http://127.0.0.1:8081", "", 4)], "home/small")


def test_without_a_file_there_is_one_server_without_a_name() -> None:
    assert read(settings("")) == ([Backend("", "http://127.0.0.1:8081", "", 4)], "")


HOME = '[[backend]]\nname = "home"\nurl = "http://llama"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no [[backend]]"),
        ("[[backend]", "models.toml: "),
        ("[backend]\nname = 'a'", "two brackets"),
        ("[[server]]\nname = 'a'", "unknown key 'server'"),
        ("[[backend]]\nurl = 'http://a'", "needs a text for 'name'"),
        ("[[backend]]\nname = 'a'", "needs a text for 'url'"),
        ("[[backend]]\nname = 'A b'\nurl = 'http://a'", "lower-case letters"),
        ("[[backend]]\nname = 'a/b'\nurl = 'http://a'", "lower-case letters"),
        ("[[backend]]\nname = 'a'\nurl = 'a:8080'", "http://"),
        ("[[backend]]\nname = 'a'\nurl = 'http://a:b'", "url is invalid"),
        (HOME + "slots = 0", "slots must be"),
        (HOME + "slots = true", "slots must be"),
        (HOME + "slot = 2", "unknown key 'slot'"),
        (HOME + "models = 'one'", "models must be a list"),
        (HOME + "drop = [1]", "drop must be a list"),
        (HOME + 'key = "${NO_SUCH_KEY}"', "NO_SUCH_KEY"),
        (HOME + HOME, "the same name"),
        (HOME + "[[model]]\nid = 'other/small'", "'other/small'"),
        (HOME + "[[model]]\ntitle = 'Small'", "needs a text for 'id'"),
        ("default = 'large'\n" + HOME, "'large' does not begin"),
        ("default = 'home'\n" + HOME, "'home' does not begin"),
        ("default = 1\n" + HOME, "needs a text for 'default'"),
    ],
)
def test_errors_say_where_and_what(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as error:
        backends(tmp_path, text)

    assert words in str(error.value)
    assert str(tmp_path / "models.toml") in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"MODELS_FILE: cannot read /no/such/models\.toml: No such file"):
        read(settings("/no/such/models.toml"))
