"""Tell with each append who wrote it, so that the writer itself need not be told."""

from pathlib import Path

from alembic import op

from dbapi.migrations import run_script

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SQL = Path(__file__).with_suffix("")


def upgrade() -> None:
    run_script(op, SQL / "up.sql")


def downgrade() -> None:
    run_script(op, SQL / "down.sql")
