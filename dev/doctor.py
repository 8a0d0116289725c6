"""`make doctor`: what is wrong with the Runnel that runs here, or with the one whose settings are in the environment.

In containers: `docker compose exec web python -m web check`, and the same for dbapi.
"""

import os
import subprocess
import sys
from pathlib import Path

from dev import postgres
from dev import settings as dev_settings
from dev.services import LOGIN
from dev.settings import Settings
from dev.terminal import fail
from kit.settings import SettingsError

ROOT = Path(__file__).parent.parent


def main() -> int:
    try:
        environ = _environ(dev_settings.read())
    except SettingsError as error:
        return fail(error)
    return max(_check(service, environ) for service in ("dbapi", "web"))


def _check(service: str, environ: dict[str, str]) -> int:
    command = [sys.executable, "-m", service, "check"]
    return subprocess.run(command, env=environ, cwd=ROOT, check=False).returncode  # noqa: S603 (our own words)


def _environ(settings: Settings) -> dict[str, str]:
    """What `make dev` gives its services; what is in the environment comes first."""
    given = {name: value for name, value in os.environ.items() if value}
    run, secrets = settings.data_dir / "run", settings.data_dir / "secrets"
    urls = {file.stem: file.read_text().strip() for file in run.glob("*.url")}
    kept = {file.name: file for file in secrets.glob("*")}
    owner = settings.database_url or urls.get("postgres", "")
    found = {
        "ENVIRONMENT": "development",
        "PUBLIC_URL": urls.get("nginx", settings.public_url),
        "DBAPI_URL": urls.get("dbapi"),
        "LLAMA_URL": urls.get("llama"),
        "LLAMA_API_KEY_FILE": kept.get("llama_api_key"),
        "DBAPI_DATABASE_URL": postgres.derived_url(owner, LOGIN, kept[LOGIN].read_text().strip()) if owner and LOGIN in kept else "",
        "SECRET_KEYS_FILE": kept.get("secret_keys"),
        "DBAPI_KEYS_FILE": kept.get("dbapi_keys"),
    }
    return {name: str(value) for name, value in found.items() if value and name.removesuffix("_FILE") not in given} | given


if __name__ == "__main__":
    sys.exit(main())
