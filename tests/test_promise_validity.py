"""The promise, put to the proof: in a thousand simulated calibrations it may be broken in at most 1 - confidence of them.

Each law below says how confidence and rightness come about, so that the true error at a level is known: it is measured once on
200,000 fresh cases. "At most 1 - confidence" has a margin: the upper 99.9 % quantile of Binomial(1000, 1 - confidence).
The rehearsals are small on purpose: they draw few levels, which keeps a thousand walks short.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from rung.cascade.promise import Judged, PromiseError, Threshold, derive, levels
from rung.workload import Promise

Law = Callable[[np.random.Generator, int], Judged]
Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]

REHEARSALS = 10
CALIBRATIONS = 100  # on each rehearsal
FRESH = 200_000
REHEARSED = 60


def one_tier(right_at: Curve) -> Law:
    """Confidence is uniform on 0..1, and what a confidence is worth is up to the curve."""

    def law(rng: np.random.Generator, cases: int) -> Judged:
        confidence = rng.random(cases)
        return Judged(confidence[:, None], (rng.random(cases) < right_at(confidence))[:, None])

    return law


def three_tiers(rng: np.random.Generator, cases: int) -> Judged:
    """Hard cases are hard for every tier, confidence is noisy and in steps of 0.02 (ties), and checks object, mostly rightly."""
    hard = rng.random(cases)
    confidence, right = np.empty((cases, 3)), np.empty((cases, 3), np.bool_)
    for tier, skill in enumerate((0.7, 0.85, 0.95)):
        ease = 12 * (skill - hard)
        right[:, tier] = rng.random(cases) < 1 / (1 + np.exp(-ease))
        confidence[:, tier] = np.round(50 / (1 + np.exp(-ease - rng.normal(0, 1.5, cases)))) / 50
        confidence[rng.random(cases) < np.where(right[:, tier], 0.03, 0.4), tier] = -1.0
    return Judged(confidence, right)


def equally_sure(rng: np.random.Generator, cases: int) -> Judged:
    """One confidence for everything, an error of 5.2 %: at most 2 of 124 wrong, which passes at 5 %, has a chance of 4.2 %."""
    return Judged(np.full((cases, 1), 0.8), rng.random((cases, 1)) < 0.948)


good = one_tier(lambda confidence: 1 - 0.3 * (1 - confidence) ** 2)
better = one_tier(lambda confidence: 1 - 0.05 * (1 - confidence) ** 2)
bad = one_tier(lambda confidence: np.full(len(confidence), 0.6))
little_too_bad = one_tier(lambda confidence: np.full(len(confidence), 0.948))
overconfident = one_tier(lambda confidence: np.where(confidence > 0.9, 0.7, 0.99))


@dataclass(frozen=True)
class Scene:
    law: Law
    rehearsed: Law
    cases: int
    promise: Promise


SCENES = {
    "a good model": Scene(good, good, 300, Promise(0.05, 0.95)),
    "a bad model": Scene(bad, bad, 300, Promise(0.05, 0.95)),
    "a model a little too bad": Scene(little_too_bad, little_too_bad, 300, Promise(0.05, 0.95)),
    "a model as sure of everything": Scene(equally_sure, equally_sure, 124, Promise(0.05, 0.95)),
    "a model wrong where it is surest": Scene(overconfident, overconfident, 300, Promise(0.05, 0.95)),
    "three tiers with checks": Scene(three_tiers, three_tiers, 400, Promise(0.05, 0.9)),
    "few calibration cases": Scene(good, good, 40, Promise(0.1, 0.9)),
    "a rehearsal that was too easy": Scene(good, better, 300, Promise(0.05, 0.9)),
    "a rehearsal that was too hard": Scene(better, good, 300, Promise(0.05, 0.9)),
}


def derived(scene: Scene, seed: int) -> list[Threshold | PromiseError]:
    """What a thousand calibrations come to."""
    rng = np.random.default_rng(seed)
    ends: list[Threshold | PromiseError] = []
    for _ in range(REHEARSALS):
        sequence = levels(scene.rehearsed(rng, REHEARSED), scene.cases, scene.promise)
        for _ in range(CALIBRATIONS):
            try:
                ends.append(derive(scene.law(rng, scene.cases), scene.promise, sequence, 0.2))
            except PromiseError as refusal:
                ends.append(refusal)
    return ends


def broken(scene: Scene, ends: list[Threshold | PromiseError]) -> int:
    """How many of them lead to a level whose true error is above the promise."""
    fresh = scene.law(np.random.default_rng(0), FRESH)
    reached = [end.level for end in ends if isinstance(end, Threshold)]
    tallies = {level: fresh.tally(level) for level in set(reached)}
    above = {level for level, (answered, wrong) in tallies.items() if wrong > scene.promise.error * answered}
    return sum(level in above for level in reached)


@pytest.mark.parametrize("name", SCENES)
def test_the_promise_is_broken_in_no_more_calibrations_than_stated(name: str) -> None:
    scene = SCENES[name]
    allowed = binom.ppf(0.999, REHEARSALS * CALIBRATIONS, 1 - scene.promise.confidence)
    assert broken(scene, derived(scene, seed=1)) <= allowed


def test_a_bad_model_is_nearly_always_refused() -> None:
    ends = derived(SCENES["a bad model"], seed=2)
    assert sum(isinstance(end, PromiseError) for end in ends) > 990


def test_a_good_model_nearly_always_gets_an_answer() -> None:
    ends = derived(Scene(better, better, 300, Promise(0.05, 0.95)), seed=3)
    answered = [end.answered for end in ends if isinstance(end, Threshold)]
    assert len(answered) > 950
    assert np.mean(answered) > 0.9 * 300


@pytest.mark.parametrize("cases", [40, 150])
def test_with_as_much_more_gold_as_the_refusal_asks_for_it_mostly_passes(cases: int) -> None:
    share, promise = 0.2, Promise(0.05, 0.95)
    refused = [str(end) for end in derived(Scene(good, good, cases, promise), seed=4) if isinstance(end, PromiseError)]
    asked = [re.search(r"About ([\d,]+) further gold cases", text) for text in refused]
    further = [int(found[1].replace(",", "")) for found in asked if found is not None][::15]
    assert len(further) >= 30
    rng, passed = np.random.default_rng(5), 0
    for more in further:
        grown = cases + int(more * share)
        with contextlib.suppress(PromiseError):
            derive(good(rng, grown), promise, levels(good(rng, 200), grown, promise), share)
            passed += 1
    assert passed > 0.6 * len(further)
