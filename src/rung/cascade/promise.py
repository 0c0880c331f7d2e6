"""Turns judged answers into the acceptance level that keeps a promise, or into a refusal that says what is missing.

It knows nothing about models or text: only, for each case and tier, how confident the tier was and whether it was right.

Method: Learn-then-Test (Angelopoulos, Bates, Candes, Jordan, Lei 2021, arXiv:2110.01052, section 2.3) with fixed-sequence
testing over the acceptance level. At one level the cascade answers n of the calibration cases without a person, k of them
wrongly; given n, k is binomial in the true error among answered cases, so P(Bin(n, error) <= k) is an exact p-value for
"the true error is above the promise". Levels are tested from cautious to bold, each at 1 - confidence, and the walk stops at
the first that fails: the chance that any level it passed breaks the promise is at most 1 - confidence. The order of the
levels must not depend on the calibration cases; `levels` draws it from other data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from rung.core import RungError
from rung.statistics.binomial import binomial_tail, lower_bound, upper_bound
from rung.workload import Promise

STEPS = 400  # levels tried between "answer what is surest" and "answer everything"
MOST = 100_000  # calibration cases: people do not agree on more answers than that


class PromiseError(RungError):
    """Calibration cannot support the promise, or the test split contradicts it."""

    code = "promise_not_kept"
    exit_status = 1


@dataclass(frozen=True, slots=True)
class Judged:
    """What every tier said about the same n cases, smallest tier first.

    `confidence` [n, tiers]: probability that the tier's whole answer is right; negative where a check objected or there was no
    answer. `right` [n, tiers]: whether it was.
    """

    confidence: NDArray[np.float64]
    right: NDArray[np.bool_]

    def __len__(self) -> int:
        """The number of cases."""
        return len(self.confidence)

    def stops(self, level: float) -> NDArray[np.intp]:
        """The tier at which each case stops, or -1 where a person decides."""
        trusted = self.confidence >= level
        return np.where(trusted.any(axis=1), trusted.argmax(axis=1), -1)

    def tally(self, level: float) -> tuple[int, int]:
        """How many cases are answered without a person at this level, and how many of those wrongly."""
        stop = self.stops(level)
        answered = np.flatnonzero(stop >= 0)
        return len(answered), int((~self.right[answered, stop[answered]]).sum())


@dataclass(frozen=True, slots=True)
class Threshold:
    """The derived acceptance level and the evidence for it: of `cases`, which `source` names, `answered` were answered, `wrong`
    of them wrongly. `bound` is the exact bound on the error at this level by itself; what the walk proves is the promise."""

    level: float
    cases: int
    answered: int
    wrong: int
    bound: float
    source: str = "calibration cases"


def levels(rehearsal: Judged, cases: int, promise: Promise) -> list[float]:
    """The levels to test on `cases` calibration cases, cautious to bold, drawn from a rehearsal on other cases.

    The walk starts where the rehearsal says the test has its best chance: before that too few cases are answered for any
    bound, and a walk that starts there stops there. Every tier's confidences are steps, or a sure large tier would hide the
    levels at which a small one begins to answer. No level is 0: a confidence of 0 says that the answer cannot be judged.
    """
    steps = np.sort(rehearsal.confidence[rehearsal.confidence > 0])[::-1]
    if not len(steps):
        return []
    ladder = np.unique(steps[np.linspace(0, len(steps) - 1, STEPS).astype(int)])[::-1]
    scale = cases / len(rehearsal)
    chances: list[float] = []
    for level in ladder:
        answered, wrong = rehearsal.tally(float(level))
        chances.append(binomial_tail(round(wrong * scale), round(answered * scale), promise.error))
    return [float(level) for level in ladder[int(np.argmin(chances)) :]]


def derive(calibration: Judged, promise: Promise, sequence: Sequence[float], share: float) -> Threshold:
    """The boldest level of the sequence that the walk reaches.

    Raises `PromiseError` if it fails at the first step, with the number of further gold cases that would probably be enough
    when this `share` of them goes to calibration.
    """
    reached: float | None = None
    for level in sequence:
        answered, wrong = calibration.tally(level)
        if binomial_tail(wrong, answered, promise.error) > 1 - promise.confidence:
            break
        reached = level
    if reached is None:
        raise PromiseError(_refusal(calibration, promise, sequence, share))
    answered, wrong = calibration.tally(reached)
    return Threshold(reached, len(calibration), answered, wrong, upper_bound(wrong, answered, promise.confidence))


def contradiction(wrong: int, answered: int, promise: Promise) -> str | None:
    """Why a test split contradicts the promise, or None: its lower bound on the error lies above what was promised."""
    at_least = lower_bound(wrong, answered, promise.confidence)
    if at_least <= promise.error:
        return None
    return (
        f"the test split contradicts the promise: {wrong} of {answered} answers are wrong, so the error is at least "
        f"{at_least:.2%} with {promise.confidence * 100:g}% confidence, and {promise.error * 100:g}% was promised. Check the "
        "gold for label errors and for cases that differ between the splits."
    )


def cases_needed(answered_share: float, error: float, promise: Promise) -> int | None:
    """Calibration cases at which a cascade answering this share at this error would probably pass; None if `MOST` are too few.

    Planned for a standard deviation more wrong answers than expected: four times in five there are no more than that.
    """

    def enough(cases: int) -> bool:
        answered = int(cases * answered_share)
        wrong = int(error * answered + (error * (1 - error) * answered) ** 0.5)
        return binomial_tail(wrong, answered, promise.error) <= 1 - promise.confidence

    if error >= promise.error or not enough(MOST):
        return None
    low, high = 0, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _refusal(calibration: Judged, promise: Promise, sequence: Sequence[float], share: float) -> str:
    """Speaks of the walk's first level alone: no look at the calibration cases chose it, so its bound holds as it stands."""
    cases = len(calibration)
    answered, wrong = calibration.tally(sequence[0]) if sequence else (0, 0)
    bound = upper_bound(wrong, answered, promise.confidence)
    said = (
        f"calibration cannot support the promise of at most {promise.error * 100:g}% wrong with {promise.confidence * 100:g}% "
        f"confidence: where its chance is best, {answered:,} of the {cases:,} calibration cases are answered, {wrong:,} of them "
        "wrongly. "
    )
    if bound < 1:
        said += f"That could support a promise of about {ceil(bound * 1000) / 1000:.1%}. "
    # Half an error in as many cases as the promise allows one in: what is assumed before any case is seen.
    error = (wrong + 0.5) / (answered + 1 / promise.error)
    enough = cases_needed(answered / cases if cases else 1.0, error, promise)
    if enough is None:
        return said + "More gold alone would not be enough: the model must get better, or the promise must be weaker."
    further = ceil(max(enough - cases, 1) / share)
    return said + f"About {further:,} further gold cases would be needed at this error, or a better model."
