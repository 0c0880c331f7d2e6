"""Turns a reference and a window of cases into one finding for each signal, tested by itself. Knows nothing about levels, and so
nothing about what is drift.

A test compares groups of cases, chosen without a look at which are of the window: does one hold more or fewer of the window's
than chance puts there? That number is hypergeometric, so the p-values hold at any size (Fisher), and are multiplied by the
number of groups (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rung.charts import spell
from rung.monitor.cases import Cases
from rung.monitor.clusters import Cluster, Embeddings, Surroundings, moved
from rung.statistics.hypergeometric import chances, two_sided

CUTS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)  # of lengths and confidences, the quantiles at which they are compared
BAND = 16  # reviews, in the bands of like confidence in which they are compared
FAR = 0.01  # the share of the reference that is out of scope

Signal: TypeAlias = Literal[
    "embedding", "out_of_scope", "length", "language", "label", "confidence", "tier", "calibration", "novelty"
]
Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a signal says of a window: a share was `before` in the reference and is `after` in the window (0..1), of `reference_n`
    and `n` cases (reviews, for calibration).

    Of the groups compared it is the least likely one; `p` is corrected for their number. `cases` are positions in the window: of
    those that moved. Once compared, `adjusted` is p corrected for the signals too, `drifted` the decision at the window's level,
    and `clusters`, largest first, show the cases of what drifted.
    """

    signal: Signal
    sentence: str
    before: float
    after: float
    n: int
    reference_n: int
    p: float
    cases: tuple[int, ...] = ()
    adjusted: float = 1.0
    drifted: bool = False
    clusters: tuple[Cluster, ...] = ()

    @property
    def effect(self) -> float:
        """By how much the share rose (-1..1)."""
        return self.after - self.before

    def document(self) -> dict[str, Any]:
        """As JSON; shares are 0..1."""
        said = {"signal": self.signal, "drifted": self.drifted, "sentence": self.sentence}
        numbers = {name: getattr(self, name) for name in ("before", "after", "effect", "n", "reference_n", "p", "adjusted")}
        return {**said, **numbers, "clusters": [one.document() for one in self.clusters]}


@dataclass(frozen=True, slots=True)
class _Group:
    """A group of cases, those `inside` [reference and window], and what the others are called if that is worth a word."""

    name: str
    inside: NDArray[np.bool_]
    others: str | None = None


def examine(reference: Cases, window: Cases, around: Surroundings | None) -> Iterator[Finding]:
    """A finding for each signal that both sides observed; `around` are the window's surroundings, if both have embeddings."""
    if around is not None:
        yield crowding("embedding", "cases in the place where this window's crowd most", around, len(reference.embeddings))
        if len(reference.embeddings) > 1:
            yield _distance(reference.embeddings, window.embeddings)
    names = "texts of at most {:,.0f} characters", "texts longer than {:,.0f} characters"
    yield from _cut("length", names, reference.lengths.astype(np.float64), window.lengths.astype(np.float64))
    yield from _named("language", "cases in the language {}", reference.languages, window.languages)
    yield from _named("label", "answers that say {}", reference.labels, window.labels)
    names = "answers with a confidence of at most {:.3g}", "answers with a confidence above {:.3g}"
    yield from _cut("confidence", names, reference.confidences, window.confidences)
    yield from _named("tier", "cases that ended at the tier {}", reference.tiers, window.tiers)
    yield from _reviewed(reference, window)


def crowding(signal: Signal, name: str, around: Surroundings, before: int) -> Finding:
    """Of the places around each case of a window, the one in which the window's crowd least likely by chance."""
    window = len(around.chance)
    best = int(around.chance.argmin())
    inside = int(around.inside[best]) + 1  # and the case in the middle
    rest = int(around.size[best]) + 1 - inside
    p = min(1.0, window * float(around.chance[best]))
    return _finding(signal, name, (rest / before, inside / window), (before, window), p, moved(around))


def _distance(reference: Embeddings, window: Embeddings) -> Finding:
    """Half of the reference says what is near, and the other half how far its like may be from that: no case measures itself."""
    anchors, others = reference[::2], reference[1::2]
    near, far = ((cases @ anchors.T).max(axis=1) for cases in (others, window))
    allowed = floor(FAR * len(others)) + 1
    edge = np.sort(near)[allowed - 1]
    beyond = far < edge
    # The window has `count` cases before the reference has `allowed`: so the first count + allowed - 1 have fewer of these.
    count = int(beyond.sum())
    ahead = chances(len(others) + len(window), len(others), count + allowed - 1)
    p = float(ahead[:allowed].sum()) if count else 1.0
    shares = float((near < edge).mean()), count / len(window)
    name = f"cases less like any reference case than {_percent(1 - FAR)} of the reference's own"
    return _finding("out_of_scope", name, shares, (len(others), len(window)), min(1.0, p), np.flatnonzero(beyond))


def _cut(signal: Signal, names: tuple[str, str], before: Values, after: Values) -> Iterator[Finding]:
    """The values up to a cut against those above it."""
    values = np.concatenate([before, after])
    known = values[~np.isnan(values)]
    if not len(known):
        return
    cuts = np.unique(np.quantile(known, CUTS, method="lower"))
    below, above = names
    groups = [_Group(below.format(cut), values <= cut, above.format(cut)) for cut in cuts[cuts < known.max()].tolist()]
    yield from _telling(signal, groups, ~np.isnan(values), len(before))


def _named(signal: Signal, name: str, before: Sequence[str | None], after: Sequence[str | None]) -> Iterator[Finding]:
    values = [*before, *after]
    kinds = {kind: code for code, kind in enumerate(sorted({value for value in values if value is not None}))}
    codes = np.array([-1 if value is None else kinds[value] for value in values], np.int64)
    groups = [_Group(name.format(f'"{kind}"'), codes == code) for kind, code in kinds.items()]
    yield from _telling(signal, groups, codes >= 0, len(before))


def _telling(signal: Signal, groups: Sequence[_Group], known: NDArray[np.bool_], before: int) -> Iterator[Finding]:
    """The group whose share has moved least likely by chance, among the cases of which something is known."""
    past, here = int(known[:before].sum()), int(known[before:].sum())
    if not (past and here):
        return
    drawn = [int((group.inside & known)[before:].sum()) for group in groups]
    of = [int((group.inside & known).sum()) for group in groups]
    p_values = [two_sided(count, chances(past + here, all_, here)) for count, all_ in zip(drawn, of, strict=True)]
    if not groups:  # all cases have one value: nothing can have moved
        yield _finding(signal, f"cases of the same {signal}", (1.0, 1.0), (past, here), 1.0, np.empty(0, np.intp))
        return
    best = min(range(len(groups)), key=p_values.__getitem__)
    shares, group = ((of[best] - drawn[best]) / past, drawn[best] / here), groups[best]
    name, inside = group.name, group.inside & known
    if shares[1] < shares[0] and group.others is not None:
        name, inside, shares = group.others, ~group.inside & known, (1 - shares[0], 1 - shares[1])
    cases = np.flatnonzero(inside[before:]) if shares[1] > shares[0] else np.empty(0, np.intp)
    yield _finding(signal, name, shares, (past, here), min(1.0, len(groups) * p_values[best]), cases)


def _reviewed(reference: Cases, window: Cases) -> Iterator[Finding]:
    """How many reviewed answers are right, against the reference's in the same band of confidence: each band's number is
    hypergeometric given its totals, and their sum is tested (the exact form of Mantel and Haenszel's test)."""
    stated, right = (np.concatenate([getattr(one, name) for one in (reference, window)]) for name in ("stated", "right"))
    if not (len(reference.stated) and len(window.stated)):
        return
    bands = 1 + len(stated) // BAND
    band = np.searchsorted(np.quantile(stated, np.arange(1, bands) / bands), stated)
    here = np.arange(len(stated)) >= len(reference.stated)
    together, seen, expected, n, past = np.ones(1), 0, 0.0, 0, 0
    for members in (band == at for at in range(bands)):
        drawn, others = members & here, members & ~here
        if not (drawn.any() and others.any()):
            continue
        count, of = int(drawn.sum()), int(right[members].sum())
        together = np.convolve(together, chances(int(members.sum()), of, count))
        seen += int(right[drawn].sum())
        expected += count * float(right[others].mean())
        n, past = n + count, past + int(others.sum())
    if n:
        shares, claimed = (expected / n, seen / n), float(stated[here].mean())
        name = f"right answers among reviewed ones, which are {_percent(claimed)} sure on average,"
        yield _finding("calibration", name, shares, (past, n), two_sided(seen, together), np.empty(0, np.intp))


def _finding(
    signal: Signal, name: str, shares: tuple[float, float], n: tuple[int, int], p: float, cases: NDArray[np.intp]
) -> Finding:
    before, after = shares
    moves = "stayed at" if after == before else f"{'rose' if after > before else 'fell'} from {_percent(before)} to"
    sentence = f"The share of {name} {moves} {_percent(after)} ({n[1]:,} against {n[0]:,} in the reference)."
    return Finding(signal, sentence, before, after, n[1], n[0], p, tuple(cases.tolist()))


def _percent(share: float) -> str:
    return spell(share, "share")
