"""`python -m deploy.compose.make_secrets FOLDER`: generates missing secrets and writes a folder of secrets per service.

FOLDER/keys holds each secret once and is readable by root only. The folder of a service is readable by its group only,
and is rewritten at every start.
"""

import os
import secrets
import sys
from pathlib import Path
from urllib.parse import quote

LOGINS = ["postgres", "runnel_owner", "runnel_app"]  # of PostgreSQL
NAMES = ["secret_keys", "dbapi_keys", "llama_api_key", *LOGINS]
DATABASE = "db:5432/runnel"


def main(root: Path) -> None:
    make_folder(root / "keys", 0o700)
    key = {name: read_or_generate(root / "keys" / name) for name in NAMES}
    superuser, owner, app = (f"postgresql://{login}:{quote(key[login], safe='')}@{DATABASE}" for login in LOGINS)
    web = {name: key[name] for name in ("secret_keys", "dbapi_keys", "llama_api_key")}

    write_folder(root / "db", 999, postgres=key["postgres"])
    write_folder(root / "web", 10001, **web)
    write_folder(root / "dbapi", 10002, dbapi_keys=key["dbapi_keys"], dbapi_database_url=app)
    write_folder(root / "llama", 10003, llama_api_key=key["llama_api_key"])
    write_folder(root / "migrate", 10004, database_url=owner, dbapi_database_url=app)
    write_folder(root / "owner", 10005, superuser_url=superuser, database_url=owner)
    write_folder(root / "backup", 10006, database_url=owner)


def read_or_generate(path: Path) -> str:
    if not path.exists():
        write(path, secrets.token_urlsafe(32), 0o600, 0)
        print(f"generated {path.name}")
    return path.read_text().strip()


def write_folder(folder: Path, group: int, **files: str) -> None:
    make_folder(folder, 0o750)
    os.chown(folder, 0, group)
    for name, text in files.items():
        write(folder / name, text, 0o440, group)


def make_folder(path: Path, mode: int) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(mode)


def write(path: Path, text: str, mode: int, group: int) -> None:
    """Write the file atomically, so that an interrupted start leaves no truncated secret."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(new, mode)
    os.chown(new, 0, group)
    new.replace(path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m deploy.compose.make_secrets FOLDER")
    main(Path(sys.argv[1]))
