"""PUBLIC_URL: the address that users open. Only its scheme, host name and port have an effect."""

from urllib.parse import urlsplit

from kit.settings import SettingsError

EXAMPLE = "https://chat.example.org"


def check(url: str) -> None:
    """Raises SettingsError if this is no URL, or has a part that would be ignored."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or any(character.isspace() for character in url):
        raise SettingsError(f"PUBLIC_URL must be a URL like {EXAMPLE}, not {url!r}")
    if parts.path not in ("", "/"):
        raise SettingsError(
            f"PUBLIC_URL must not have a path, but ends with {parts.path!r}: Runnel serves the root of a host name, "
            f"so give it a name of its own, like {EXAMPLE}"
        )
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise SettingsError(f"PUBLIC_URL must have no user name, query or fragment, like {EXAMPLE}")
