"""Decisions, verdicts, promotions, API keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables."""
    counter = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "decisions",
        sa.Column("seq", counter, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("cost", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("decisions_by_time", "decisions", ["workload", "at", "seq", "tier", "outcome", "cost", "seconds"])
    op.create_index("decisions_by_outcome", "decisions", ["workload", "outcome", "at", "seq"])
    op.create_table(
        "verdicts",
        sa.Column("seq", counter, primary_key=True),
        sa.Column("decision", sa.BigInteger, sa.ForeignKey("decisions.seq"), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("overturned", sa.Boolean, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("verdicts_by_decision", "verdicts", ["decision", "seq"])
    op.create_table(
        "promotions",
        sa.Column("seq", counter, primary_key=True),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("evidence", sa.LargeBinary, nullable=False),
    )
    op.create_index("promotions_by_workload", "promotions", ["workload", "seq"])
    op.create_table(
        "keys",
        sa.Column("seq", counter, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
    )
    in_force = sa.text("revoked_at IS NULL")
    op.create_index("keys_in_force", "keys", ["name"], unique=True, sqlite_where=in_force, postgresql_where=in_force)
