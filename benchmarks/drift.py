"""Drift on Banking77: false alarms over months of stable traffic, and cases until an intent that never came before is found.

Traffic is the set's own texts, none twice, in random order; what the signals see is what the encoder, a small classifier and a
tier's threshold make of them. A twentieth of the answers is reviewed. A new intent is held out of everything before.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from stage import arguments, interval, read_table, verdict

from rung.models.encoder import open_encoder
from rung.monitor.cases import Cases
from rung.monitor.drift import EVERY, REFERENCE, WINDOW, budget, compare

GOLD = 3000  # cases that the classifier learns from
MONTH = 3000  # cases in a simulated month of stable traffic
ALARMS, NEW, WITHIN = 0.05, 0.05, 1000  # the limits: of months, and the share of traffic found within so many cases
MONTHLY = (10_000, 100_000, 1_000_000)  # cases a month, by which a look's level follows where a new intent is looked for
LONGEST = 2000  # cases after which a search is given up
INTENTS, RUNS, DRAWS = 16, 8, 3


@dataclass(frozen=True)
class Pool:
    """Everything known of every text."""

    embeddings: NDArray[np.float32]
    intents: NDArray[Any]
    lengths: NDArray[np.int64]


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--months", type=int, default=200)
    given = parser.parse_args()
    rows = read_table(given.data, "banking77")
    if rows is None:
        return
    texts = [text for part in rows for text, _ in part]
    intents = np.array([label for part in rows for _, label in part])
    pool = Pool(open_encoder().embed(texts), intents, np.array([len(text) for text in texts]))
    print(
        f"{len(texts):,} texts, {len(set(intents.tolist()))} intents; reference {REFERENCE:,}, the last {WINDOW:,} every {EVERY}"
    )
    chance = np.random.default_rng(0)
    held = chance.choice(np.unique(intents), INTENTS, replace=False).tolist()
    find_new(pool, held)
    compare_tests(pool, held)
    stay_stable(pool, given.months)


def stay_stable(pool: Pool, months: int) -> None:
    alarms, signals, looks, began = 0, list[str](), list(range(WINDOW, MONTH + 1, EVERY)), time.perf_counter()
    for month in range(months):
        order = np.random.default_rng([1, month]).permutation(len(pool.intents))
        seen = classify(pool, order, order[:GOLD])
        past, traffic = part(seen, GOLD, GOLD + REFERENCE), GOLD + REFERENCE
        drifted = [
            finding.signal
            for at in looks
            for finding in compare(past, part(seen, traffic + at - WINDOW, traffic + at), budget(30 / len(looks)))
            if finding.drifted
        ]
        alarms += bool(drifted)
        signals += sorted(set(drifted))
        if sys.stdout.isatty():
            print(f"\r{month + 1} months, {alarms} with a false alarm", end="", flush=True)
    spent = (time.perf_counter() - began) / months / len(looks)
    print(f"\rstable months with a false alarm {interval(alarms, months)} of {months}, {len(looks)} looks each ", end="")
    reached = verdict(alarms / months, ALARMS, at_most=True)
    print(f"(limit {ALARMS:.0%} {reached}); by {signals or 'no signal'}; {spent:.2f} s a look")


def find_new(pool: Pool, held: list[str]) -> None:
    """From a random moment on a twentieth of the cases is of the new intent; a look every `EVERY` cases, as before."""
    found: dict[int, list[float]] = {volume: [] for volume in MONTHLY}
    slowest: dict[str, float] = {}
    shown: list[tuple[float, float]] = []
    for intent in held:
        for run in range(RUNS):
            chance = np.random.default_rng([2, run, held.index(intent)])
            seen, past, new, onset = with_new(pool, intent, chance)
            values: list[tuple[int, float]] = []
            for at in range(onset // EVERY * EVERY + EVERY, onset + LONGEST + 1, EVERY):
                start = REFERENCE + at - WINDOW
                p_values = [one.adjusted for one in compare(past, part(seen, start, start + WINDOW), 0.0)]
                values.append((at - onset, min(p_values)))
                if values[-1][1] <= budget(30 * EVERY / MONTHLY[-1]):
                    shown.append(describe_cluster(past, part(seen, start, start + WINDOW), new[start : start + WINDOW]))
                    break
            for volume, times in found.items():
                level = budget(30 * EVERY / volume)
                times.append(next((float(cases) for cases, p in values if p <= level), np.inf))
            slowest[intent] = max(slowest.get(intent, 0.0), found[MONTHLY[0]][-1])
    for volume, times in found.items():
        within = sum(cases <= WITHIN for cases in times)
        median, most = np.quantile(times, [0.5, 0.9], method="higher")
        print(
            f"a new intent at {NEW:.0%}, {volume:,} cases a month: found within {WITHIN:,} cases {interval(within, len(times))}",
            end="",
        )
        print(f" of {len(times)} runs; after {median:,.0f} cases, 90 % after {most:,.0f} (limit {WITHIN:,} ", end="")
        print(f"{verdict(float(most), WITHIN, at_most=True)})")
    print(
        "  slowest of its runs:",
        ", ".join(f"{name} {cases:,.0f}" for name, cases in sorted(slowest.items(), key=lambda x: -x[1])[:5]),
    )
    recall, purity = np.median(np.array(shown), axis=0)
    print(
        f"  the cluster shown first: {recall:.0%} of the window's cases of the new intent, {purity:.0%} of it are such (medians)"
    )


def with_new(pool: Pool, intent: str, chance: np.random.Generator) -> tuple[Cases, Cases, NDArray[np.bool_], int]:
    """Reference and traffic in a row, the reference, which of the row are new, and after how many cases of traffic they begin."""
    old = chance.permutation(np.flatnonzero(pool.intents != intent))
    fresh = chance.permutation(np.flatnonzero(pool.intents == intent))
    onset = WINDOW + int(chance.integers(EVERY))
    row = old[GOLD : GOLD + REFERENCE + onset + LONGEST + EVERY].copy()
    new = np.zeros(len(row), np.bool_)
    new[REFERENCE + onset :] = chance.random(len(row) - REFERENCE - onset) < NEW
    new[np.flatnonzero(new)[len(fresh) :]] = False  # none comes twice
    row[new] = fresh[: new.sum()]
    seen = classify(pool, row, old[:GOLD])
    return seen, part(seen, 0, REFERENCE), new, onset


def describe_cluster(past: Cases, window: Cases, new: NDArray[np.bool_]) -> tuple[float, float]:
    """Of the first cluster, the share of the new cases that it holds, and the share of it that is new."""
    clusters = next(one.clusters for one in compare(past, window, 0.001) if one.signal == "embedding")
    if not clusters:
        return 0.0, 0.0
    right = int(new[list(clusters[0].members)].sum())
    return right / int(new.sum()), right / clusters[0].size


def compare_tests(pool: Pool, held: list[str]) -> None:
    """One window with a twentieth of a new intent against a reference half as large as usual, at one level for all tests."""
    level, tests = budget(30 / 20) / 7, {"MMD": by_mmd, "linear classifier": by_classifier}
    found: dict[str, list[bool]] = {name: [] for name in ("neighbourhoods", "out of scope", *tests)}
    for intent in held:
        for draw in range(DRAWS):
            chance = np.random.default_rng([3, draw, held.index(intent)])
            new = chance.permutation(np.flatnonzero(pool.intents == intent))[: int(NEW * WINDOW)]
            old = chance.permutation(np.flatnonzero(pool.intents != intent))[: REFERENCE // 2 + WINDOW - len(new)]
            one, other = pool.embeddings[old[: REFERENCE // 2]], pool.embeddings[np.r_[old[REFERENCE // 2 :], new]]
            crowding, distance = compare(Cases(embeddings=one), Cases(embeddings=other), 0.0)
            found["neighbourhoods"].append(crowding.p <= level)
            found["out of scope"].append(distance.p <= level)
            for name, test in tests.items():
                found[name].append(test(one, other, chance) <= level)
    print(f"one window of {WINDOW:,} against {REFERENCE // 2:,}, each test alone at {level:.1g}, found:")
    for name, hits in found.items():
        print(f"  {name:20} {interval(sum(hits), len(hits))} of {len(hits)}")


def by_mmd(one: NDArray[np.float32], other: NDArray[np.float32], chance: np.random.Generator) -> float:
    """Maximum mean discrepancy, Gaussian kernel of the median distance (Gretton et al. 2012); 200 permutations, whose mean and
    spread give a normal p-value: counting could not go as low."""
    both, n = np.concatenate([one, other]), len(other)
    alike = both @ both.T
    kernel = np.exp((alike - 1) / np.median(1 - alike))
    sides = np.zeros((len(both), 201), np.float32)
    sides[len(one) :, 0] = 1
    for at in range(1, 201):
        sides[chance.permutation(len(both))[:n], at] = 1
    weights = sides / n - (1 - sides) / len(one)
    seen = (weights * (kernel @ weights)).sum(axis=0)
    return float(stats.norm.sf((seen[0] - seen[1:].mean()) / seen[1:].std()))


def by_classifier(one: NDArray[np.float32], other: NDArray[np.float32], chance: np.random.Generator) -> float:
    """Ridge regression of the side on one half, its scores on the other half compared (Lopez-Paz, Oquab 2017), both ways."""
    both, side = np.concatenate([one, other]), np.arange(len(one) + len(other)) >= len(one)
    half, p_values = chance.random(len(both)) < 0.5, list[float]()
    for learnt in (half, ~half):
        centred = both[learnt] - both[learnt].mean(axis=0)
        weights = np.where(side[learnt], 0.5 / side[learnt].mean(), 0.5 / (~side[learnt]).mean())
        moments = (centred * weights[:, None]).T @ np.c_[centred, 2.0 * side[learnt] - 1]
        direction = np.linalg.solve(moments[:, :-1] + 20 * np.eye(both.shape[1]), moments[:, -1])
        scores = both[~learnt] @ direction
        p_values.append(stats.mannwhitneyu(scores[side[~learnt]], scores[~side[~learnt]], alternative="greater").pvalue)
    return min(1.0, 2 * min(p_values))


def classify(pool: Pool, order: NDArray[np.int64], gold: NDArray[np.int64]) -> Cases:
    """The cases in this order, answered by the nearest mean of the gold's intents; every twentieth is reviewed."""
    names = np.unique(pool.intents[gold])
    means = np.stack([pool.embeddings[gold[pool.intents[gold] == name]].mean(axis=0) for name in names])
    scores = 25 * pool.embeddings[order] @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    confidences = (shares.max(axis=1) / shares.sum(axis=1)).astype(np.float64)
    labels = names[scores.argmax(axis=1)]
    return Cases(
        embeddings=pool.embeddings[order],
        lengths=pool.lengths[order],
        languages=["en"] * len(order),
        labels=labels.tolist(),
        confidences=confidences,
        tiers=np.where(confidences >= 0.5, "encoder", "person").tolist(),
        stated=confidences,
        right=labels == pool.intents[order],
    )


def part(cases: Cases, start: int, stop: int) -> Cases:
    return Cases(
        embeddings=cases.embeddings[start:stop],
        lengths=cases.lengths[start:stop],
        languages=cases.languages[start:stop],
        labels=cases.labels[start:stop],
        confidences=cases.confidences[start:stop],
        tiers=cases.tiers[start:stop],
        stated=cases.stated[start:stop:20],
        right=cases.right[start:stop:20],
    )


if __name__ == "__main__":
    main()
