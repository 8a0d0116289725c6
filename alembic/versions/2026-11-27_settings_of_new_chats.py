"""Store the settings that a user wants for all new chats."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("chat_defaults", JSONB))


def downgrade() -> None:
    op.drop_column("sessions", "chat_defaults")
