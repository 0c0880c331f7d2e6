"""Reviews, sums by the hour, alarms and people; what was decided before is queued and counted."""

from __future__ import annotations

from collections import Counter
from math import floor, log2

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_HOUR = 3_600_000_000
_QUEUE = """
INSERT INTO reviews (decision, workload, release, tier, look, at, share, confidence, settled_at, settled_by)
SELECT d.seq, d.workload, d.release, d.tier, 'unsure', d.at, 1.0, d.confidence, v.at, CASE WHEN v.at IS NULL THEN NULL ELSE '' END
FROM decisions d
LEFT JOIN (SELECT decision, MIN(at) AS at FROM verdicts GROUP BY decision) v ON v.decision = d.seq
WHERE d.outcome = 'review'
ORDER BY d.seq
"""
_SUMS = f"""
INSERT INTO hours (workload, hour, release, tier, outcome, decisions, cost, seconds)
SELECT workload, at / {_HOUR}, release, tier, outcome, COUNT(*), SUM(cost), SUM(seconds)
FROM decisions GROUP BY 1, 2, 3, 4, 5
"""
_counter = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the tables and what is known for them."""
    op.add_column("verdicts", sa.Column("withdrawn_at", sa.BigInteger))
    _reviews()
    _sums()
    _alarms()
    _people()
    op.execute(_QUEUE)
    op.execute(_SUMS)
    _count_times()


def _reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("seq", _counter, primary_key=True),
        sa.Column("decision", sa.BigInteger, sa.ForeignKey("decisions.seq"), nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("workload", "release", "tier", "look")),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("share", sa.Double, nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("holder", sa.Text, nullable=False, server_default=""),
        sa.Column("until", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("draft", sa.LargeBinary),
        sa.Column("settled_at", sa.BigInteger),
        sa.Column("settled_by", sa.Text),
        sa.Column("wrong", sa.Boolean),
        sa.Column("seconds", sa.Double),
        sa.Column("body", sa.LargeBinary),
        sa.Column("told", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_index("reviews_by_decision", "reviews", ["decision", "look"], unique=True)
    unsettled = sa.text("settled_at IS NULL")
    op.create_index("reviews_open", "reviews", ["workload", "at", "seq"], sqlite_where=unsettled, postgresql_where=unsettled)
    op.create_index("reviews_settled", "reviews", ["workload", "settled_at"])
    sampled = sa.text("look = 'sample'")
    of = ["workload", "settled_at"]
    op.create_index("reviews_sampled", "reviews", of, sqlite_where=sampled, postgresql_where=sampled)
    untold = sa.text("settled_at IS NOT NULL AND NOT told")
    op.create_index("reviews_untold", "reviews", ["workload", "settled_at"], sqlite_where=untold, postgresql_where=untold)


def _sums() -> None:
    op.create_table(
        "hours",
        sa.Column("workload", sa.Text, primary_key=True),
        sa.Column("hour", sa.BigInteger, primary_key=True),
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("release", "tier", "outcome")),
        sa.Column("decisions", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
    )
    op.create_table(
        "latencies",
        sa.Column("workload", sa.Text, primary_key=True),
        sa.Column("hour", sa.BigInteger, primary_key=True),
        sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("decisions", sa.BigInteger, nullable=False),
    )


def _alarms() -> None:
    op.create_table(
        "alarms",
        sa.Column("seq", _counter, primary_key=True),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("cleared_at", sa.BigInteger),
        sa.Column("told", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_index("alarms_by_workload", "alarms", ["workload", "seq"])
    ringing = sa.text("cleared_at IS NULL")
    of = ["workload", "kind", "subject"]
    op.create_index("alarms_ringing", "alarms", of, unique=True, sqlite_where=ringing, postgresql_where=ringing)


def _people() -> None:
    op.create_table(
        "people",
        sa.Column("seq", _counter, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("name", "role", "secret")),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("removed_at", sa.BigInteger),
    )
    present = sa.text("removed_at IS NULL")
    op.create_index("people_present", "people", ["name"], unique=True, sqlite_where=present, postgresql_where=present)
    op.create_table(
        "sessions",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("person", sa.BigInteger, sa.ForeignKey("people.seq"), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
    )
    op.create_table(
        "actions",
        sa.Column("seq", _counter, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("by", "what", "subject", "detail")),
    )


def _count_times() -> None:
    """In Python: not every SQLite has logarithms."""
    connection, times = op.get_bind(), Counter[tuple[str, int, int]]()
    for workload, at, seconds in connection.exec_driver_sql("SELECT workload, at, seconds FROM decisions"):
        times[workload, at // _HOUR, floor(8 * log2(max(seconds, 1e-6)))] += 1
    statement = sa.text(
        "INSERT INTO latencies (workload, hour, bucket, decisions) VALUES (:workload, :hour, :bucket, :decisions)"
    )
    for (workload, hour, bucket), count in times.items():
        connection.execute(statement, {"workload": workload, "hour": hour, "bucket": bucket, "decisions": count})
