"""`make check`: checks the Dockerfiles and nginx's configuration, and that the migrations match the tables and
alembic/schema.sql."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dev import nginx, postgres, settings
from dev.terminal import StartError, fail
from tools import dockerfiles, schema

ROOT = Path(__file__).parents[1]


def main() -> int:
    try:
        check_dockerfiles()
        check_nginx()
        asyncio.run(check_migrations())
    except StartError as error:
        return fail(error, "make check")
    return 0


def check_dockerfiles() -> None:
    found = [
        message
        for file in sorted([*ROOT.glob("*/Dockerfile"), *ROOT.glob("deploy/*/Dockerfile")])
        for message in dockerfiles.check(file)
    ]
    if found:
        raise StartError("\n".join(found))
    print("Dockerfiles: ok", flush=True)


def check_nginx() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, replicas, limit in (("one", 1, "0"), ("three", 3, "100")):
            given = settings.read({"STREAMS_PER_ADDRESS": limit, "WRITES_PER_ADDRESS": limit})
            web = [f"127.0.0.1:{20000 + number}" for number in range(replicas)]
            nginx.write_public(Path(folder, name), given, web)
        nginx.write_inner(Path(folder, "inner"), "127.0.0.1:20100", ["127.0.0.1:20101", "127.0.0.1:20102"])
        for name in ("one", "three", "inner"):
            _expect_success("nginx -t", [*nginx.command(Path(folder, name)), "-t", "-q"], {})


async def check_migrations() -> None:
    async with postgres.throwaway() as cluster:
        for action in (["upgrade", "head"], ["check"]):
            command = [sys.executable, "-m", "alembic", *action]
            _expect_success(f"alembic {' '.join(action)}", command, {"DATABASE_URL": cluster.owner_url})
        schema.check(cluster.programs, cluster.owner_url)
        print("alembic/schema.sql: ok", flush=True)


def _expect_success(title: str, command: Sequence[str | Path], environ: dict[str, str]) -> None:
    result = subprocess.run(  # noqa: S603 (not from user input)
        command, env=os.environ | environ, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise StartError(f"{title} failed:\n{result.stdout}{result.stderr}")
    print(f"{title}: ok", flush=True)


if __name__ == "__main__":
    sys.exit(main())
