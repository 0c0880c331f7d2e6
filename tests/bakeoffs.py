"""Bake-offs made by hand: candidates of a stated skill on the same thousand cases, without a model and without a clock."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp
from statistics import NormalDist
from typing import Any

from rung.cascade.promise import Threshold
from rung.evaluation.candidates import Bakeoff, Candidate, GoldFacts, Kind
from rung.evaluation.confidence import Point, RiskCoverage
from rung.evaluation.fields import FieldMetrics
from rung.evaluation.metrics import Metrics, TierMetrics
from rung.evaluation.rates import Estimate, rate
from rung.evaluation.slices import Slice
from rung.statistics.binomial import upper_bound
from rung.workload import Costs, Limits, Promise

CASES = 1_000
PROMISE = Promise(0.05, 0.95)
COSTS = Costs()
LABELS = {"card_lost": 0.24, "refund": 0.22, "fee_question": 0.19, "delivery": 0.18, "other": 0.165, "fraud": 0.005}
REFUSED = (
    "calibration cannot support the promise of at most 5% wrong with 95% confidence: where its chance is best, 212 of the 1,000 "
    "calibration cases are answered, 17 of them wrongly. More gold alone would not be enough: the model must get better, or the "
    "promise must be weaker."
)

_labels = [label for label, share in LABELS.items() for _ in range(round(share * CASES))]
_hard = [each.random() for each in [random.Random(7)] for _ in range(CASES)]  # how hard each case is, for everybody


def candidate(
    name: str,
    skill: float,
    reach: float,
    *,
    kind: Kind = "specialist",
    large: bool = False,
    refused: str = "",
    cost: float = 0.0,
    busy: float = 0.003,
    p99: float = 0.012,
    size: int = 24_000_000,
    tiers: Sequence[tuple[str, float]] = (),
    cases: int = CASES,
) -> Candidate:
    """One that is right on about the share `skill` of the cases, and answers the share `reach`, its surest, without a person.

    `tiers` names who gives which share of the answers; by default all come from `name`. Refused for want of calibration where
    `reach` is 0.
    """
    own = random.Random(name)
    edge = NormalDist().inv_cdf(skill) * 0.3 + 0.5
    right = [hard + own.gauss(0, 0.06) < edge for hard in _hard[:cases]]
    sure = [1 / (1 + exp(8 * (hard - edge) + own.gauss(0, 1.6))) for hard in _hard[:cases]]
    order = sorted(range(cases), key=lambda at: -sure[at])
    accepted = set(order[: round(reach * cases)])
    answered = tuple(at in accepted for at in range(cases))
    return Candidate(
        name=name,
        line=name,
        kind=kind,
        large=large,
        right=tuple(right),
        answered=answered,
        metrics=_metrics(right, answered, order, cost, tiers or ((name, 1.0),)),
        threshold=_threshold(right, answered) if reach else None,
        refused=refused or ("" if reach else REFUSED),
        cost=cost,
        busy=0.0 if kind == "endpoint" else busy,
        p50=p99 / 3,
        p99=p99,
        rate=10.0,
        size=0 if kind == "endpoint" else size,
        training=0.0 if kind == "endpoint" else 42.0,
    )


def _threshold(right: Sequence[bool], answered: Sequence[bool]) -> Threshold:
    count, wrong = sum(answered), sum(a and not r for r, a in zip(right, answered, strict=True))
    return Threshold(0.8, len(right), count, wrong, upper_bound(wrong, count, PROMISE.confidence))


def _metrics(
    right: Sequence[bool], answered: Sequence[bool], order: Sequence[int], cost: float, tiers: Sequence[tuple[str, float]]
) -> Metrics:
    cases, count = len(right), sum(answered)
    wrong = sum(a and not r for r, a in zip(right, answered, strict=True))
    share = sum(right) / cases
    f1 = Estimate(share - 0.01, share - 0.04, share + 0.02, cases)
    missed, points = 0, list[Point]()
    for at, place in enumerate(order, 1):
        missed += not right[place]
        if at % 20 == 0:
            points.append(Point(1 - at / cases, at / cases, missed / at))
    none = rate(0, cases)
    return Metrics(
        cases=cases,
        answered=rate(count, cases),
        error=rate(wrong, count),
        whole=rate(sum(right), cases),
        refused=none,
        objected=none,
        hallucinated=none,
        accepted_hallucinated=rate(0, count),
        cost=Estimate(cost, cost, cost, cases),
        tiers=tuple(TierMetrics(tier, rate(round(part * count), cases), rate(0, round(part * count))) for tier, part in tiers),
        fields=(FieldMetrics("intent", "label", rate(sum(right), cases), f1),),
        calibration=None,
        risk_coverage=RiskCoverage(Estimate(0.05, 0.04, 0.06, cases), tuple(points)),
        slices=tuple(_slice(label, right, answered) for label in LABELS),
        worst=(),
        disagreements=(),
    )


def _slice(label: str, right: Sequence[bool], answered: Sequence[bool]) -> Slice:
    inside = [(r, a) for r, a, each in zip(right, answered, _labels, strict=False) if each == label]
    count = sum(a for _, a in inside)
    wrong = sum(a and not r for r, a in inside)
    return Slice(
        "intent", label, len(inside), rate(count, len(inside)), rate(wrong, count), rate(sum(r for r, _ in inside), len(inside))
    )


def bakeoff(*candidates: Candidate, volume: int | None = 40_000, **changes: Any) -> Bakeoff:
    """The bake-off of these candidates."""
    cases = len(candidates[0].right) if candidates else CASES
    labels: Mapping[str, int] = {label: 5 * count for label, count in Counter(_labels).items()}
    made = Bakeoff(
        workload="support",
        promise=PROMISE,
        limits=Limits(p99=0.3),
        volume=volume,
        gold=GoldFacts("9f2c" * 16, 3_000, 1_000, cases, False, 0, 12, {"intent": dict(labels)}),
        candidates=candidates,
        spent=0.84,
        unfinished={},
    )
    return replace(made, **changes)


TFIDF = candidate("TF-IDF", 0.78, 0.0, kind="baseline", busy=0.0004, p99=0.002, size=3_100_000)
STATIC = candidate("static", 0.83, 0.52, busy=0.0002, p99=0.001, size=6_400_000)
HEADS = candidate("heads", 0.90, 0.80)
FINETUNE = candidate("finetune", 0.905, 0.81, size=91_000_000, busy=0.004, p99=0.015)
CLIMBING = candidate(
    "heads + frontier/large",
    0.93,
    0.90,
    kind="cascade",
    cost=0.0011,
    p99=2.1,
    tiers=[("heads", 0.87), ("frontier/large", 0.13)],
)
LARGE = candidate("frontier/large", 0.95, 0.86, kind="endpoint", large=True, cost=0.0062, p99=1.9)
