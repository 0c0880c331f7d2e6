"""Trials of a release beside the live one: which decisions were part of one, and what was decided unseen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add what earlier decisions were not part of."""
    for name in ("trial", "arm", "unit"):
        op.add_column("decisions", sa.Column(name, sa.Text))
    op.add_column("decisions", sa.Column("failed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("verdicts", sa.Column("score", sa.Double))
    tried = sa.text("trial IS NOT NULL")
    op.create_index("decisions_by_trial", "decisions", ["trial", "seq"], sqlite_where=tried, postgresql_where=tried)
    counter = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "trials",
        sa.Column("seq", counter, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ended_by", sa.Text),
        sa.Column("result", sa.Text),
    )
    op.create_index("trials_by_workload", "trials", ["workload", "seq"])
    open_ = sa.text("ended_at IS NULL")
    op.create_index("trials_open", "trials", ["workload"], unique=True, sqlite_where=open_, postgresql_where=open_)
    op.create_table(
        "shadows",
        sa.Column("seq", counter, primary_key=True),
        sa.Column("decision", sa.BigInteger, sa.ForeignKey("decisions.seq"), nullable=False),
        sa.Column("trial", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("agrees", sa.Boolean, nullable=False),
        sa.Column("answered", sa.Boolean, nullable=False),
        sa.Column("failed", sa.Boolean, nullable=False),
        sa.Column("cost", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("shadows_by_trial", "shadows", ["trial", "seq"])
