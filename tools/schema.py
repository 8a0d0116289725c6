"""`make schema` writes alembic/schema.sql, a dump of the schema that all migrations together create."""

import asyncio
import difflib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from dev import postgres
from dev.terminal import StartError, fail

FILE = Path(__file__).parent.parent / "alembic" / "schema.sql"
COMMAND = "make schema"
OPTIONS = ["--schema-only", "--no-comments", "--no-tablespaces", "--exclude-table=alembic_version"]
NOISE = re.compile(r"(--|SET |SELECT pg_catalog\.set_config|\\(un)?restrict )")  # versions, defaults, random keys
HEAD = f"""-- The current schema: the result of all migrations, dumped by `{COMMAND}`. Do not edit it.
-- Read it to learn what exists now; the migrations in versions/ show how it came to be.
-- The roles belong to the cluster: runnel_owner owns the tables, runnel_log owns the log's functions, runnel_search
-- those of searches, runnel_runtime has the rights of dbapi's login.
"""


def main() -> int:
    try:
        asyncio.run(write())
    except StartError as error:
        return fail(error)
    return 0


async def write() -> None:
    async with postgres.throwaway() as cluster:
        command = [sys.executable, "-m", "alembic", "upgrade", "head"]
        _run(command, {"DATABASE_URL": cluster.owner_url})
        FILE.write_text(dump(cluster.programs, cluster.owner_url))


def check(programs: Path, url: str) -> None:
    """Raises StartError with the difference between the file and the schema of this database."""
    lines = FILE.read_text().splitlines(), dump(programs, url).splitlines()
    difference = list(difflib.unified_diff(*lines, "alembic/schema.sql", "the migrations' schema", lineterm=""))
    if difference:
        text = "\n".join(difference)
        raise StartError(f"alembic/schema.sql is out of date: run `{COMMAND}`\n{text}")


def dump(programs: Path, url: str) -> str:
    """The schema without anything that depends on the machine, the moment or PostgreSQL's minor version."""
    output = _run([programs / "pg_dump", *OPTIONS, url], {})
    return HEAD + "\n" + re.sub(r"\n{2,}", "\n\n", "\n".join(_without_noise(output))).strip() + "\n"


def _without_noise(output: str) -> Iterator[str]:
    """A function's body, between $$, is kept with its comments."""
    in_body = False
    for line in output.splitlines():
        if in_body or not NOISE.match(line):
            yield line
        in_body ^= line.count("$$") % 2 == 1


def _run(command: Sequence[str | Path], environ: dict[str, str]) -> str:
    result = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode:
        raise StartError(f"{command[0]} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


if __name__ == "__main__":
    sys.exit(main())
