"""Let the model write titles, once a chat and never over the user's own, and let chats be temporary."""

from pathlib import Path

from alembic import op

from dbapi.migrations import run_script

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SQL = Path(__file__).with_suffix("")


def upgrade() -> None:
    for part in ("1_columns", "2_words", "3_purge"):
        run_script(op, SQL / f"{part}.sql")


def downgrade() -> None:
    run_script(op, SQL / "down.sql")
