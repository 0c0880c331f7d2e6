"""Turns the settled part of the random sample into what is known of the promise: of a release, each tier, each declared slice.

Knows nothing about alarms or how people are asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import pi

from rung.core import Fields
from rung.ledger import Ledger, Record, Reviewed
from rung.monitor.promise import LivePromise, Standing
from rung.workload import Promise, Workload

WHOLE = ""  # the subject that is the whole release
MOST = 30  # values of a slice's attribute that are told apart; the rest is together
_REST = "other values"
_AT_ONCE = 500


def standings(ledger: Ledger, workload: Workload, release: str) -> Mapping[str, Standing]:
    """What is known by now: of the whole release under "", of each tier under its name, of each slice under `attribute=value`.

    The whole is held to the promise's confidence. Of the same doubt the k-th part to be reviewed, tier or slice, has 6/(pi k)^2:
    however many there come to be, the chance of calling any of them broken that is not is at most 1 - confidence too.
    """
    mine = [one for one in ledger.queue.reviewed(workload.name) if one.release == release]
    parts: defaultdict[str, list[Reviewed]] = defaultdict(list)
    for one in mine:
        parts[one.tier].append(one)
    for subject, some in _slices(ledger, workload, mine).items():
        parts[subject] = some
    found = {WHOLE: standing(mine, workload.promise)}
    for rank, subject in enumerate(sorted(parts, key=lambda name: (parts[name][0].at, parts[name][0].seq, name)), 1):
        doubt = (1 - workload.promise.confidence) * 6 / (pi * rank) ** 2
        found[subject] = standing(parts[subject], replace(workload.promise, confidence=1 - doubt))
    return found


def standing(reviewed: Sequence[Reviewed], promise: Promise) -> Standing:
    """What these reviewed answers, in the order in which they were settled, say of the promise."""
    watch = LivePromise(promise)
    least = min((one.share for one in reviewed), default=1.0)
    watch.update([one.wrong for one in reviewed], [least / one.share for one in reviewed])
    return watch.standing()


def _slices(ledger: Ledger, workload: Workload, reviewed: Sequence[Reviewed]) -> Mapping[str, list[Reviewed]]:
    """The reviews of each value of each attribute that `limits.slices` names."""
    named = [*workload.limits.slices]
    found: defaultdict[str, defaultdict[str, list[Reviewed]]] = defaultdict(lambda: defaultdict(list))
    for start in range(0, len(reviewed) if named else 0, _AT_ONCE):
        some = reviewed[start : start + _AT_ONCE]
        records = ledger.queue.records([one.seq for one in some])
        for one in some:
            for attribute in named:
                found[attribute][_value(records[one.seq], attribute)].append(one)
    slices: dict[str, list[Reviewed]] = {}
    for attribute, values in found.items():
        for rank, (value, some) in enumerate(values.items()):  # in the order in which they came, which later ones do not change
            slices.setdefault(f"{attribute}={value if rank < MOST else _REST}", []).extend(some)
    return {subject: sorted(some, key=lambda one: (one.at, one.seq)) for subject, some in slices.items()}


def _value(record: Record, attribute: str) -> str:
    answer: Fields = record.decision.answer or {}
    return str(answer[attribute] if attribute in answer else record.case.context.get(attribute, "none"))
