"""Explains which devices can open the site, if BIND and PUBLIC_URL disagree or both have their defaults."""

import contextlib
import socket
from urllib.parse import urlsplit

from dev.settings import Settings

EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 (compared, not bound)
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SOMEWHERE = "192.0.2.1", 9  # reserved for documentation; a UDP socket sends nothing when it connects


def hint(settings: Settings) -> str:
    """Return a sentence for the terminal, or "" if the settings agree."""
    address = urlsplit(settings.public_url)
    if address.hostname not in LOOPBACK:  # PUBLIC_URL was chosen; with BIND=127.0.0.1 there is a proxy in front
        return ""
    port = f":{address.port}" if address.port else ""
    url = f"{address.scheme}://{lan_address() or 'ADDRESS-OF-THIS-MACHINE'}{port}"
    if settings.bind in LOOPBACK:
        return f"only this machine can open it; for other devices: BIND=0.0.0.0 PUBLIC_URL={url} make dev"
    return (
        f"BIND={settings.bind} accepts connections from other devices, but PUBLIC_URL allows only this address, and "
        f"links and QR codes lead to it; for other devices, set PUBLIC_URL={url}"
    )


def lan_address() -> str:
    """Return the address of this machine on its default route, or "" if it has none."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        trial.connect(SOMEWHERE)
        address = str(trial.getsockname()[0])
        return "" if address.startswith("127.") else address
    return ""
