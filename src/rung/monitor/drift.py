"""Turns a release's reference cases and a window of later ones into findings: what has moved, how far, how surely, which cases.

Knows nothing about texts, the ledger or dates.

Two windows at every look. `compare` takes `WINDOW` cases drawn blindly from the last day (or from as many whole days as bring so
many), in which every hour has its share, and says of all signals what has moved: where a day brings many more cases, what began
within the hour is too thin in it to be seen. `discover` takes the last `WINDOW` as they came and looks for one thing, cases that
crowd where the reference has few; it compares each case with those of the reference that came at the same hour of the day alone,
so that what comes at night only is not new every night.

False alarms. A look's `level` is its part of what may be spent: `budget(days)` gives 5 % to a month, and each look the part
that passed since the last one, half to each window. Each p-value is valid (`signals`) and Holm corrects for the signals. By the
union bound the chance of any false alarm in a month, of any signal in any window, is then at most 5 %, however many looks there
are, whether or not windows overlap, and though all are compared with one reference. Assumed: without drift, the cases of the
reference and of a window of whole days come in no particular order (are exchangeable), as do the reference's and the last ones of
the same hour of the day. So a weekend that differs from the week is drift to these tests, and so is, for an hour, a mix that
follows a clock which was put forward. A customer who writes forty times is forty cases.

Which reference. Production differs from gold from its first day: gold is chosen by people. So the reference of a release is what
it saw first, `REFERENCE` cases or a week, whichever is more, and `compare(gold, reference, 0.05)` says once how representative
the gold is: a thing to report, not an alarm that would never end. From then on a look every `EVERY` cases.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rung.monitor.cases import Cases
from rung.monitor.clusters import EXAMPLES, Cluster, Surroundings, cluster, look_around
from rung.monitor.signals import Finding, crowding, examine
from rung.statistics.paired import holm

REFERENCE, WINDOW, EVERY = 6000, 1000, 100  # cases
MONTH = 30.0  # days


def budget(days: float, chance: float = 0.05) -> float:
    """The level of a window that closes `days` after the last one did, if a month of windows may raise a false alarm with this
    chance. When a window closes must not depend on what is in it."""
    return chance * days / MONTH


def compare(reference: Cases, window: Cases, level: float) -> tuple[Finding, ...]:
    """What each signal says that both sides observed, in the order of `Signal`; the chance that any has `drifted` though nothing
    moved is at most `level`. The same cases give the same findings."""
    both = len(reference.embeddings) and len(window.embeddings)
    around = look_around(reference.embeddings, window.embeddings) if both else None
    found = list(examine(reference, window, around))
    adjusted = holm([finding.p for finding in found])
    decided = [replace(finding, adjusted=p, drifted=p <= level) for finding, p in zip(found, adjusted, strict=True)]
    return tuple(_show(one, reference, window, around) for one in decided)


def discover(reference: Cases, window: Cases, level: float) -> Finding:
    """Whether cases of the window crowd where the reference has few of the same hours of the day; neither side is empty, and both
    know their embeddings and hours. The chance that this has `drifted` though at each hour nothing moved is at most `level`."""
    hours = np.concatenate([reference.hours, window.hours])
    shares = np.bincount(window.hours, minlength=24) / np.maximum(1, np.bincount(hours, minlength=24))
    around = look_around(reference.embeddings, window.embeddings, shares[hours])
    name = "cases in the place where the latest crowd most, at these hours of the day,"
    found = crowding("novelty", name, around, len(reference))
    return _show(replace(found, adjusted=found.p, drifted=found.p <= level), reference, window, around)


def _show(finding: Finding, reference: Cases, window: Cases, around: Surroundings | None) -> Finding:
    if not (finding.drifted and finding.cases):
        return finding
    return replace(finding, clusters=_shown(finding, reference, window, around))


def _shown(finding: Finding, reference: Cases, window: Cases, around: Surroundings | None) -> tuple[Cluster, ...]:
    """The clusters of the cases that moved; without embeddings they are one."""
    if around is not None:
        return cluster(finding.cases, reference.embeddings, window.embeddings, around.nearest)
    return (Cluster(finding.cases, finding.cases[:EXAMPLES], finding.after, finding.before),)
