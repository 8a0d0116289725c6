"""Keep named presets of a session: settings that any of its chats can take over."""

from pathlib import Path

from alembic import op

from dbapi.migrations import run_script

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SQL = Path(__file__).with_suffix("")


def upgrade() -> None:
    run_script(op, SQL / "up.sql")


def downgrade() -> None:
    run_script(op, SQL / "down.sql")
