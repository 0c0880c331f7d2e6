"""The live promise over simulated reviews, looked at after every one: false alarms, and how soon a doubled error is found.

Needs no data. Each detection has a peer that sees the same reviews and knows more: that the error doubles, not merely rises, and
when; or, for a late doubling, that it does so at one of a stream's 10,000 moments, all alike (the capital divided evenly among
them). No watch that keeps its false alarms in bounds for so long can be much faster than that.
"""

from __future__ import annotations

import argparse
import time
from math import ceil, log, log1p

import numpy as np
from numpy.typing import NDArray
from stage import arguments, interval, verdict

from rung.monitor.promise import LivePromise
from rung.statistics.sequential import Turn
from rung.workload import Promise

STREAMS, REVIEWS, CONFIDENCE = 2000, 5000, 0.95
LIFE = 10_000  # reviews at any of which the error may double
ALARMS, SLOWER, SECONDS = 0.05, 1.2, 0.5
GOOD = 2000  # reviews at half the promise before a late doubling


def main() -> None:
    streams = arguments_of().streams
    for error in (0.02, 0.05):
        for doubt in (1.0, 5.0):
            false_alarms(error, doubt, streams)
    for error in (0.02, 0.05):
        doubled(error, streams)
        doubled_late(error, streams)
        weighted(error, streams)
    speed()


def arguments_of() -> argparse.Namespace:
    parser = arguments(__doc__ or "")
    parser.add_argument("--streams", type=int, default=STREAMS)
    return parser.parse_args()


def draw(chance: np.random.Generator, error: float, count: int, doubt: float) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Reviews of cases of which a tenth is in doubt: three times as often wrong as the rest, drawn `doubt` times as often."""
    unsure = chance.random(count) < 0.1 * doubt / (0.1 * doubt + 0.9)
    return chance.random(count) < np.where(unsure, 3, 1) * error / 1.2, np.where(unsure, 1 / doubt, 1.0)


def false_alarms(error: float, doubt: float, streams: int) -> None:
    chance, alarms, clears = np.random.default_rng(1), 0, 0
    for _ in range(streams):
        watch = LivePromise(Promise(error, CONFIDENCE))
        wrong, weights = draw(chance, error, REVIEWS, doubt)
        watch.update(wrong, weights)
        alarms += watch.standing().reviewed < REVIEWS  # after an alarm the count begins anew
        clear = Turn(error * 1.0001, 1 - CONFIDENCE, falling=True)
        clear.until(wrong, weights)
        clears += clear.proven
    drawn = "equal chances" if doubt == 1 else f"cases in doubt {doubt:g} times as often"
    print(f"error = promise = {error:.0%}, {drawn}, {streams:,} streams of {REVIEWS:,} reviews")
    said = verdict(alarms / streams, ALARMS, at_most=True)
    print(f"  called broken: {interval(alarms, streams)}   limit {ALARMS:.0%} {said}; called kept though just not: ", end="")
    print(interval(clears, streams), flush=True)


def first(reached: NDArray[np.bool_]) -> int:
    return int(reached.argmax()) + 1 if reached.any() else len(reached)


def growth(wrong: NDArray[np.bool_], error: float) -> NDArray[np.float64]:
    """The logarithms of the likelihood ratios of twice the error to it."""
    return np.where(wrong, log(2), log1p(-2 * error) - log1p(-error))


def divergence(error: float) -> float:
    return 2 * error * log(2) + (1 - 2 * error) * (log1p(-2 * error) - log1p(-error))


def doubled(error: float, streams: int) -> None:
    chance, sure, count = np.random.default_rng(2), -log(1 - CONFIDENCE), ceil(160 / error)
    took, needed = np.empty(streams), np.empty(streams)
    for at in range(streams):
        wrong = chance.random(count) < 2 * error
        took[at] = Turn(error, 1 - CONFIDENCE).until(wrong, np.ones(count))
        needed[at] = first(np.cumsum(growth(wrong, error)) >= sure)
    print(f"{error:.0%} promised, {2 * error:.0%} from the first review on: ", end="")
    compare(took, needed, sure / divergence(error))


def doubled_late(error: float, streams: int) -> None:
    chance, sure, count = np.random.default_rng(3), -log(1 - CONFIDENCE), LIFE
    took, needed, told, whole = (np.empty(streams) for _ in range(4))
    for at in range(streams):
        wrong = chance.random(count) < np.where(np.arange(count) < GOOD, error / 2, 2 * error)
        took[at] = Turn(error, 1 - CONFIDENCE).until(wrong, np.ones(count)) - GOOD
        steps = growth(wrong, error)
        path = np.cumsum(steps)
        even = path + np.logaddexp.accumulate(steps - path - log(count))  # the capital divided evenly among the moments
        needed[at] = first(even >= sure) - GOOD
        told[at] = first(np.cumsum(steps[GOOD:]) >= sure)
        whole[at] = first(path >= sure) - GOOD
    print(f"{error:.0%} promised, {error / 2:.1%} for {GOOD:,} reviews, then {2 * error:.0%}: ", end="")
    compare(took, needed, (sure + log(count * divergence(error))) / divergence(error))
    print(f"  who knows the moment: {told.mean():,.0f}; who bets on all of the past alone: {whole.mean():,.0f}", flush=True)


def weighted(error: float, streams: int) -> None:
    chance, count = np.random.default_rng(4), ceil(300 / error)
    took = [Turn(error, 1 - CONFIDENCE).until(*draw(chance, 2 * error, count, 5.0)) for _ in range(streams)]
    print(
        f"{error:.0%} promised, {2 * error:.0%}, cases in doubt 5 times as often: mean {np.mean(took):,.0f} reviews", flush=True
    )


def compare(took: NDArray[np.float64], needed: NDArray[np.float64], theory: float) -> None:
    ratio = took.mean() / needed.mean()
    print(f"mean {took.mean():,.0f} reviews, median {np.median(took):,.0f}, 90% within {np.quantile(took, 0.9):,.0f}; ", end="")
    print(f"who knows it: mean {needed.mean():,.0f}, median {np.median(needed):,.0f}; by the rate of growth {theory:,.0f}")
    print(f"  mean / mean {ratio:.2f}   limit {SLOWER} {verdict(ratio, SLOWER, at_most=True)}", flush=True)


def speed() -> None:
    chance = np.random.default_rng(5)
    wrong = chance.random(50_000) < 0.02
    for name, weights in (("equal weights", None), ("all weights different", chance.uniform(0.1, 1, 50_000))):
        began, watch = time.perf_counter(), LivePromise(Promise(0.02, CONFIDENCE))
        watch.update(wrong, weights)
        watch.standing()
        took = time.perf_counter() - began
        print(f"50,000 reviews, {name}: {took:.2f} s   limit {SECONDS} s {verdict(took, SECONDS, at_most=True)}")
    began = time.perf_counter()
    for at in range(1000):
        watch.update(wrong[at : at + 1])
    print(f"one review more: {time.perf_counter() - began:.2f} ms")


if __name__ == "__main__":
    main()
