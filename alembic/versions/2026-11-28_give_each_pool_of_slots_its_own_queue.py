"""Give each pool of slots its own queue."""

from pathlib import Path

from alembic import op

from dbapi.migrations import run_script

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SQL = Path(__file__).with_suffix("")


def upgrade() -> None:
    run_script(op, SQL / "up.sql")


def downgrade() -> None:
    run_script(op, SQL / "down.sql")
