"""Let a finished answer be gone on with, and a deleted chat be brought back."""

from pathlib import Path

from alembic import op

from dbapi.migrations import run_script

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SQL = Path(__file__).with_suffix("")


def upgrade() -> None:
    run_script(op, SQL / "up.sql")


def downgrade() -> None:
    run_script(op, SQL / "down.sql")
