"""The settings of `make dev`: one line for each environment variable, with its default."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kit import public_url, settings
from kit.settings import SettingsError


@dataclass(frozen=True)
class Settings:
    port: int = 8080
    bind: str = "127.0.0.1"
    tls_certificate: str = ""  # a file; with TLS_KEY: serve https at TLS_PORT and redirect PORT to it
    tls_key: str = ""
    tls_port: int = 8443
    trusted_proxies: str = ""  # networks of proxies whose X-Forwarded-For is trusted, separated by spaces
    public_url: str = ""  # default: http://127.0.0.1:PORT, or https://127.0.0.1:TLS_PORT
    data_dir: Path = Path(".data")
    web_replicas: int = 1
    dbapi_replicas: int = 1
    database_url: str = ""  # login of the tables' owner; empty: an embedded PostgreSQL
    dbapi_database_url: str = ""  # login of dbapi; empty: derived from the owner's
    llama_url: str = ""  # empty: a local llama.cpp
    llama_api_key: str = ""
    llama_slots: int = 4
    body_bytes: int = 400_000  # maximum size of a request body; 0: no limit
    streams_per_address: int = 200  # open streams per client address, one for each visible page; 0: no limit
    streams_per_session: int = 40  # open streams per device in nginx, and per session in each web process; 0: no limit
    writes_per_address: int = 1200  # forms per minute and client address; 0: no limit


RANGES = {
    "port": range(1, 65536),
    "tls_port": range(1, 65536),
    "web_replicas": range(1, 65),
    "dbapi_replicas": range(1, 65),
    "llama_slots": range(1, 257),
    "body_bytes": range(2**31),
    "streams_per_address": range(65536),
    "streams_per_session": range(65536),
    "writes_per_address": range(1_000_000),
}


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Raises SettingsError with a message for the terminal."""
    given = settings.read(Settings, environ)
    for name, allowed in RANGES.items():
        value = getattr(given, name)
        if value not in allowed:
            raise SettingsError(f"{name.upper()} must be from {allowed.start} to {allowed.stop - 1}, not {value}")
    if bool(given.tls_certificate) != bool(given.tls_key):
        raise SettingsError("set both TLS_CERTIFICATE and TLS_KEY, or neither")
    if given.public_url:
        public_url.check(given.public_url)
    tls_url, plain_url = f"https://127.0.0.1:{given.tls_port}", f"http://127.0.0.1:{given.port}"
    url = given.public_url.rstrip("/") or (tls_url if given.tls_certificate else plain_url)
    if given.tls_certificate and not url.startswith("https://"):
        raise SettingsError(f"with TLS_CERTIFICATE, PUBLIC_URL must start with https:// (it is {url})")
    return dataclasses.replace(
        given,
        public_url=url,
        tls_certificate=_absolute(given.tls_certificate),
        tls_key=_absolute(given.tls_key),
        data_dir=given.data_dir.expanduser().absolute(),
    )


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute()) if path else ""
