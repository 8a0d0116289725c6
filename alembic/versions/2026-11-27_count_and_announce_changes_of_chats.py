"""Count the changes of each chat, and announce them, so that every open page can show what has changed."""

from pathlib import Path

from alembic import op

from dbapi.migrations import run_script

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SQL = Path(__file__).with_suffix("")


def upgrade() -> None:
    run_script(op, SQL / "up.sql")


def downgrade() -> None:
    run_script(op, SQL / "down.sql")
