"""`make check`'s own part: nginx accepts what we write, and the tables are what the classes say."""

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from dev import nginx, postgres, settings
from dev.terminal import StartError, fail


def main() -> int:
    try:
        check_nginx()
        asyncio.run(check_migrations())
    except StartError as error:
        return fail(error)
    return 0


def check_nginx() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, replicas, limit in (("one", 1, "0"), ("three", 3, "100")):
            web = [f"127.0.0.1:{20000 + number}" for number in range(replicas)]
            nginx.write_public(Path(folder, name), settings.read({"STREAMS_PER_ADDRESS": limit, "WRITES_PER_ADDRESS": limit}), web)
        nginx.write_inner(Path(folder, "inner"), "127.0.0.1:20100", ["127.0.0.1:20101", "127.0.0.1:20102"])
        for name in ("one", "three", "inner"):
            _expect_success("nginx -t", [*nginx.command(Path(folder, name)), "-t", "-q"], {})


async def check_migrations() -> None:
    async with postgres.throwaway() as cluster:
        for action in (["upgrade", "head"], ["check"]):
            _expect_success(f"alembic {action[0]}", [sys.executable, "-m", "alembic", *action], {"DATABASE_URL": cluster.owner_url})


def _expect_success(what: str, command: list[str | Path], environ: dict[str, str]) -> None:
    result = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, check=False)  # noqa: S603 (our own words)
    if result.returncode:
        raise StartError(f"{what} failed:\n{result.stdout}{result.stderr}")
    print(f"{what}: fine", flush=True)


if __name__ == "__main__":
    sys.exit(main())
