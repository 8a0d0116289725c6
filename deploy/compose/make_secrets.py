"""`python -m deploy.compose.make_secrets FOLDER`: makes the secrets that are missing, and gives each service its own.

`keys/` holds each secret once, for root only. A service's folder, which only its group can read, is written anew at every start.
"""

import os
import secrets
import sys
from pathlib import Path
from urllib.parse import quote

ROOT = Path(sys.argv[1])
KEYS = ["secret_keys", "dbapi_keys", "llama_api_key", "postgres", "runnel_owner", "runnel_app"]  # the last three are logins of PostgreSQL
DATABASE = "db:5432/runnel"


def main() -> None:
    folder(ROOT / "keys", 0o700)
    key = {name: kept(ROOT / "keys" / name) for name in KEYS}
    superuser, owner, app = (
        f"postgresql://{login}:{quote(key[login], safe='')}@{DATABASE}" for login in ("postgres", "runnel_owner", "runnel_app")
    )

    give("db", 999, postgres=key["postgres"])
    give("web", 10001, secret_keys=key["secret_keys"], dbapi_keys=key["dbapi_keys"], llama_api_key=key["llama_api_key"])
    give("dbapi", 10002, dbapi_keys=key["dbapi_keys"], dbapi_database_url=app)
    give("llama", 10003, llama_api_key=key["llama_api_key"])
    give("migrate", 10004, database_url=owner, dbapi_database_url=app)
    give("owner", 10005, superuser_url=superuser, database_url=owner)
    give("backup", 10006, database_url=owner)


def kept(path: Path) -> str:
    if not path.exists():
        write(path, secrets.token_urlsafe(32), 0o600, 0)
        print(f"made {path.name}")
    return path.read_text().strip()


def give(service: str, group: int, **files: str) -> None:
    folder(ROOT / service, 0o750)
    os.chown(ROOT / service, 0, group)
    for name, text in files.items():
        write(ROOT / service / name, text, 0o440, group)


def folder(path: Path, mode: int) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(mode)


def write(path: Path, text: str, mode: int, group: int) -> None:
    """At once and complete: a start that is interrupted leaves no half a secret."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(new, mode)
    os.chown(new, 0, group)
    new.replace(path)


main()
