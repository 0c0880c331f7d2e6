"""What the ledger is asked about trials, as SQL that SQLite and PostgreSQL both speak. Knows nothing about statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite

from sqlalchemy import ColumnElement, Connection, exists, func, insert, select, update

from rung.core import Decision, Outcome, Verdict
from rung.ledger.nouns import End, Promotion, RecordRefused, Trial
from rung.ledger.observed import Compared, Judged, Marks, Observed, Seen, Shadow
from rung.ledger.rows import Row, decode, encode, fails, micros, moment, plain
from rung.ledger.schema import decisions, shadows, trials, verdicts

PORTION = 10_000  # rows of a kind read at once
_HOUR = 3_600_000_000  # microseconds


def begin(connection: Connection, trial: Trial) -> None:
    """Keep a trial that begins."""
    row = {name: plain(getattr(trial, name)) for name in ("id", "workload", "release")}
    connection.execute(insert(trials), {**row, "at": micros(trial.at), "body": encode(trial)})


def finish(connection: Connection, meant: ColumnElement[bool], end: End) -> bool:
    """End the trial that is meant, unless it has ended already. Says whether that ended one."""
    said = {"ended_at": micros(end.at), "ended_by": plain(end.by), "result": plain(end.result)}
    return connection.execute(update(trials).where(meant, trials.c.ended_at.is_(None)).values(**said)).rowcount > 0


def finish_for(connection: Connection, promotion: Promotion) -> None:
    """End the workload's trial, as another release answers from now on."""
    how = "rolled back to" if promotion.back else "promoted"
    end = End(promotion.at, promotion.by, f"ended: release {promotion.release[:12]} was {how}")
    finish(connection, trials.c.workload == plain(promotion.workload), end)


def newest(connection: Connection, workload: str, running: bool) -> Trial | None:
    """The workload's last trial; with `running`, only one that has not ended."""
    query = select(trials).where(trials.c.workload == plain(workload)).order_by(trials.c.seq.desc()).limit(1)
    row = connection.execute(query.where(trials.c.ended_at.is_(None)) if running else query).mappings().one_or_none()
    if row is None:
        return None
    end = None if row["ended_at"] is None else End(moment(row["ended_at"]), row["ended_by"], row["result"])
    return replace(decode(row["body"], Trial), end=end)


def marks(connection: Connection) -> Marks:
    """The last decision, verdict and shadow there are."""
    return Marks(*(connection.execute(select(func.max(table.c.seq))).scalar() or 0 for table in (decisions, verdicts, shadows)))


def portion(connection: Connection, trial: str, after: Marks, until: Marks) -> Seen:
    """What a trial brought after some marks and until others, `PORTION` of each kind at most."""
    one = observed(connection, trial, after.decision, until.decision) if after.decision < until.decision else []
    two = judged(connection, trial, after.verdict, until.verdict) if after.verdict < until.verdict else []
    three = compared(connection, trial, after.shadow, until.shadow) if after.shadow < until.shadow else []
    reached = Marks(
        one[-1].seq if len(one) == PORTION else until.decision,
        two[-1].seq if len(two) == PORTION else until.verdict,
        three[-1].challenger.seq if len(three) == PORTION else until.shadow,
    )
    return Seen(one, two, three, reached)


def observed(connection: Connection, trial: str, after: int, until: int) -> list[Observed]:
    """The decisions that were part of a trial, in the order in which they were recorded."""
    c = decisions.c
    query = select(c.seq, c.arm, c.unit, c.outcome, c.failed, c.cost, c.seconds, c.at, c.id)
    query = query.where(c.trial == trial, c.seq > after, c.seq <= until)
    found = connection.execute(query.order_by(c.seq).limit(PORTION))
    return [Observed(*row[:3], row[3] != Outcome.REVIEW, *row[4:7], row[7] // _HOUR, row[8]) for row in found]


def judged(connection: Connection, trial: str, after: int, until: int) -> list[Judged]:
    """The first verdicts on the answers of a trial, in the order in which they were given."""
    c, earlier = verdicts.c, verdicts.alias()
    told = c.seq, decisions.c.arm, decisions.c.unit, c.overturned, c.score, c.at, decisions.c.id, c.body
    query = select(*told).join(decisions)
    mine = func.coalesce(decisions.c.trial, "") == trial  # out of the index's reach: SQLite would begin with all of the trial
    query = query.where(mine, decisions.c.outcome != Outcome.REVIEW.value, c.seq > after, c.seq <= until)
    first = ~exists().where(earlier.c.decision == c.decision, earlier.c.seq < c.seq, earlier.c.discarded.is_(None))
    found = connection.execute(query.where(first, c.discarded.is_(None)).order_by(c.seq).limit(PORTION))
    return [Judged(*row[:5], row[5] // _HOUR, row[6], decode(row[7], Verdict).answer) for row in found]


def compared(connection: Connection, trial: str, after: int, until: int) -> list[Compared]:
    """The cases that a trial's challenger decided unseen, in the order in which that was kept."""
    c, d = shadows.c, decisions.c
    live = d.seq, d.unit, d.outcome, d.failed, d.cost, d.seconds, d.at, d.id
    query = select(c.seq, c.answered, c.failed, c.cost, c.seconds, c.agrees, *live).join(decisions)
    query = query.where(c.trial == trial, c.seq > after, c.seq <= until).order_by(c.seq).limit(PORTION)
    return [
        Compared(
            Observed(row[6], "live", row[7], row[8] != Outcome.REVIEW, row[9], row[10], row[11], row[12] // _HOUR, row[13]),
            Observed(row[0], "challenger", row[7], *row[1:5], row[12] // _HOUR, row[13]),
            row[5],
            row[13],
        )
        for row in connection.execute(query)
    ]


def add_shadows(connection: Connection, kept: Sequence[Shadow]) -> None:
    """Keep what a challenger decided unseen, but for what can never be kept."""
    ids = [plain(each.decision.id) for each in kept]
    found = connection.execute(select(decisions.c.id, decisions.c.seq).where(decisions.c.id.in_(ids)))
    places = {row.id: row.seq for row in found}
    rows = [row for id_, each in zip(ids, kept, strict=True) if id_ in places and (row := _row(each, places[id_]))]
    if rows:
        connection.execute(insert(shadows), rows)


def _row(shadow: Shadow, place: int) -> Row | None:
    """The shadow as a row of `shadows`; None for what JSON or the database cannot hold."""
    decision = shadow.decision
    if not (isfinite(decision.cost) and isfinite(decision.seconds)):
        return None
    try:
        body = encode(decision)
    except RecordRefused:
        return None
    return {
        "decision": place,
        "trial": plain(shadow.trial),
        "at": micros(shadow.at),
        "agrees": shadow.agrees,
        "answered": decision.answer is not None,
        "failed": fails(decision),
        "cost": decision.cost,
        "seconds": decision.seconds,
        "body": body,
    }


def unseen(connection: Connection, trial: str, decision_ids: Sequence[str]) -> list[Decision]:
    """What a trial's challenger decided unseen about these cases, in no order."""
    ids = [plain(each) for each in decision_ids]
    query = select(shadows.c.body).join(decisions).where(shadows.c.trial == trial, decisions.c.id.in_(ids))
    return [decode(body, Decision) for body in connection.execute(query).scalars()]
