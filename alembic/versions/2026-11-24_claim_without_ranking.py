"""Claim without ranking the queue where all that wait can start."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SQL = Path(__file__).with_suffix("")


def upgrade() -> None:
    run("up")


def downgrade() -> None:
    run("down")


def run(part: str) -> None:
    """A whole script at once: op.execute prepares its statement, and a prepared statement is a single one."""
    script = (SQL / f"{part}.sql").read_text()
    op.get_bind().connection.dbapi_connection.run_async(lambda connection: connection.execute(script))
