"""Whose a verdict is and whether its caller was told, cases put aside as rows, and whose draft one is."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from rung.ledger.rows import plain

revision = "0006"
down_revision = "0005"

_WORKLOAD = "UPDATE verdicts SET workload = (SELECT d.workload FROM decisions d WHERE d.seq = verdicts.decision)"
_TOLD = "UPDATE verdicts SET due = 0 WHERE decision IN (SELECT decision FROM reviews WHERE told)"
_UNTOLD = """
UPDATE verdicts SET due = at WHERE seq IN (
    SELECT MAX(v.seq) FROM verdicts v JOIN reviews r ON r.decision = v.decision
    WHERE v.withdrawn_at IS NULL AND r.settled_at IS NOT NULL AND NOT r.told
    AND (r.look = 'unsure' OR r.look = 'sample' AND r.wrong) GROUP BY v.decision
)
"""
_DISCARDED = """
SELECT r.decision, r.workload, r.settled_at, r.settled_by, d.id FROM reviews r JOIN decisions d ON d.seq = r.decision
WHERE r.look = 'unsure' AND r.settled_at IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM verdicts v WHERE v.decision = r.decision AND v.withdrawn_at IS NULL)
"""
_KEEP = """
INSERT INTO verdicts (decision, workload, at, overturned, body, "by", discarded)
VALUES (:decision, :workload, :at, :overturned, :body, :by, 'unsure')
"""
_DRAFTED = "UPDATE reviews SET drafted_by = NULLIF(holder, '') WHERE draft IS NOT NULL"  # some were given back


def upgrade() -> None:
    """Keep with each verdict what was kept with its review."""
    op.add_column("verdicts", sa.Column("workload", sa.Text, nullable=False, server_default=""))
    op.add_column("verdicts", sa.Column("by", sa.Text, nullable=False, server_default=""))
    op.add_column("verdicts", sa.Column("discarded", sa.Text))
    op.add_column("verdicts", sa.Column("due", sa.BigInteger))
    op.add_column("reviews", sa.Column("drafted_by", sa.Text))
    for statement in (_WORKLOAD, _TOLD, _UNTOLD, _DRAFTED):
        op.execute(statement)
    connection = op.get_bind()
    given = connection.exec_driver_sql("SELECT seq, body FROM verdicts")
    if known := [{"seq": seq, "by": plain(json.loads(body)["by"])} for seq, body in given]:
        connection.execute(sa.text('UPDATE verdicts SET "by" = :by WHERE seq = :seq'), known)
    for decision, workload, at, by, id_ in connection.exec_driver_sql(_DISCARDED).all():
        body = json.dumps({"decision": id_, "answer": {}, "by": by}).encode()
        row = {"decision": decision, "workload": workload, "at": at, "overturned": False, "body": body, "by": by}
        connection.execute(sa.text(_KEEP), row)
    op.create_index("verdicts_due", "verdicts", ["workload", "due"])
    op.drop_index("reviews_untold", "reviews")
    op.drop_column("reviews", "told")
