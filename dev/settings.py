"""What `make dev` can be told: one line for each environment variable, with its default."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kit import settings
from kit.settings import SettingsError


@dataclass(frozen=True)
class Settings:
    port: int = 8080
    bind: str = "127.0.0.1"
    tls_certificate: str = ""  # a file, with TLS_KEY: https at TLS_PORT, and PORT sends there
    tls_key: str = ""
    tls_port: int = 8443
    trusted_proxies: str = ""  # networks of proxies in front, separated by spaces, that may say who is asking
    public_url: str = ""  # http://127.0.0.1:PORT, or https://127.0.0.1:TLS_PORT
    data_dir: Path = Path(".data")
    web_replicas: int = 1
    dbapi_replicas: int = 1
    database_url: str = ""  # who owns the tables; empty: an embedded PostgreSQL
    dbapi_database_url: str = ""  # the login dbapi uses; empty: made from the owner's
    llama_url: str = ""  # empty: a local llama.cpp
    llama_api_key: str = ""
    llama_slots: int = 4
    body_bytes: int = 400_000  # of a request; 0: no limit
    streams_per_address: int = 100  # open at the same time; 0: no limit
    streams_per_session: int = 40  # the same, over all of web; 0: no limit
    writes_per_address: int = 1200  # forms a minute; 0: no limit


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
    """Raises SettingsError, whose message is a sentence for the terminal."""
    given = settings.read(Settings, environ)
    for name, allowed in RANGES.items():
        if getattr(given, name) not in allowed:
            raise SettingsError(f"{name.upper()} must be from {allowed.start} to {allowed.stop - 1}, not {getattr(given, name)}")
    if bool(given.tls_certificate) != bool(given.tls_key):
        raise SettingsError("TLS_CERTIFICATE and TLS_KEY belong together: set both or neither")
    address = f"https://127.0.0.1:{given.tls_port}" if given.tls_certificate else f"http://127.0.0.1:{given.port}"
    public_url = given.public_url.rstrip("/") or address
    if given.tls_certificate and not public_url.startswith("https://"):
        raise SettingsError(f"with TLS_CERTIFICATE, PUBLIC_URL has to begin with https:// (it is {public_url})")
    return dataclasses.replace(
        given,
        public_url=public_url,
        tls_certificate=_path(given.tls_certificate),
        tls_key=_path(given.tls_key),
        data_dir=given.data_dir.expanduser().absolute(),
    )


def _path(given: str) -> str:
    return str(Path(given).expanduser().absolute()) if given else ""
