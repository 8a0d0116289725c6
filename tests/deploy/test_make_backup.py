"""`make backup` and `make restore`: the embedded PostgreSQL, whether it runs or not."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from dev import ports, postgres
from dev.credentials import Keys
from dev.rundir import RunDir
from tests.stack import run, succeed


async def rows(data_dir: Path, statement: str = "") -> list[str]:
    """The sessions in a stopped make dev's database, after the statement."""
    cluster = postgres.Cluster(data_dir, Keys(data_dir / "secrets"), ports.free(None, set()))
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
    """One that PostgreSQL's account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="runnel-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def test_a_backup_moves_to_another_folder_and_never_over_data(folder: Path) -> None:
    first, second = folder / "first", folder / "second"
    there = await rows(first, "INSERT INTO sessions (id) SELECT gen_random_uuid() FROM generate_series(1, 3)")
    others = await rows(second, "INSERT INTO sessions (id) VALUES (gen_random_uuid())")

    code, said = await run("dev.backup", DATA_DIR=str(first))
    (file,) = (first / "backups").iterdir()
    refused, why = await run("dev.backup", "restore", str(file), DATA_DIR=str(second))
    kept = await rows(second)
    replaced, _ = await run("dev.backup", "restore", str(file), DATA_DIR=str(second), REPLACE="yes")

    assert code == 0, said
    assert "every row is there" in said
    assert file.stat().st_mode & 0o777 == 0o600
    assert refused != 0
    assert "REPLACE=yes" in why
    assert kept == others
    assert replaced == 0
    assert await rows(second) == there


async def test_what_runs_is_backed_up_but_not_restored_into(folder: Path) -> None:
    await rows(folder, "INSERT INTO sessions (id) VALUES (gen_random_uuid())")
    cluster = postgres.Cluster(folder, Keys(folder / "secrets"), ports.free(None, set()))
    running = RunDir(folder / "run")

    with running.locked():
        async with postgres.running(cluster):
            running.write_url("postgres", cluster.owner_url)
            code, said = await run("dev.backup", DATA_DIR=str(folder))
            (file,) = (folder / "backups").iterdir()
            refused, why = await run("dev.backup", "restore", str(file), DATA_DIR=str(folder), REPLACE="yes")

    assert code == 0, said
    assert refused != 0
    assert "runs on" in why
