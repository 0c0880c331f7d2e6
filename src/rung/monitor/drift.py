"""Turns a release's reference cases and a window of later ones into findings: what has moved, how far, how surely, which cases.

Knows nothing about texts, the ledger or time.

False alarms. A window's `level` is its part of what may be spent: `budget(days)` gives 5 % to a month, and each window the part
that passed since the last one. Each p-value is exact (`signals`) and Holm corrects for the signals. By the union bound the chance
of any false alarm in a month, of any signal in any window, is then at most 5 %, however many windows there are, whether or not
they overlap, and though all are compared with one reference. Assumed: without drift, the cases of the reference and of a window
come in no particular order (are exchangeable). A night that differs from the day, or a weekend from the week, is drift to this
test: a reference holds whole weeks, and where `WINDOW` cases come in less than a day, a window is as many drawn blindly from the
last day. A customer who writes forty times is forty cases.

Which reference. Production differs from gold from its first day: gold is chosen by people. So the reference of a release is what
it saw first, `REFERENCE` cases or a week, whichever is more, and `compare(gold, reference, 0.05)` says once how representative
the gold is: a thing to report, not an alarm that would never end. From then on: the last `WINDOW` cases, every `EVERY`.
"""

from __future__ import annotations

from dataclasses import replace

from rung.monitor.cases import Cases
from rung.monitor.clusters import EXAMPLES, Cluster, Surroundings, cluster, look_around
from rung.monitor.signals import Finding, examine
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
    return tuple(
        replace(one, clusters=_shown(one, reference, window, around)) if one.drifted and one.cases else one for one in decided
    )


def _shown(finding: Finding, reference: Cases, window: Cases, around: Surroundings | None) -> tuple[Cluster, ...]:
    """The clusters of the cases that moved; without embeddings they are one."""
    if around is not None:
        return cluster(finding.cases, reference.embeddings, window.embeddings, around.nearest)
    return (Cluster(finding.cases, finding.cases[:EXAMPLES], finding.after, finding.before),)
