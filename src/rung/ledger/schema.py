"""The ledger's tables as they are now; `migrations` is how they came to be. Knows nothing about what is asked of them.

Bodies are JSON kept as bytes: PostgreSQL's text and jsonb reject the NUL character, which any customer may send. The other
columns repeat what queries need. Times are microseconds since 1970 in UTC, exact and alike in both databases.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    literal,
)

VERSION = "0006"  # the newest migration, written here so that opening an up-to-date ledger need not import Alembic

tables = MetaData()
Counter = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts by itself only in an INTEGER primary key

decisions = Table(
    "decisions",
    tables,
    Column("seq", Counter, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("workload", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("release", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("cost", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("trial", Text),
    Column("arm", Text),
    Column("unit", Text),
    Column("failed", Boolean, nullable=False, server_default=false()),  # an attempt had no answer; of earlier rows unknown
    # Covers the summary: it reads this index alone, never the bodies, which are most of the table.
    Index("decisions_by_time", "workload", "at", "seq", "tier", "outcome", "cost", "seconds"),
    Index("decisions_by_outcome", "workload", "outcome", "at", "seq"),
)
_tried = decisions.c.trial.is_not(None)
Index("decisions_by_trial", decisions.c.trial, decisions.c.seq, sqlite_where=_tried, postgresql_where=_tried)

verdicts = Table(
    "verdicts",
    tables,
    Column("seq", Counter, primary_key=True),
    Column("decision", BigInteger, ForeignKey("decisions.seq"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("overturned", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("score", Double),
    Column("withdrawn_at", BigInteger),  # from then on it counts for nothing; the row stays
    Column("workload", Text, nullable=False, server_default=""),
    Column("by", Text, nullable=False, server_default=""),
    Column("discarded", Text),  # the look that was put aside: the row holds who and why, is no verdict, and never counts
    Column("due", BigInteger),  # since when whoever asked is to be told of it, or that it was taken back; 0 once they are
    Index("verdicts_by_decision", "decision", "seq"),
    Index("verdicts_due", "workload", "due"),
)

# What people are to look at: a row for each decision left to them, for each answer drawn at random, for each blind second look.
reviews = Table(
    "reviews",
    tables,
    Column("seq", Counter, primary_key=True),
    Column("decision", BigInteger, ForeignKey("decisions.seq"), nullable=False),
    Column("workload", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("look", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("share", Double, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("holder", Text, nullable=False, server_default=""),
    Column("until", BigInteger, nullable=False, server_default="0"),
    Column("draft", LargeBinary),
    Column("drafted_by", Text),  # nobody else is shown it; of some old ones nobody knows
    Column("settled_at", BigInteger),
    Column("settled_by", Text),
    Column("wrong", Boolean),
    Column("seconds", Double),
    Column("body", LargeBinary),
    Index("reviews_by_decision", "decision", "look", unique=True),
)
_unsettled = reviews.c.settled_at.is_(None)
Index("reviews_open", reviews.c.workload, reviews.c.at, reviews.c.seq, sqlite_where=_unsettled, postgresql_where=_unsettled)
Index("reviews_settled", reviews.c.workload, reviews.c.settled_at)
_sampled = reviews.c.look == literal("sample", literal_execute=True)
Index("reviews_sampled", reviews.c.workload, reviews.c.settled_at, sqlite_where=_sampled, postgresql_where=_sampled)

# Sums over decisions, kept in the transaction that records them: pages must not read a million rows.
hours = Table(
    "hours",
    tables,
    Column("workload", Text, primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    Column("release", Text, primary_key=True),
    Column("tier", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("decisions", BigInteger, nullable=False),
    Column("cost", Double, nullable=False),
    Column("seconds", Double, nullable=False),
)
latencies = Table(
    "latencies",
    tables,
    Column("workload", Text, primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("decisions", BigInteger, nullable=False),
)

alarms = Table(
    "alarms",
    tables,
    Column("seq", Counter, primary_key=True),
    Column("workload", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("cleared_at", BigInteger),
    Column("told", Integer, nullable=False, server_default="0"),  # 1: that it rings, 2: that it was cleared
    Index("alarms_by_workload", "workload", "seq"),
)
_ringing = alarms.c.cleared_at.is_(None)
Index(
    "alarms_ringing",
    alarms.c.workload,
    alarms.c.kind,
    alarms.c.subject,
    unique=True,
    sqlite_where=_ringing,
    postgresql_where=_ringing,
)

people = Table(
    "people",
    tables,
    Column("seq", Counter, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("removed_at", BigInteger),
)
_present = people.c.removed_at.is_(None)
Index("people_present", people.c.name, unique=True, sqlite_where=_present, postgresql_where=_present)

sessions = Table(
    "sessions",
    tables,
    Column("digest", LargeBinary, primary_key=True),
    Column("person", BigInteger, ForeignKey("people.seq"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
)

actions = Table(
    "actions",
    tables,
    Column("seq", Counter, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
)

promotions = Table(
    "promotions",
    tables,
    Column("seq", Counter, primary_key=True),
    Column("workload", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
    Column("by", Text, nullable=False, server_default=""),
    Column("why", Text, nullable=False, server_default=""),
    Column("back", Boolean, nullable=False, server_default=false()),
    Index("promotions_by_workload", "workload", "seq"),
)

trials = Table(
    "trials",
    tables,
    Column("seq", Counter, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("workload", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("ended_at", BigInteger),
    Column("ended_by", Text),
    Column("result", Text),
    Index("trials_by_workload", "workload", "seq"),
)
_open = trials.c.ended_at.is_(None)  # one at a time
Index("trials_open", trials.c.workload, unique=True, sqlite_where=_open, postgresql_where=_open)

shadows = Table(
    "shadows",
    tables,
    Column("seq", Counter, primary_key=True),
    Column("decision", BigInteger, ForeignKey("decisions.seq"), nullable=False),
    Column("trial", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("agrees", Boolean, nullable=False),
    Column("answered", Boolean, nullable=False),
    Column("failed", Boolean, nullable=False),
    Column("cost", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("shadows_by_trial", "trial", "seq"),
)

keys = Table(
    "keys",
    tables,
    Column("seq", Counter, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("role", Text, nullable=False, server_default="caller"),
)
# A name can be given again once its key is revoked; the old row stays.
Index(
    "keys_in_force",
    keys.c.name,
    unique=True,
    sqlite_where=keys.c.revoked_at.is_(None),
    postgresql_where=keys.c.revoked_at.is_(None),
)
