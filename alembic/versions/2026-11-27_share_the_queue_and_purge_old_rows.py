"""Let client addresses take turns in the queue, and purge over all sessions what nobody can open any more."""

from pathlib import Path

from alembic import op

from dbapi.migrations import run_script

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SQL = Path(__file__).with_suffix("")


def upgrade() -> None:
    run_script(op, SQL / "up.sql")


def downgrade() -> None:
    run_script(op, SQL / "down.sql")
