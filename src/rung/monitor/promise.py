"""Turns people's verdicts on a random part of what was answered without them into whether the promise is being kept.

Knows nothing about cases, releases or the ledger: only, in the order in which the cases were drawn, whether each answer was wrong
and how much it weighs. The order and the weights must not depend on the verdicts. An answer that nobody judged speaks for no
claim: it counts as right where "broken" is to be proven, as wrong where "kept" is.

Every claim holds with the promise's confidence, one-sided, at all times together and however often one looks:

- "broken": over some stretch of reviews up to that moment the share wrong was above the promise. After that all begins anew, and
  it stays said until what is reviewed then proves the promise kept.
- "kept": the share wrong, on average since the first review, or since the promise was last proven broken, is at most the promise.
  It is said for as long as the evidence carries it.

Over the whole life of a promise that is kept, the chance that it is ever called broken is at most 1 - confidence: although each
new beginning has a chance of its own, a second false alarm needs a first. Methods: `rung.statistics.sequential`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rung.statistics.sequential import MOST, Hits, Share, Turn, weighed
from rung.workload import Promise

BLOCK = 1024  # reviews at a time: after an alarm the rest is read again

State: TypeAlias = Literal["unknown", "broken", "kept"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a promise.

    `reviewed` answers, `wrong` of them, between them `unjudged` ones, since the first or since the last proof that the promise is
    broken: all else but `proof` speaks of these. `share` (0..1) estimates the share wrong among all answers, weighted; None of
    none. It is `at_least` and `at_most` so much, each by itself with the promise's confidence. `more`: after how many further
    reviews the promise will probably be known to be broken or kept, if they are like those so far (before the first: half as many
    wrong as promised); 0 if it is known; None if a hundred thousand are too few. `proof`: of a broken promise the wrong and all
    sampled answers of the stretch that proved it, which began after `began` of them.
    """

    promise: Promise
    state: State
    reviewed: int
    wrong: int
    share: float | None
    at_least: float
    at_most: float
    more: int | None
    proof: tuple[int, int] | None
    unjudged: int = 0
    began: int = 0

    @property
    def sentence(self) -> str:
        """The standing in words, for people."""
        promised = f"at most {self.promise.error * 100:g}% were promised, with {self.promise.confidence * 100:g}% confidence"
        said = "no answer has been reviewed"
        if self.reviewed:
            said = f"{self.wrong:,} of {self.reviewed:,} reviewed answers {'was' if self.wrong == 1 else 'were'} wrong, "
            said += f"which proves at least {self.at_least:.2%} and at most {self.at_most:.2%} among all answers"
            said += f", though nobody judged {self.unjudged:,} more of the sample" if self.unjudged else ""
        if self.state == "kept":
            return f"Kept: {said}; {promised}."
        if self.proof:
            wrong, reviewed = self.proof
            return f"Broken: of {reviewed:,} sampled answers in a row {wrong:,} were wrong; {promised}. Since then {said}."
        told = "would not tell" if self.more is None else "will tell"
        count = f"even {MOST:,}" if self.more is None else f"about {self.more:,}"
        ahead = f"If this goes on, {count} more {told}" if self.reviewed else f"If half as many are wrong, {count} reviews {told}"
        return f"Not known yet: {said}; {promised}. {ahead}."

    def document(self) -> dict[str, Any]:
        """The standing as JSON shows it; shares are 0..1."""
        return {
            "state": self.state,
            "promised": {"error_share_at_most": self.promise.error, "confidence": self.promise.confidence},
            "reviewed": self.reviewed,
            "wrong": self.wrong,
            "unjudged": self.unjudged,
            "share": self.share,
            "share_at_least": self.at_least,
            "share_at_most": self.at_most,
            "further_reviews": self.more,
            "proof": None if self.proof is None else dict(zip(("wrong", "reviewed"), self.proof, strict=True)),
            "sentence": self.sentence,
        }


class LivePromise:
    """The watch over one promise: of a release, or of a tier or a slice of it. It starts anew with each release."""

    __slots__ = ("_alarm", "_began", "_clear", "_promise", "_proof", "_seen", "_share")

    def __init__(self, promise: Promise) -> None:
        """Nothing has been reviewed yet."""
        self._promise = promise
        self._proof: tuple[int, int] | None = None
        self._seen = self._began = 0
        self._begin()

    def update(self, wrong: Hits, weights: Sequence[float] | NDArray[np.float64] | None = None) -> None:
        """Takes further answers: whether each was wrong, None if nobody judged it, and its weight, above 0 and at most 1, in
        inverse proportion to the chance with which the case was drawn; without, all are 1. In any portions the same answers give
        the same standing. `ValueError` if there is not one such weight for each."""

        hits, heavy = np.asarray(wrong, np.float64), weighed(weights, len(wrong))
        while len(hits):
            taken = self._alarm.until(hits[:BLOCK], heavy[:BLOCK])
            seen, (hits, heavy) = (hits[:taken], heavy[:taken]), (hits[taken:], heavy[taken:])
            self._share.update(*seen)
            self._seen += taken
            if self._proof:
                self._clear.until(*seen)
            if self._clear.proven:
                self._proof = None
            if self._alarm.proven:
                self._proof = self._alarm.stretch()
                self._began = self._seen - self._proof[1]
                self._begin()

    def standing(self) -> Standing:
        """What is known now."""
        share, promise = self._share, self._promise
        low, high = share.bounds()
        state: State = "broken" if self._proof else "kept" if high <= promise.error else "unknown"
        more = share.more() if state == "unknown" else 0
        counts, bounds = (share.observed, share.hits), (share.estimate, low, high)
        return Standing(promise, state, *counts, *bounds, more, self._proof, share.unknown, self._began)

    def _begin(self) -> None:
        promise, alpha = self._promise, 1 - self._promise.confidence
        self._share = Share(promise.error, promise.confidence)
        self._alarm, self._clear = Turn(promise.error, alpha), Turn(promise.error, alpha, falling=True)
