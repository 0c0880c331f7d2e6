"""What each API key may do; those there are may ask and send feedback, and review no more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Give every key the plain role."""
    op.add_column("keys", sa.Column("role", sa.Text, nullable=False, server_default="caller"))
