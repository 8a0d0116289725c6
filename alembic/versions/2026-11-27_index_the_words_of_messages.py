"""Index the words of messages, so that a session can search its own."""

from pathlib import Path

from alembic import op

from dbapi.migrations import run_script

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SQL = Path(__file__).with_suffix("")


def upgrade() -> None:
    for part in ("1_roles", "2_words", "3_search"):
        run_script(op, SQL / f"{part}.sql")


def downgrade() -> None:
    run_script(op, SQL / "down.sql")
