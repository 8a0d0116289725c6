"""Create chats, messages and the generation log, readable by their own session only."""

from pathlib import Path

from alembic import op

from dbapi.migrations import run_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).with_suffix("")


def upgrade() -> None:
    for part in ("1_roles", "2_tables", "3_policies", "4_log"):
        run_script(op, SQL / f"{part}.sql")


def downgrade() -> None:
    run_script(op, SQL / "down.sql")
