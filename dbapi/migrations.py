"""Runs the SQL scripts of alembic/versions."""

from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection


class Operations(Protocol):
    """The part of `alembic.op` that is used here."""

    def get_bind(self) -> Connection: ...


def run_script(op: Operations, path: Path) -> None:
    """Runs a whole file. `op.execute` would prepare it, and a prepared statement is a single statement."""
    script = path.read_text()
    connection = op.get_bind().connection.dbapi_connection
    assert connection is not None
    connection.run_async(lambda asyncpg_connection: asyncpg_connection.execute(script))
