"""`make backup` and `make restore` of the embedded PostgreSQL, whether it is running or not."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from dev import ports, postgres
from dev.credentials import Credentials
from dev.rundir import RunDir
from tests.stack import run, succeed


async def rows(data_dir: Path, statement: str = "") -> list[str]:
    """Run the statement in the database of a stopped make dev and return the ids of its sessions."""
    cluster = postgres.Cluster(data_dir, Credentials(data_dir / "secrets"), ports.free())
    async with postgres.running(cluster):
        await succeed("alembic", "upgrade", "head", DATABASE_URL=cluster.owner_url)
        owner = await asyncpg.connect(cluster.owner_url)
        if statement:
            await owner.execute(statement)
        found = await owner.fetch("SELECT id::text FROM sessions ORDER BY id")
        await owner.close()
    return [row[0] for row in found]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="runnel-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def test_a_backup_restores_into_another_folder_but_never_overwrites_data(folder: Path) -> None:
    first, second = folder / "first", folder / "second"
    expected = await rows(first, "INSERT INTO sessions (id) SELECT gen_random_uuid() FROM generate_series(1, 3)")
    others = await rows(second, "INSERT INTO sessions (id) VALUES (gen_random_uuid())")

    code, output = await run("dev.backup", DATA_DIR=str(first))
    (file,) = (first / "backups").iterdir()
    refused, reason = await run("dev.backup", "restore", str(file), DATA_DIR=str(second))
    kept = await rows(second)
    replaced, _ = await run("dev.backup", "restore", str(file), DATA_DIR=str(second), REPLACE="yes")

    assert code == 0, output
    assert "all rows are present" in output
    assert file.stat().st_mode & 0o777 == 0o600
    assert refused != 0
    assert "REPLACE=yes" in reason
    assert kept == others
    assert replaced == 0
    assert await rows(second) == expected


async def test_a_running_database_is_backed_up_but_never_restored_into(folder: Path) -> None:
    await rows(folder, "INSERT INTO sessions (id) VALUES (gen_random_uuid())")
    cluster = postgres.Cluster(folder, Credentials(folder / "secrets"), ports.free())
    running = RunDir(folder / "run")

    with running.locked():
        async with postgres.running(cluster):
            running.write_url("postgres", cluster.owner_url)
            code, output = await run("dev.backup", DATA_DIR=str(folder))
            (file,) = (folder / "backups").iterdir()
            refused, reason = await run("dev.backup", "restore", str(file), DATA_DIR=str(folder), REPLACE="yes")

    assert code == 0, output
    assert refused != 0
    assert "uses" in reason
