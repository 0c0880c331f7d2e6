"""Turns a workload into the family of specialists that could do it, each measured, and names the smallest that holds.

A model made too small is fast and broken, so size is chosen where gold's figures hold under real load. Knows no releases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any

from rung.cascade.promise import PromiseError, contradiction
from rung.evaluation import Evidence, times_of
from rung.evaluation.ranking import unbeaten
from rung.models.calibration import Calibration
from rung.models.encoder import Encoder, open_encoder
from rung.models.extraction import learnt
from rung.release.frozen import Parts
from rung.statistics.binomial import interval
from rung.training.heads import Trained
from rung.workflows.judging import Study, make_cascade, open_study
from rung.workflows.progress import Progress, silent
from rung.workflows.specialists import Trainer
from rung.workflows.waiting import finish
from rung.workflows.weighing import arrivals, shared_size, weigh
from rung.workload import Limits, Precision, SpecialistTier, Workload

MARGIN = 0.02  # a smaller rung may answer this much less than the best one, where the file sets no limit of its own

_PRECISIONS: tuple[Precision, ...] = ("int4", "int8", "float32")


@dataclass(frozen=True, slots=True)
class Weighed:
    """One specialist in numbers: of `cases` test cases `answered` at the promise, `wrong` of those; seconds at the 50th and 99th
    percentile of arrivals at `rate` a second; bytes of memory, and of what serves on disk, the encoder included. `refused`
    says why it will not do, in a sentence; empty if it will."""

    tier: SpecialistTier
    cases: int
    answered: int
    wrong: int
    p50: float
    p99: float
    rate: float
    memory: int
    size: int
    refused: str = ""

    @property
    def share(self) -> float:
        """The share of the test cases that it answers."""
        return self.answered / max(self.cases, 1)

    @property
    def interval(self) -> tuple[float, float]:
        """The exact two-sided 95 % interval of the share."""
        return interval(self.answered, self.cases)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "line": line_of(self.tier), "share": self.share, "interval": self.interval}


@dataclass(frozen=True, slots=True)
class Ladder:
    """Every rung from the smallest to the largest on disk, the chosen one's place or None, and the choice in a sentence."""

    rungs: tuple[Weighed, ...]
    chosen: int | None
    reason: str

    def frontier(self) -> list[bool]:
        """Which rungs no other one beats: as large a share with less memory, less space and a lower p99."""
        return unbeaten([(-one.share, one.p99, one.memory, one.size) for one in self.rungs])


def climb_ladder(workload: Workload, progress: Progress = silent, encoder: Encoder | None = None) -> Ladder:
    """Train and measure the family, and choose. What was trained before is reused, so that a stopped run goes on.

    Endpoints are left out: they would answer what a small specialist leaves. Raises `GoldError` and `RecipeError`.
    """
    encoder = encoder or open_encoder()
    study = open_study(workload, progress)
    tiers = list(family(workload))
    trainer = Trainer(workload, study.training, encoder, progress)
    for tier in tiers:
        trainer.require(tier)
    found: list[Weighed] = []
    for tier in tiers:
        weighed = _weigh(replace(workload, tiers=(tier,)), study, trainer.train(tier), progress)
        found.append(replace(weighed, size=weighed.size + shared_size([tier], encoder)))
    return choose(sorted(found, key=lambda one: one.size), workload.limits)


def family(workload: Workload) -> Iterator[SpecialistTier]:
    """What the ladder tries: static, two and three layers distilled, half pruned away, all six, in every precision."""
    if not any(learnt(field) for field in workload.fields):
        yield SpecialistTier("static", "static")
    teachable = any(field.fill == "label" or learnt(field) for field in workload.fields)
    for precision in _PRECISIONS:
        yield SpecialistTier("heads", "heads", precision)
        if teachable:
            yield SpecialistTier("distil", "distil", precision, layers=2)
            yield SpecialistTier("distil", "distil", precision, layers=3)
            yield SpecialistTier("prune", "prune", precision)
            yield SpecialistTier("finetune", "finetune", precision)


def line_of(tier: SpecialistTier) -> str:
    """The tier as the workload file has it."""
    usual = SpecialistTier()
    said = {"specialist": tier.recipe}
    names = ("precision", "layers", "keep")
    said |= {name: str(getattr(tier, name)) for name in names if getattr(tier, name) != getattr(usual, name)}
    if tier.recipe == "distil":
        said["layers"] = str(tier.layers)
    return "{" + ", ".join(f"{name}: {value}" for name, value in said.items()) + "}"


def choose(rungs: Sequence[Weighed], limits: Limits) -> Ladder:
    """The smallest of the rungs, which are sorted by size, that holds every limit, and why the next smaller one does not."""
    best = max((one.share for one in rungs), default=0.0)
    least = best - MARGIN if limits.escalated is None else 1 - limits.escalated
    judged = [one if one.refused else replace(one, refused=_refusal(one, limits, least)) for one in rungs]
    place = next((at for at, one in enumerate(judged) if not one.refused), None)
    if place is None:
        closest = max(judged, key=lambda one: one.share, default=None)
        why = f" The one that answers most, {line_of(closest.tier)}, does not: {closest.refused}." if closest else ""
        return Ladder(tuple(judged), None, f"No specialist holds every limit.{why}")
    chosen = judged[place]
    reason = f"{line_of(chosen.tier)} is the smallest that holds every limit"
    if place:
        smaller = judged[place - 1]
        reason += f"; the next smaller one, {line_of(smaller.tier)}, is refused: {smaller.refused}"
    return Ladder(tuple(judged), place, reason + ".")


def _refusal(one: Weighed, limits: Limits, least: float) -> str:
    if one.share < least:
        wanted = f"limits.escalated asks for {least:.1%}" if limits.escalated is not None else f"{least:.1%} is within 2 points"
        also = "" if limits.escalated is not None else " of the rung that answers most"
        return f"it answers {one.share:.1%} of {one.cases:,} test cases, and {wanted}{also}"
    if limits.p99 is not None and one.p99 > limits.p99:
        return (
            f"its p99 is {one.p99 * 1e3:.0f} ms at {one.rate:.0f} arrivals a second, and limits.p99 is {limits.p99 * 1e3:.0f} ms"
        )
    return ""


def _weigh(workload: Workload, study: Study, trained: Trained, progress: Progress) -> Weighed:
    (tier,) = workload.tiers
    assert isinstance(tier, SpecialistTier)
    evidence: Evidence | None = None
    refused = ""
    parts = Parts({tier.name: trained.specialist}, {tier.name: Calibration({}, 0.0)}, inf)
    try:
        made = finish(make_cascade(workload, study, {tier.name: trained}, progress))
        parts, evidence = made.parts, made.evidence
        refused = contradiction(evidence.wrong, evidence.answered, workload.promise) or ""
    except PromiseError as error:
        refused = f"the promise cannot be kept: {str(error).split('. ')[0]}"
    cases = [each.case for each in study.held_out]
    with progress(f"loading {line_of(tier)} with arrivals"):
        weight = weigh(workload, parts, {tier.name: tier.recipe}, [cases[at] for at in arrivals(cases)])
    answered, wrong = (evidence.answered, evidence.wrong) if evidence else (0, 0)
    times = times_of(weight.seconds, weight.rate)
    p50, p99 = times["p50"].seconds, times["p99"].seconds
    return Weighed(tier, len(cases), answered, wrong, p50, p99, weight.rate, weight.memory, weight.size, refused)
