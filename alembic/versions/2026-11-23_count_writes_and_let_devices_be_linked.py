"""Count what a session writes, name its devices, and let one open the session on another by a link."""

from pathlib import Path

from alembic import op

from dbapi.migrations import run_script

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SQL = Path(__file__).with_suffix("")


def upgrade() -> None:
    run_script(op, SQL / "up.sql")


def downgrade() -> None:
    run_script(op, SQL / "down.sql")
