"""${message}"""

from pathlib import Path

from alembic import op
from dbapi.migrations import run_script

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

SQL = Path(__file__).with_suffix("")


def upgrade() -> None:
    ${upgrades if upgrades else 'run_script(op, SQL / "up.sql")'}


def downgrade() -> None:
    ${downgrades if downgrades else 'run_script(op, SQL / "down.sql")'}
