"""Turns trained specialists into the cascade they make: calibrated, with its acceptance level and the evidence for it.

What costs money is kept by content under `.rung/cache`: endpoints' answers. Knows nothing about recipes or releases' folders.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import inf

import numpy as np
from numpy.typing import NDArray

from rung.cascade import Cascade, Tier
from rung.cascade.checks import open_checks
from rung.cascade.promise import Judged, Threshold, derive, levels
from rung.cascade.templates import open_templates
from rung.core import Decision, Model
from rung.evaluation import Agreed, Evidence, climb, evaluate, judge
from rung.gold import Example, Gold, GoldError, Shares, Split, digest_of, near_groups, read_gold, split
from rung.models.calibration import Calibration
from rung.models.endpoint import Prompt
from rung.release.frozen import Parts, Shown
from rung.release.opening import close_models, open_tiers
from rung.training.heads import Lost, Trained
from rung.workflows.budget import LARGEST, Meter
from rung.workflows.progress import Progress
from rung.workflows.rehearsal import Remembered, rehearse, require_answers, unjudged
from rung.workflows.showing import shown_to, unshown
from rung.workload import EndpointTier, Promise, Workload

PATIENCE = 3_600.0  # seconds that a call may wait for its turn to be paid for; the endpoint's own timeout begins after that
MOST_ANCHORS = 12_000  # training cases: a kernel inverse beyond them takes minutes; further gold goes to calibration


@dataclass(frozen=True, slots=True)
class Study:
    """A workload's gold, divided: the cases that are learnt from; those that the level is derived on, with their share of the
    gold; and those that the evidence comes from. Of the last two there is one of each group of near-duplicates."""

    gold: Gold
    parts: Split
    training: list[Example]
    calibrating: list[Agreed]
    testing: list[Example]
    share: float

    @property
    def held_out(self) -> list[Agreed]:
        """The test cases with their answers."""
        return [Agreed(example.case, example.expected) for example in self.testing]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A cascade whose tiers are calibrated and trusted nowhere yet, and what they said about training cases that they had not
    seen and about the calibration cases."""

    cascade: Cascade
    calibrations: Mapping[str, Calibration]
    rehearsal: Judged
    calibration: Judged

    def threshold(self, promise: Promise, share: float) -> Threshold:
        """The level that keeps the promise; `share` of the gold is for calibration. Raises `PromiseError` if there is none."""
        return derive(self.calibration, promise, levels(self.rehearsal, len(self.calibration), promise), share)


@dataclass(frozen=True, slots=True)
class Made:
    """What a release is frozen from, and what it could do on the test split: `decisions` in the order of the study's held-out
    cases. `lost` are values that were not found."""

    parts: Parts
    evidence: Evidence
    decisions: Sequence[Decision]
    lost: Sequence[Lost]


def open_study(workload: Workload, progress: Progress, taught: Collection[str] = ()) -> Study:
    """Read and divide the gold; what was `taught` to an encoder (text digests) judges nothing that goes on from it. Raises
    `GoldError`, also where such a case is pinned to test."""
    gold = read_gold(workload)
    _refuse_pinned(workload, gold, taught)
    with progress("splitting the gold"):
        shares = shares_of(gold)
        parts = split(gold, shares, taught=taught)
    calibrating = [Agreed(one.case, one.expected) for one in distinct(gold, parts.calibration)]
    return Study(gold, parts, examples(gold, parts.train), calibrating, distinct(gold, parts.test), shares.calibration)


async def make_cascade(workload: Workload, study: Study, trained: Mapping[str, Trained], progress: Progress) -> Made:
    """Calibrate every tier, derive the level that keeps the promise, and evaluate what would be served.

    Raises `PromiseError` when calibration cannot support the promise. The gate is the caller's.
    """
    specialists = {name: one.specialist for name, one in trained.items()}
    bare = open_draft(workload, specialists, study.training)
    try:
        known = await calibrate(workload, bare, study, trained, progress)
        threshold = known.threshold(workload.promise, study.share)
        cascade = replace(known.cascade, level=threshold.level)
        with progress("evaluating what will be served", len(study.held_out)) as advance:
            evidence, decisions = await evaluate(workload, cascade, study.held_out, threshold, advance)
    finally:
        await close_models(bare)
    lost = next((one.lost for one in trained.values() if one.lost), ())
    examples = shown_to(study.training, workload)
    return Made(Parts(specialists, known.calibrations, threshold.level, shown=examples), evidence, decisions, lost)


async def calibrate(
    workload: Workload, bare: Cascade, study: Study, trained: Mapping[str, Trained], progress: Progress
) -> Calibrated:
    """Calibrate every tier of a draft on training cases, and climb the calibration cases. Raises `EndpointSilent`."""
    training = study.training
    answers = {name: {training[at].case.id: answer for at, answer in one.rehearsal.items()} for name, one in trained.items()}
    cases = [Agreed(example.case, example.expected) for example in unshown(training, workload)]
    with progress("calibrating the tiers") as advance:
        calibrations, rehearsal = await rehearse(bare, cases, answers, advance)
    cascade = replace(bare, tiers=tuple(replace(tier, confidence=calibrations[tier.name]) for tier in bare.tiers))
    with progress("deriving the threshold", len(study.calibrating)) as advance:
        climbed = await climb(cascade, [each.case for each in study.calibrating], advance)
    require_answers(cascade, climbed)
    return Calibrated(cascade, calibrations, rehearsal, judge(cascade, climbed, study.calibrating))


def _refuse_pinned(workload: Workload, gold: Gold, taught: Collection[str]) -> None:
    said = "is pinned to test, and the release to go on from was taught it: train without --from"
    known = (one for one in gold.examples if one.pinned == "test" and digest_of(one.case.text) in taught)
    if mistakes := [(one.line, said) for one in known]:
        raise GoldError(workload.gold, mistakes)


def shares_of(gold: Gold) -> Shares:
    """How training divides this gold: beyond `MOST_ANCHORS` training cases the rest goes to calibration."""
    usual = Shares()
    spare = max(usual.train - MOST_ANCHORS / max(len(gold.examples), 1), 0.0)
    return Shares(usual.train - spare, usual.calibration + spare, usual.test)


def open_draft(
    workload: Workload, specialists: Mapping[str, Model], training: Sequence[Example] = (), meter: Meter | None = None
) -> Cascade:
    """The workload's cascade before calibration: nothing is trusted, and endpoints' answers are remembered. Of `training` they
    are shown as many cases as their tiers say; a `meter` stands before what must be paid for."""
    examples = shown_to(training, workload)
    tiers: list[Tier] = []
    opened = open_tiers(workload, specialists, examples, LARGEST if meter else None)
    for tier, (name, model, timeout, repairs) in zip(workload.tiers, opened, strict=True):
        if isinstance(tier, EndpointTier):
            if meter:
                model, timeout = meter(tier, model, examples[name]), timeout + PATIENCE
            model = _remembered(workload, tier, model, examples[name])
        tiers.append(Tier(name, model, unjudged, timeout, repairs))
    return Cascade(tuple(tiers), inf, "draft", open_templates(workload), open_checks(workload))


def _remembered(workload: Workload, tier: EndpointTier, model: Model, examples: Sequence[Shown]) -> Model:
    endpoint = tier.endpoint
    words = (workload.task, workload.schema, [*Prompt])
    asked = repr((endpoint.url, endpoint.boundary, tier.model, *words, workload.boundary, *examples))
    file = workload.state / "cache" / f"answers-{sha256(asked.encode()).hexdigest()[:16]}.jsonl"
    return Remembered(model, file, endpoint.price)


def examples(gold: Gold, indices: NDArray[np.int64]) -> list[Example]:
    """The gold at these positions."""
    positions: list[int] = indices.tolist()
    return [gold.examples[position] for position in positions]


def distinct(gold: Gold, indices: NDArray[np.int64]) -> list[Example]:
    """The gold at these positions, one of each group of near-duplicates: copies of one message are not independent evidence."""
    found = examples(gold, indices)
    firsts: list[int] = np.unique(near_groups([example.case.text for example in found]), return_index=True)[1].tolist()
    return [found[first] for first in sorted(firsts)]
