"""Who moved the pointer to a release, why, and whether forwards or back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add what earlier promotions did not say, as empty."""
    for name in ("by", "why"):
        op.add_column("promotions", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.add_column("promotions", sa.Column("back", sa.Boolean, nullable=False, server_default=sa.false()))
