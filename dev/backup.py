"""`python -m dev.backup`: back up the database of `make dev`. Subcommands: `check FILE` and `restore FILE`.

Runs the scripts in deploy/backup/, as the containers do. The embedded PostgreSQL is started if it is not running.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from dev import ports, postgres, settings
from dev.credentials import Credentials
from dev.postgres import Cluster
from dev.rundir import RunDir
from dev.settings import Settings
from dev.terminal import StartError, fail, line
from kit.settings import SettingsError

SCRIPTS = Path(__file__).parent.parent / "deploy" / "backup"


async def backup(given: Settings) -> None:
    folder = given.data_dir / "backups"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.sql.gz"
    new = path.with_suffix(".new")
    private = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(private, "wb") as file:  # noqa: ASYNC230 (no other task is waiting)
        async with owner_url(given) as url:
            await run("backup.sh", url, output=file)
    await check(new)
    new.replace(path)
    line(f"backup written: {path} ({path.stat().st_size / 1e6:.1f} MB)")


async def check(path: Path) -> None:
    """Restore the backup into an empty, temporary PostgreSQL."""
    async with postgres.throwaway() as cluster:
        with path.open("rb") as file:
            await run("restore.sh", cluster.owner_url, source=file)
    line("verified: restored into a temporary database, all rows are present")


async def restore(given: Settings, path: Path) -> None:
    with path.open("rb") as file:
        if given.database_url:
            await run("restore.sh", given.database_url, source=file, REPLACE=os.environ.get("REPLACE", "no"))
        else:
            async with embedded(given, RunDir(given.data_dir / "run")) as url:
                await run("restore.sh", url, source=file, REPLACE=os.environ.get("REPLACE", "no"))
    line("restored: all rows are present; the next `make dev` applies the missing migrations")


@asynccontextmanager
async def owner_url(given: Settings) -> AsyncIterator[str]:
    """Yield DATABASE_URL, or the owner's URL of the embedded PostgreSQL, which is started if it is not running."""
    run = RunDir(given.data_dir / "run")
    if given.database_url:
        yield given.database_url
    elif run.is_locked:
        yield (run.path / "postgres.url").read_text().strip()
    else:
        async with embedded(given, run) as url:
            yield url


@asynccontextmanager
async def embedded(given: Settings, run: RunDir) -> AsyncIterator[str]:
    """Run the embedded PostgreSQL and yield its owner's URL. Raises StartError if `make dev` is running."""
    with run.locked():
        run.end_leftovers()
        cluster = Cluster(given.data_dir, Credentials(given.data_dir / "secrets"), ports.free())
        async with postgres.running(cluster):
            yield cluster.owner_url


async def run(
    script: str, url: str, source: BinaryIO | None = None, output: BinaryIO | None = None, **environ: str
) -> None:
    programs = postgres.programs(None)
    child = await asyncio.create_subprocess_exec(
        SCRIPTS / script,
        stdin=source or subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        env=os.environ | environ | {"PATH": f"{programs}:{os.environ['PATH']}", "DATABASE_URL": url},
    )
    _, errors = await child.communicate()
    if child.returncode:
        raise StartError(f"{script} failed:\n{errors.decode(errors='replace').strip()}")


def main() -> int:
    try:
        given = settings.read()
        match sys.argv[1:]:
            case []:
                asyncio.run(backup(given))
            case ["check", path]:
                asyncio.run(check(Path(path)))
            case ["restore", path]:
                asyncio.run(restore(given, Path(path)))
            case _:
                sys.exit("usage: make restore BACKUP=FILE (make backup writes its files to .data/backups)")
    except (SettingsError, StartError, OSError) as error:
        return fail(error, "make restore" if sys.argv[1:2] == ["restore"] else "make backup")
    return 0


if __name__ == "__main__":
    sys.exit(main())
