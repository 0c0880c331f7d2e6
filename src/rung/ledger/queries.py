"""The questions the ledger answers, as SQL that SQLite and PostgreSQL both speak. Knows nothing about connections' lives."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Subquery, case, exists, func, literal, select, tuple_

from rung.core import Outcome, Verdict, same
from rung.ledger.nouns import Arrival, Promotion, Record, RecordRefused, Summary, TierSummary, UnknownDecision
from rung.ledger.rows import Row, decode, encode, micros, moment, plain
from rung.ledger.schema import decisions, promotions, reviews, verdicts

LATEST = 100_000  # decisions that the quantiles of the seconds are taken over


@dataclass(frozen=True, slots=True)
class Page:
    """Which decisions to list: of one outcome or all, since a time or always, older than the decision `before`."""

    outcome: Outcome | None = None
    since: datetime | None = None
    limit: int = 50
    before: str | None = None


def locate(connection: Connection, decision_id: str) -> Row:
    """The row of a decision; raises UnknownDecision."""
    row = connection.execute(select(decisions).where(decisions.c.id == plain(decision_id))).mappings().one_or_none()
    if row is None:
        raise UnknownDecision(
            f"No decision {plain(decision_id)} in {connection.engine.url!r}. Next: rung review lists those that wait."
        )
    return dict(row)


def among(connection: Connection, decision_ids: Sequence[str]) -> list[Record]:
    """The decisions of these ids, in no order."""
    return _records(connection, select(decisions.c.body).where(decisions.c.id.in_([plain(each) for each in decision_ids])))


def listing(connection: Connection, workload: str, page: Page) -> list[Record]:
    """The workload's decisions, newest first."""
    query = select(decisions.c.body).where(*_of(workload, page.since))
    if page.outcome is not None:
        query = query.where(decisions.c.outcome == page.outcome.value)
    if page.before is not None:
        mark = locate(connection, page.before)
        query = query.where(tuple_(decisions.c.at, decisions.c.seq) < tuple_(literal(mark["at"]), literal(mark["seq"])))
    return _records(connection, query.order_by(decisions.c.at.desc(), decisions.c.seq.desc()).limit(page.limit))


def arrived(connection: Connection, of: tuple[str, str], since: int, after: int, limit: int) -> list[Arrival]:
    """What a workload's release decided since then and after that number, in the order in which it was recorded."""
    workload, release = map(plain, of)
    c = decisions.c
    query = select(c.seq, c.id, c.at).where(c.workload == workload, c.release == release, c.at >= since, c.seq > after)
    return [Arrival(seq, id_, moment(at)) for seq, id_, at in connection.execute(query.order_by(c.seq).limit(limit))]


def waiting(connection: Connection, workload: str, limit: int) -> list[Record]:
    """The decisions that a person has still to make, oldest first."""
    query = select(decisions.c.body).join(reviews, reviews.c.decision == decisions.c.seq).where(*_waits(workload))
    return _records(connection, query.order_by(reviews.c.at, reviews.c.seq).limit(limit))


def count_waiting(connection: Connection, workload: str, since: datetime | None = None) -> int:
    """How many decisions a person has still to make, of those since a time or of all."""
    late = reviews.c.at >= (micros(since) if since else 0)
    return connection.execute(select(func.count()).select_from(reviews).where(*_waits(workload), late)).scalar_one()


def judge(connection: Connection, verdict: Verdict, at: datetime) -> Row:
    """The verdict as a row of `verdicts`; raises UnknownDecision, and RecordRefused for a score that is not from 0 to 1.

    Whoever asked is told what people decided for them, that their answer was wrong, and what is said after they were told either.
    """
    if verdict.score is not None and not 0 <= verdict.score <= 1:
        raise RecordRefused(f"A verdict's score is {verdict.score}. Next: settle it with a score from 0 to 1.")
    row = locate(connection, verdict.decision)
    given, body = decode(row["body"], Record).decision.answer, encode(verdict)
    answer = decode(body, Verdict).answer
    overturned = given is not None and not same(given, answer)
    told = select(exists().where(verdicts.c.decision == row["seq"], verdicts.c.due.is_not(None)))
    tell = row["outcome"] == Outcome.REVIEW.value or overturned or connection.execute(told).scalar()
    judged = {"decision": row["seq"], "workload": row["workload"], "at": micros(at), "due": micros(at) if tell else None}
    return {**judged, "by": plain(verdict.by), "overturned": overturned, "body": body, "score": verdict.score}


def settled(connection: Connection, workload: str) -> list[tuple[Record, Verdict]]:
    """The decisions with a verdict, each with its latest, oldest decision first."""
    latest = latest_verdicts()
    judged = decisions.join(latest, latest.c.decision == decisions.c.seq).join(verdicts, verdicts.c.seq == latest.c.seq)
    query = select(decisions.c.body, verdicts.c.body).select_from(judged).where(*_of(workload, None))
    found = connection.execute(query.order_by(decisions.c.at, decisions.c.seq))
    return [(decode(body, Record), decode(judgement, Verdict)) for body, judgement in found]


def pointed(connection: Connection, workload: str) -> str | None:
    """The release promoted last."""
    query = select(promotions.c.release).where(promotions.c.workload == plain(workload)).order_by(promotions.c.seq.desc())
    return connection.execute(query.limit(1)).scalar()


def last_promotion(connection: Connection, workload: str) -> int:
    """When the pointer moved last, in microseconds; 0 if it never did."""
    query = select(func.max(promotions.c.at)).where(promotions.c.workload == plain(workload))
    return connection.execute(query).scalar() or 0


def promotion_row(promotion: Promotion, evidence: Mapping[str, Any]) -> Row:
    """The promotion as a row of `promotions`."""
    said = {name: plain(getattr(promotion, name)) for name in ("workload", "release", "by", "why")}
    return {**said, "at": micros(promotion.at), "back": promotion.back, "evidence": encode(evidence)}


def promoted(connection: Connection, workload: str) -> list[Promotion]:
    """Every promotion, oldest first."""
    c = promotions.c
    query = select(c.workload, c.release, c.at, c.by, c.why, c.back).where(c.workload == plain(workload)).order_by(c.seq)
    return [Promotion(name, release, moment(at), by, why, back) for name, release, at, by, why, back in connection.execute(query)]


def summarise(connection: Connection, workload: str, since: datetime | None) -> Summary:
    """The workload in numbers: one grouped pass over the decisions, one ranking of the latest seconds."""
    tiers: defaultdict[str, TierSummary] = defaultdict(TierSummary)
    outcomes: defaultdict[Outcome, int] = defaultdict(int)
    for tier, outcome, count, cost, settled, overturned in connection.execute(_grouped(workload, since)):
        sofar = tiers[tier]
        tiers[tier] = TierSummary(
            sofar.decisions + count, sofar.cost + cost, sofar.settled + settled, sofar.overturned + overturned
        )
        outcomes[Outcome(outcome)] += count
    total = sum(outcomes.values())
    p50, p99 = _quantiles(connection, workload, since, min(total, LATEST))
    cost, settled = math.fsum(tier.cost for tier in tiers.values()), sum(tier.settled for tier in tiers.values())
    return Summary(total, dict(tiers), dict(outcomes), p50, p99, cost, settled, count_waiting(connection, workload, since))


def _grouped(workload: str, since: datetime | None) -> Select[*tuple[Any, ...]]:
    latest = latest_verdicts()
    valid = decisions.outerjoin(latest, latest.c.decision == decisions.c.seq).outerjoin(verdicts, verdicts.c.seq == latest.c.seq)
    return (
        select(
            decisions.c.tier,
            decisions.c.outcome,
            func.count(),
            func.sum(decisions.c.cost),
            func.count(verdicts.c.seq),
            func.sum(case((verdicts.c.overturned, 1), else_=0)),
        )
        .select_from(valid)
        .where(*_of(workload, since))
        .group_by(decisions.c.tier, decisions.c.outcome)
    )


def latest_verdicts() -> Subquery:
    """The number (`seq`) of the verdict that counts, for each `decision` that has one."""
    newest = func.max(verdicts.c.seq).label("seq")
    return select(verdicts.c.decision, newest).where(counts()).group_by(verdicts.c.decision).subquery()


def counts() -> ColumnElement[bool]:
    """Of `verdicts`: it is one, and was not taken back."""
    return verdicts.c.withdrawn_at.is_(None) & verdicts.c.discarded.is_(None)


def _quantiles(connection: Connection, workload: str, since: datetime | None, count: int) -> tuple[float | None, float | None]:
    if count == 0:
        return None, None
    latest = select(decisions.c.seconds).where(*_of(workload, since)).order_by(decisions.c.at.desc(), decisions.c.seq.desc())
    seconds = latest.limit(LATEST).subquery().c.seconds
    ranked = select(seconds, func.row_number().over(order_by=seconds).label("rank")).subquery()
    ranks = math.ceil(count / 2), math.ceil(count * 99 / 100)
    found = connection.execute(select(ranked.c.rank, ranked.c.seconds).where(ranked.c.rank.in_(ranks)))
    at_rank: dict[int, float] = {row.rank: row.seconds for row in found}
    return at_rank[ranks[0]], at_rank[ranks[1]]


def _of(workload: str, since: datetime | None) -> list[ColumnElement[bool]]:
    mine = decisions.c.workload == plain(workload)
    return [mine] if since is None else [mine, decisions.c.at >= micros(since)]


def _waits(workload: str) -> list[ColumnElement[bool]]:
    return [reviews.c.workload == plain(workload), reviews.c.look == "unsure", reviews.c.settled_at.is_(None)]


def _records(connection: Connection, query: Select[*tuple[Any, ...]]) -> list[Record]:
    return [decode(body, Record) for body in connection.execute(query).scalars()]
