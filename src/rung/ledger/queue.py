"""Turns decisions that people are to look at into a queue that many share: each review is held by one person at a time.

Knows nothing about who should look at what, or what a right answer is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from rung.core import Fields, Outcome, Verdict
from rung.ledger import history, queries
from rung.ledger.nouns import Conclusion, Drawn, Effort, Pair, Record, Review, Reviewed, ReviewTaken, Settled
from rung.ledger.rows import Row, decode, encode, micros, moment, plain
from rung.ledger.schema import actions, decisions, reviews, verdicts

Transaction = Callable[[], AbstractContextManager[Connection]]

_c = reviews.c
_KEPT = ("workload", "release", "tier", "confidence", "at")  # of a decision, in its reviews
_other = reviews.alias()


def add(connection: Connection, submitted: Sequence[tuple[Row, float | None]]) -> None:
    """Queue those of the recorded decisions that are left to people, and those that were drawn, in the caller's transaction."""
    looks = {row["id"]: look for row, drawn in submitted if (look := _look(row, drawn))}
    if looks:
        of = select(decisions.c.seq, decisions.c.id, *(decisions.c[name] for name in _KEPT))
        found = connection.execute(of.where(decisions.c.id.in_(looks))).mappings().all()
        connection.execute(insert(reviews), [_row(each, *looks[each["id"]]) for each in found])


def close(connection: Connection, judged: Row, by: str) -> None:
    """A verdict came from elsewhere: nobody has to decide a case that was left to people any more.

    An answer that was drawn is still looked at, and only what is said then counts in the sample: who sends verdicts unasked sends
    them about what went wrong. Whoever looked at it then may correct themselves.
    """
    mine = and_(_c.decision == judged["decision"], _c.look == "unsure", _open())
    connection.execute(update(reviews).where(mine).values(settled_at=judged["at"], settled_by=plain(by)))
    theirs = update(reviews).where(
        _c.decision == judged["decision"], ~_second(), _c.settled_by == plain(by), _c.wrong.is_not(None)
    )
    connection.execute(theirs.values(wrong=judged["overturned"]))


class Queue:
    """The reviews of a ledger: `Ledger.queue`. All times are timezone-aware; all raise LedgerError as the ledger does."""

    def __init__(self, transaction: Transaction, change: Transaction) -> None:
        """Look in such transactions, and change in such."""
        self._transaction = transaction
        self._change = change

    def take(self, workload: str, by: str, now: datetime, until: datetime) -> Review | None:
        """The one that has waited longest of those that are free, held from now on; None if none is.

        A second look is not for whoever has said anything of the case.
        """
        first = select(_c.seq).where(_open(), _c.workload == plain(workload), _free(by, now), _fit(by))
        first = first.order_by(_c.at, _c.seq).limit(1).with_for_update(skip_locked=True)
        with self._change() as connection:
            held = update(reviews).where(_c.seq == first.scalar_subquery(), _open(), _free(by, now))
            seq = connection.execute(held.values(**_held(by, until)).returning(_c.seq)).scalar_one_or_none()
            return None if seq is None else _one(connection, seq, by)

    def hold(self, seq: int, by: str, now: datetime, until: datetime) -> Review:
        """This one, held from now on, or for longer. Raises ReviewTaken."""
        with self._change() as connection:
            held = update(reviews).where(_c.seq == seq, _open(), _free(by, now), _fit(by)).values(**_held(by, until))
            if connection.execute(held).rowcount == 0:
                raise _taken(connection, seq, now)
            return _one(connection, seq, by)

    def release(self, seq: int, by: str) -> None:
        """Give one back; nothing happens to one that is held by somebody else."""
        with self._change() as connection:
            connection.execute(update(reviews).where(_c.seq == seq, _open(), _c.holder == plain(by)).values(holder="", until=0))

    def draft(self, seq: int, by: str, answer: Fields, now: datetime, until: datetime) -> None:
        """Keep what somebody has so far, for them alone, and hold the review for longer. Raises ReviewTaken."""
        with self._change() as connection:
            mine = update(reviews).where(_c.seq == seq, _open(), _free(by, now), _fit(by))
            if connection.execute(mine.values(**_held(by, until), **_draft(by, answer))).rowcount == 0:
                raise _taken(connection, seq, now)

    def settle(self, seq: int, verdict: Verdict, now: datetime, seconds: float | None, again: bool) -> None:
        """Keep what its holder, or whoever finds it free, says; with `again`, let somebody else look at it blind.

        `seconds` is how long it took. Raises ReviewTaken.
        """
        by = verdict.by
        with self._change() as connection:
            done = update(reviews).where(_c.seq == seq, _open(), _free(by, now), _fit(by))
            said = {"settled_at": micros(now), "settled_by": plain(by), "seconds": seconds, "draft": None}
            if connection.execute(done.values(**said)).rowcount == 0:
                raise _taken(connection, seq, now)
            review = connection.execute(select(reviews).where(_c.seq == seq)).mappings().one()
            if review["look"] == "second":
                connection.execute(update(reviews).where(_c.seq == seq).values(body=encode(verdict)))
                return
            judged = queries.judge(connection, verdict, now)
            connection.execute(insert(verdicts), judged)
            connection.execute(update(reviews).where(_c.seq == seq).values(wrong=judged["overturned"]))
            if again and not connection.execute(select(exists().where(_c.decision == review["decision"], _second()))).scalar():
                connection.execute(
                    insert(reviews), _row({**review, "at": micros(now)} | {"seq": review["decision"]}, "second", 1)
                )

    def discard(self, seq: int, by: str, now: datetime, note: str = "", answer: Fields | None = None) -> None:
        """Put one aside that cannot be settled: nobody is asked about it again, and it counts for nothing. Raises ReviewTaken.

        `note` says why, `answer` is what there was of one: the draft, if it is taken back.
        """
        with self._change() as connection:
            done = update(reviews).where(_c.seq == seq, _open(), _free(by, now), _fit(by))
            said = {"settled_at": micros(now), "settled_by": plain(by), **_draft(by, answer)}
            if connection.execute(done.values(**said)).rowcount == 0:
                raise _taken(connection, seq, now)
            review = _one(connection, seq)
            verdict = Verdict(review.record.decision.id, {}, by, note)
            row = {**queries.judge(connection, verdict, now), "overturned": False, "discarded": review.look}
            connection.execute(insert(verdicts), row if review.look == "unsure" else {**row, "due": None})
            _note(connection, now, by, "case discarded", verdict.decision, note)

    def reopen(self, seq: int, by: str, now: datetime, until: datetime, since: datetime) -> Review:
        """Take back what the same person settled or discarded since then, and nobody else has settled anew: nothing they said
        from that on counts, and their answer is the draft. Raises ReviewTaken."""
        with self._change() as connection:
            mine = update(reviews).where(_c.seq == seq, _c.settled_by == plain(by), _c.settled_at >= micros(since))
            if connection.execute(mine.values(**_held(by, until))).rowcount == 0:
                raise _taken(connection, seq, now, back=by)
            review = connection.execute(select(reviews).where(_c.seq == seq)).mappings().one()
            again = delete(reviews).where(_c.decision == review["decision"], _second(), _open(), _c.until < micros(now))
            connection.execute(again)  # it was to be looked at again as it was settled
            body = review["body"] or _withdraw(connection, review, by, micros(now))
            answer = decode(body, Verdict).answer if body else None
            draft = _draft(by, answer) if answer else {}  # what was put aside has its own
            unsaid = {"settled_at": None, "settled_by": None, "wrong": None, "body": None}
            connection.execute(update(reviews).where(_c.seq == seq).values(**unsaid, **draft))
            _note(connection, now, by, "review reopened", _one(connection, seq).record.decision.id)
            return _one(connection, seq, by)

    def find(self, seq: int) -> Review | None:
        """The review of this number, open or settled."""
        with self._transaction() as connection:
            return _one(connection, seq) if connection.execute(select(_c.seq).where(_c.seq == seq)).scalar() else None

    def blind(self, decision_id: str, by: str) -> bool:
        """Whether this person may look at the decision again: until then nothing of what was settled may be shown to them."""
        query = select(exists().where(_c.decision == decisions.c.seq, _second(), _open(), _fit(by)))
        with self._transaction() as connection:
            return bool(connection.execute(query.where(decisions.c.id == plain(decision_id))).scalar())

    def list(self, workload: str, by: str = "", limit: int = 500) -> Sequence[Review]:
        """The open ones that this person may settle, held by whomever, the longest waiting first."""
        query = _joined().where(_open(), _c.workload == plain(workload), _fit(by)).order_by(_c.at, _c.seq).limit(limit)
        with self._transaction() as connection:
            return [_review(row, by) for row in connection.execute(query).mappings()]

    def open_on(self, decision_id: str, by: str) -> Review | None:
        """The open one on this decision that this person may settle."""
        query = _joined().where(decisions.c.id == plain(decision_id), _open(), _fit(by)).order_by(_c.seq).limit(1)
        with self._transaction() as connection:
            row = connection.execute(query).mappings().one_or_none()
            return None if row is None else _review(row, by)

    def count(self, workload: str, by: str = "") -> Mapping[str, int]:
        """How many are open that this person may settle, by look: unsure, sample, second."""
        query = select(_c.look, func.count()).where(_open(), _c.workload == plain(workload), _fit(by)).group_by(_c.look)
        with self._transaction() as connection:
            return {look: count for look, count in connection.execute(query)}  # noqa: C416  # rows are not pairs to dict

    def reviewed(self, workload: str, since: datetime | None = None) -> Sequence[Reviewed]:
        """The answers from the random sample that people have settled, in that order."""
        query = select(_c.seq, _c.release, _c.tier, _c.share, _c.confidence, _c.wrong, _c.settled_at)
        query = query.where(_c.workload == plain(workload), _sampled(), _c.settled_at >= (micros(since) if since else 0))
        query = query.where(_c.wrong.is_not(None)).order_by(_c.settled_at, _c.seq)
        with self._transaction() as connection:
            return [Reviewed(*row[:6], moment(row[6])) for row in connection.execute(query)]

    def drawn(self, workload: str, release: str) -> Sequence[Drawn]:
        """The random sample of a release's answers, settled or not, in the order in which they were given."""
        query = select(_c.seq, _c.release, _c.tier, _c.share, _c.confidence, _c.at, _c.wrong, _c.settled_at)
        query = query.where(_c.workload == plain(workload), _sampled(), _c.release == plain(release)).order_by(_c.seq)
        with self._transaction() as connection:
            found = connection.execute(query).all()
        return [Drawn(*row[:5], moment(row[5]), row[6], row[7] is not None) for row in found]

    def latest(self, workload: str, limit: int = 300, by: str = "") -> Sequence[Settled]:
        """What was settled last of what people were asked to look at, newest first; what is to be looked at again only to who
        settled it."""
        again = exists().where(_other.c.decision == _c.decision, _other.c.look == "second", _other.c.settled_at.is_(None))
        query = _settled().select_from(reviews.join(decisions).join(verdicts, verdicts.c.seq == _newest()))
        query = query.where(_c.workload == plain(workload), ~_second(), _c.settled_at.is_not(None))
        query = query.where(or_(_c.settled_by == plain(by), ~again))
        return self._read_settled(query.order_by(_c.settled_at.desc(), _c.seq.desc()).limit(limit))

    def settled(self, workload: str) -> Sequence[Settled]:
        """Every decision with a verdict, whether or not anybody was asked to look at it, oldest decision first."""
        counts = queries.latest_verdicts()
        judged = verdicts.join(counts, counts.c.seq == verdicts.c.seq).join(decisions, decisions.c.seq == verdicts.c.decision)
        query = _settled().select_from(judged.outerjoin(reviews, and_(_c.decision == decisions.c.seq, ~_second())))
        query = query.where(decisions.c.workload == plain(workload))
        return self._read_settled(query.order_by(decisions.c.at, decisions.c.seq))

    def _read_settled(self, query: Select[*tuple[Any, ...]]) -> Sequence[Settled]:
        with self._transaction() as connection:
            found = connection.execute(query)
            return [_concluded(row) for row in found]

    def last_settled(self, workload: str) -> datetime | None:
        """When a review was settled last."""
        with self._transaction() as connection:
            last = connection.execute(select(func.max(_c.settled_at)).where(_c.workload == plain(workload))).scalar()
        return None if last is None else moment(last)

    def records(self, numbers: Sequence[int]) -> Mapping[int, Record]:
        """What these reviews are of, some hundreds at once."""
        query = select(_c.seq, decisions.c.body).join(decisions).where(_c.seq.in_(numbers))
        with self._transaction() as connection:
            return {seq: decode(body, Record) for seq, body in connection.execute(query)}

    def untold(self, workload: str, before: datetime, until: datetime, limit: int = 100) -> Sequence[Conclusion]:
        """What came of cases before then that whoever asked has not been told, oldest first: of all who tell it, one gets it, and
        another gets it after `until` unless the one called `tell`.

        It is what people decided for them, put aside or found wrong, what was said later, and what was taken back.
        """
        with self._change() as connection:
            return history.untold(connection, workload, micros(before), micros(until), limit)

    def pass_over(self, workload: str, since: datetime) -> int:
        """What came about before then nobody is told any more; how many that were."""
        with self._change() as connection:
            return history.pass_over(connection, workload, micros(since))

    def tell(self, numbers: Sequence[int], until: datetime) -> None:
        """These, which `untold` gave until then, were told."""
        with self._change() as connection:
            history.tell(connection, numbers, micros(until))

    def pairs(self, workload: str, limit: int = 2_000) -> Sequence[Pair]:
        """The decisions that two people settled, newest second look first."""
        query = select(verdicts.c.body, _c.body).select_from(reviews.join(verdicts, verdicts.c.seq == _newest()))
        query = query.where(_c.workload == plain(workload), _second(), _c.body.is_not(None))
        with self._transaction() as connection:
            found = connection.execute(query.order_by(_c.settled_at.desc()).limit(limit))
            return [Pair(decode(first, Verdict), decode(second, Verdict)) for first, second in found]

    def effort(self, workload: str, since: datetime | None = None) -> Effort:
        """What people settled since a time, and how long they took."""
        query = select(func.count(), func.count(_c.seconds), func.coalesce(func.sum(_c.seconds), 0.0))
        query = query.where(_c.workload == plain(workload), _c.settled_at >= (micros(since) if since else 0))
        with self._transaction() as connection:
            return Effort(*connection.execute(query).one())


def _withdraw(connection: Connection, review: Mapping[Any, Any], by: str, now: int) -> bytes | None:
    """Let what somebody settled or discarded, and said since, count no more, and tell whoever may have heard. Gives the last
    back. Raises ReviewTaken if somebody else has settled the decision since."""
    c, second = verdicts.c, review["look"] == "second"
    same = c.discarded == "second" if second else c.discarded.is_distinct_from("second")
    valid = c.decision == review["decision"], c.withdrawn_at.is_(None), same
    first = select(func.min(c.seq)).where(*valid, c.by == plain(by), c.at == review["settled_at"]).scalar_subquery()
    said = connection.execute(select(c.seq, c.by, c.body).where(*valid, c.seq >= first).order_by(c.seq)).all()
    if others := [who for _, who, _ in said if who != plain(by)]:
        raise ReviewTaken(f"{others[-1]} has settled it anew since. Next: take another one.")
    due = case((c.due != c.at, now), else_=None)  # somebody was told, or may have been: one tried
    connection.execute(update(verdicts).where(c.seq.in_([seq for seq, _, _ in said])).values(withdrawn_at=now, due=due))
    return said[-1][2] if said else None


def _note(connection: Connection, now: datetime, by: str, what: str, decision: str, why: str = "") -> None:
    said = {"by": plain(by), "what": what, "subject": plain(decision), "detail": plain(why)}
    connection.execute(insert(actions), {**said, "at": micros(now)})


def _newest() -> ScalarSelect[Any]:
    """The number of the verdict that counts on a review's decision."""
    newest = select(func.max(verdicts.c.seq)).where(verdicts.c.decision == _c.decision, queries.counts())
    return newest.correlate(reviews).scalar_subquery()


def _look(row: Row, drawn: float | None) -> tuple[str, float] | None:
    if row["outcome"] == Outcome.REVIEW.value:
        return "unsure", 1.0
    return None if drawn is None else ("sample", drawn)


def _row(decision: Mapping[Any, Any], look: str, share: float) -> Row:
    same = {name: decision[name] for name in _KEPT}
    return {**same, "decision": decision["seq"], "look": look, "share": share}


def _open() -> ColumnElement[bool]:
    return _c.settled_at.is_(None)


def _sampled() -> ColumnElement[bool]:
    return _c.look == literal("sample", literal_execute=True)  # written out, or PostgreSQL does not know that its index fits


def _second() -> ColumnElement[bool]:
    return _c.look == "second"


def _free(by: str, now: datetime) -> ColumnElement[bool]:
    return or_(_c.holder.in_(["", plain(by)]), _c.until < micros(now))


def _fit(by: str) -> ColumnElement[bool]:
    """Not a second look at what the same person said anything of, even if they took it back."""
    c = verdicts.c
    said = exists().where(c.decision == _c.decision, c.by == plain(by), c.discarded.is_distinct_from("second"))
    return or_(~_second(), ~said)


def _held(by: str, until: datetime) -> Row:
    return {"holder": plain(by), "until": micros(until)}


def _joined() -> Select[*tuple[Any, ...]]:
    return select(reviews, decisions.c.body.label("record")).join(decisions, decisions.c.seq == _c.decision)


def _settled() -> Select[*tuple[Any, ...]]:
    return select(decisions.c.body, verdicts.c.body, verdicts.c.at, _c.look)


def _concluded(row: Sequence[Any]) -> Settled:
    decision, verdict, at, look = row
    return Settled(decode(decision, Record), decode(verdict, Verdict), moment(at), look)


def _draft(by: str, answer: Fields | None) -> Row:
    return {"draft": encode(answer) if answer else None, "drafted_by": plain(by)}


def _one(connection: Connection, seq: int, by: str = "") -> Review:
    return _review(connection.execute(_joined().where(_c.seq == seq)).mappings().one(), by)


def _review(row: Mapping[Any, Any], by: str) -> Review:
    draft = row["draft"] if row["drafted_by"] in (None, plain(by)) else None
    return Review(
        row["seq"],
        decode(row["record"], Record),
        row["look"],
        moment(row["at"]),
        row["holder"] or None,
        moment(row["until"]) if row["holder"] else None,
        None if draft is None else decode(draft, dict[str, Any]),
    )


def _taken(connection: Connection, seq: int, now: datetime, back: str = "") -> ReviewTaken:
    row = connection.execute(select(reviews).where(_c.seq == seq)).mappings().one_or_none()
    if row is None:
        return ReviewTaken(f"There is no review {seq}. Next: take another one.")
    if row["settled_at"] is not None and back and row["settled_by"] == plain(back):
        id_ = _one(connection, seq).record.decision.id
        return ReviewTaken(
            f"You settled this at {moment(row['settled_at']):%Y-%m-%d %H:%M} UTC, too long ago to take it back. Next: settle it "
            f"anew: rung review WORKLOAD --settle {id_}, or POST /v1/decisions/{id_}/feedback; who was told is told again."
        )
    if row["settled_at"] is not None:
        return ReviewTaken(f"{row['settled_by'] or 'Somebody'} has settled this already. Next: take another one.")
    if row["until"] < micros(now) or not row["holder"]:
        return ReviewTaken("This second look is for somebody who has said nothing of the case. Next: take another one.")
    return ReviewTaken(f"{row['holder']} is looking at this one. Next: take another one.")
