"""Create chats, messages and the generation log, readable by their own session only."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).with_suffix("")


def upgrade() -> None:
    # Read top to bottom: who there is, what is kept, who may see it, and the log's narrow door.
    for part in ("1_roles", "2_tables", "3_policies", "4_log"):
        run(part)


def downgrade() -> None:
    run("down")


def run(part: str) -> None:
    """A whole script at once: op.execute prepares its statement, and a prepared statement is a single one."""
    script = (SQL / f"{part}.sql").read_text()
    op.get_bind().connection.dbapi_connection.run_async(lambda connection: connection.execute(script))
