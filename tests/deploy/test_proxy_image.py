"""The image of the proxy: its settings fill in the whole template of nginx's configuration."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from dev import nginx
from tests.stack import ROOT

PROXY = ROOT / "proxy"
PRINT_ALL = f". {PROXY}/limits.envsh && env -0"


def image_environ() -> dict[str, str]:
    """The variables that the Dockerfile sets."""
    (instruction,) = re.findall(r"^ENV (.*?[^\\])$", (PROXY / "Dockerfile").read_text(), re.MULTILINE | re.DOTALL)
    pairs = re.findall(r'(\w+)=("[^"]*"|\S+)', instruction)
    return {name: value.strip('"') for name, value in pairs}


def configuration(folder: Path, **settings: str) -> str:
    """What the entrypoint of the nginx image makes of the template: it replaces variables that match the filter."""
    environ = {"PATH": os.environ["PATH"], "PUBLIC_URL": "https://chat.example.org", **image_environ(), **settings}
    environ |= {"NGINX_RUN_DIR": str(folder), "NGINX_LOCAL_RESOLVERS": "127.0.0.1"}
    printed = subprocess.run(["sh", "-c", PRINT_ALL], env=environ, capture_output=True, text=True, check=True).stdout
    values = dict(line.partition("=")[::2] for line in printed.split("\0") if line)
    matching = {name: value for name, value in values.items() if re.search(environ["NGINX_ENVSUBST_FILTER"], name)}
    template = (PROXY / "nginx.conf.template").read_text()
    return re.sub(r"\$\{?(\w+)\}?", lambda found: matching.get(found[1], found[0]), template)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"STREAMS_PER_ADDRESS": "0", "STREAMS_PER_SESSION": "0", "WRITES_PER_ADDRESS": "0"},
        {"TRUSTED_PROXIES": "10.0.0.0/8 192.168.0.0/16", "BODY_BYTES": "1000"},
        {"PUBLIC_URL": "https://chat.example.org/"},
    ],
)
def test_nginx_accepts_the_configuration_of_the_image(tmp_path: Path, settings: dict[str, str]) -> None:
    text = configuration(tmp_path, **settings)
    (tmp_path / "nginx.conf").write_text(text)

    assert "return 308 https://chat.example.org$request_uri;" in text
    directives = re.sub(r"^\s*#.*", "", text, flags=re.MULTILINE)
    assert re.findall(r"\$\{[A-Z_]+\}", directives) == []
    subprocess.run([*nginx.command(tmp_path), "-t", "-q"], check=True)
