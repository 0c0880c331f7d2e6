"""Turns the random sample of a release's answers into what is known of its promise, of each tier's and each declared slice's.

Knows nothing about alarms or how people are asked. Answers count in the order in which they were given: neither who chooses what
to look at next, nor who puts an answer aside, chooses what is counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import pi
from typing import TypeAlias

from rung.core import Fields
from rung.ledger import Drawn, Ledger, Record
from rung.monitor.promise import LivePromise, Standing
from rung.workload import Promise, Workload

WHOLE = ""  # the subject that is the whole release
MOST = 30  # values of a slice's attribute that are told apart; the rest is together
OVERDUE = timedelta(days=2)  # an answer that nobody has settled for so long counts as one that nobody will
_REST = "other values"
_AT_ONCE = 500


Values: TypeAlias = dict[int, list[str]]  # by review, the values of the attributes that are slices


def standings(ledger: Ledger, workload: Workload, release: str, read: Values | None = None) -> Mapping[str, Standing]:
    """What is known by now: of the whole release under "", of each tier under its name, of each slice under `attribute=value`.

    The whole is held to the promise's confidence. Of the same doubt the k-th tier or slice to be drawn from has 6/(pi k)^2:
    however many there come to be, the chance of calling any of them broken that is not is at most 1 - confidence too.
    What was `read` of the release's answers is not read again.
    """
    mine, now, sample = ledger.queue.drawn(workload.name, release), datetime.now(UTC), workload.review.sample
    parts: defaultdict[str, list[Drawn]] = defaultdict(list)
    for one in mine:
        parts[one.tier].append(one)
    for subject, some in _slices(ledger, workload, mine, {} if read is None else read).items():
        parts[subject] = some
    found = {WHOLE: standing(mine, workload.promise, sample, now)}
    for rank, subject in enumerate(sorted(parts, key=lambda name: (parts[name][0].seq, name)), 1):
        doubt = (1 - workload.promise.confidence) * 6 / (pi * rank) ** 2
        found[subject] = standing(parts[subject], replace(workload.promise, confidence=1 - doubt), sample, now)
    return found


def standing(drawn: Sequence[Drawn], promise: Promise, sample: float, now: datetime) -> Standing:
    """What answers, in the order in which they were given, each drawn with a chance of at least `sample`, say of the promise.

    It speaks of those that are `counting`. Where others, settled sooner than some before them, prove the promise broken, that is
    said too: it holds whatever the rest turns out to be.
    """
    whole, last = len(counting(drawn, now)), max((at for at, one in enumerate(drawn, 1) if one.wrong is not None), default=0)
    least = min((one.share for one in drawn[:last]), default=1.0)
    weights = [min(least, sample or 1.0) / one.share for one in drawn[:last]]
    watch = LivePromise(promise)
    watch.update([one.wrong for one in drawn[:whole]], weights[:whole])
    known = watch.standing()
    watch.update([one.wrong for one in drawn[whole:last]], weights[whole:])
    ahead = watch.standing()
    return ahead if ahead.proof not in (None, known.proof) else known


def counting(drawn: Sequence[Drawn], now: datetime) -> Sequence[Drawn]:
    """The answers up to the last that was judged before the first that is still to be settled."""
    awaited = (at for at, one in enumerate(drawn) if one.wrong is None and not one.closed and now - one.at < OVERDUE)
    before = drawn[: next(awaited, len(drawn))]
    return before[: max((at for at, one in enumerate(before, 1) if one.wrong is not None), default=0)]


def _slices(ledger: Ledger, workload: Workload, drawn: Sequence[Drawn], read: Values) -> Mapping[str, list[Drawn]]:
    """The sample of each value of each attribute that `limits.slices` names."""
    named = [*workload.limits.slices]
    found: defaultdict[str, defaultdict[str, list[Drawn]]] = defaultdict(lambda: defaultdict(list))
    new = [one.seq for one in drawn if one.seq not in read] if named else []
    for start in range(0, len(new), _AT_ONCE):
        for seq, record in ledger.queue.records(new[start : start + _AT_ONCE]).items():
            read[seq] = [_value(record, attribute) for attribute in named]
    for one in drawn if named else ():
        for attribute, value in zip(named, read[one.seq], strict=True):
            found[attribute][value].append(one)
    slices: dict[str, list[Drawn]] = {}
    for attribute, values in found.items():
        for rank, (value, some) in enumerate(values.items()):  # in the order in which they came, which later ones do not change
            slices.setdefault(f"{attribute}={value if rank < MOST else _REST}", []).extend(some)
    return {subject: sorted(some, key=lambda one: one.seq) for subject, some in slices.items()}


def _value(record: Record, attribute: str) -> str:
    answer: Fields = record.decision.answer or {}
    return str(answer[attribute] if attribute in answer else record.case.context.get(attribute, "none"))
