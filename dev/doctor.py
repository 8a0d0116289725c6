"""`make doctor`: diagnoses the system that `make dev` runs, or the one whose settings are in the environment.

In containers, run `docker compose exec web python -m web check`, and the same for dbapi.
"""

import os
import subprocess
import sys
from pathlib import Path

from dev import postgres, unknown
from dev import settings as dev_settings
from dev.services import LOGIN
from dev.settings import Settings
from dev.terminal import fail
from kit.diagnostics import Severity
from kit.settings import SettingsError

ROOT = Path(__file__).parent.parent


def main() -> int:
    try:
        environ = _environ(dev_settings.read())
    except SettingsError as error:
        return fail(error, "make doctor")
    for warning in unknown.warnings(ROOT, os.environ):
        print(f"settings: {Severity.WARNING}: {warning}", flush=True)
    return max(_check(service, environ) for service in ("dbapi", "web"))


def _check(service: str, environ: dict[str, str]) -> int:
    command = [sys.executable, "-m", service, "check"]
    return subprocess.run(command, env=environ, cwd=ROOT, check=False).returncode  # noqa: S603 (not from user input)


def _environ(settings: Settings) -> dict[str, str]:
    """Return the settings that `make dev` passes to its services. Variables in the environment take precedence."""
    given = {name: value for name, value in os.environ.items() if value}
    run, secrets = settings.data_dir / "run", settings.data_dir / "secrets"
    urls = {file.stem: file.read_text().strip() for file in run.glob("*.url")}
    files = {file.name: file for file in secrets.glob("*")}
    owner_url = settings.database_url or urls.get("postgres", "")
    login_url = ""
    if owner_url and LOGIN in files:
        login_url = postgres.derived_url(owner_url, LOGIN, files[LOGIN].read_text().strip())
    found = {
        "ENVIRONMENT": "development",
        "PUBLIC_URL": urls.get("nginx", settings.public_url),
        "DBAPI_URL": urls.get("dbapi"),
        "LLAMA_URL": urls.get("llama"),
        "LLAMA_API_KEY_FILE": files.get("llama_api_key"),
        "DBAPI_DATABASE_URL": login_url,
        "SECRET_KEYS_FILE": files.get("secret_keys"),
        "DBAPI_KEYS_FILE": files.get("dbapi_keys"),
    }
    missing = {name: value for name, value in found.items() if value and name.removesuffix("_FILE") not in given}
    return {name: str(value) for name, value in missing.items()} | given


if __name__ == "__main__":
    sys.exit(main())
