"""Turns a release and agreed answers into a judgement of it: on cases that it was not made from, from its own files alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from time import process_time
from typing import Any

import numpy as np

from rung.cascade import Cascade
from rung.cascade.promise import Threshold
from rung.charts import Block, Callout, Fact
from rung.core import Decision
from rung.evaluation import Agreed, Evidence, Metrics, evaluate, gate
from rung.evaluation.report import evaluation_blocks
from rung.gold import Example, GoldError, Part, read_gold, split
from rung.models.encoder import open_encoder
from rung.release import Release, ReleaseError, close_models, learnt_by, open_release
from rung.workflows.difference import unseen
from rung.workflows.judging import distinct, shares_of
from rung.workflows.loading import WARMING, arrive, ask_alone
from rung.workflows.progress import Progress, silent
from rung.workflows.waiting import finish
from rung.workflows.weighing import arrivals, rate_of
from rung.workload import Workload

WATTS = 15.0  # of a core that is busy


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a release, or one `tier` of it, did on a `part` of the gold as it is now: the evidence, and the decision on each case.
    `left_out` counts test cases that the release was made from, which show nothing."""

    release: Release
    workload: Workload
    part: Part
    tier: str
    evidence: Evidence
    cases: Sequence[Example]
    decisions: Sequence[Decision]
    left_out: int

    @property
    def metrics(self) -> Metrics:
        """Every figure, with its n and interval."""
        return self.evidence.metrics

    def document(self, load: Load | None = None) -> dict[str, Any]:
        """As JSON: what is the same on every run, and under `measured` what is not."""
        figures = self.evidence.document({one.by for one in self.metrics.slices})
        measured = {f"{name}_seconds": figures.pop(name) for name in ("p50", "p99")} | {"timed_cases": figures.pop("timed")}
        wrong = [{"line": self.cases[one.at].line, **one.document()} for one in self.metrics.disagreements]
        about = {"release": self.release.id, "split": self.part, "tier": self.tier or None, "left_out": self.left_out}
        return {**about, **figures, "disagreements": wrong, "measured": measured | ({"load": load.document()} if load else {})}

    def blocks(self) -> list[Block]:
        """The report: the same bytes for the same release and gold."""
        name = f"release {self.release.id[:12]}" + (f", {self.tier} alone" if self.tier else "")
        facts = [Fact("Judged on", f"{len(self.cases):,} cases", f"the {self.part} part of the gold")]
        if self.left_out:
            facts.append(Fact("Left out", f"{self.left_out:,} cases", "this release was made from them"))
        texts = [(f"Line {one.line:,}", one.case.text) for one in self.cases]
        blocks = evaluation_blocks(name, self.metrics, self.evidence.promise, self.evidence.threshold, facts, texts)
        if self.part != "test":
            blocks[0] = Callout("neutral", f"{name} on {self.part} cases", "It was made from these cases: this is no evidence.")
        elif self.tier:
            blocks[0] = Callout("neutral", name, "The promise is that of the whole release, not of one tier.")
        return blocks


@dataclass(frozen=True, slots=True)
class Load:
    """What a release did with `cases` arrivals at `rate` a second: seconds from arrival to answer at the 50th, 95th and 99th
    percentile. One at a time a case takes `cpu` seconds of a core, and so about `joules`: `WATTS` for each core that is busy, an
    assumption for a server's core with its share of memory and cooling; what endpoints use is theirs and not in it."""

    rate: float
    cases: int
    p50: float
    p95: float
    p99: float
    cpu: float

    @property
    def joules(self) -> float:
        """Energy of a case."""
        return self.cpu * WATTS

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "joules": self.joules, "watts_per_core": WATTS}

    def said(self) -> str:
        """In two sentences."""
        p50, p95, p99 = (f"{seconds * 1e3:.1f}" for seconds in (self.p50, self.p95, self.p99))
        return (
            f"Under load: p50 {p50}, p95 {p95}, p99 {p99} ms from arrival to answer ({self.cases:,} arrivals at {self.rate:.0f} "
            f"a second, a Poisson stream that waits for no answer). Energy: about {self.joules:.3f} J a case, "
            f"{self.cpu * 1e3:.1f} ms of a core at an assumed {WATTS:g} W; endpoints' not counted."
        )


def measure_load(found: Evaluation) -> Load:
    """Put the release under its workload's arrivals, in this process. Endpoints are asked, and paid."""
    return finish(_measure_load(found))


async def _measure_load(found: Evaluation) -> Load:
    _, cascade = open_release(found.release, open_encoder())
    asked = _alone(cascade, found.tier)
    cases = [found.cases[at].case for at in arrivals([one.case for one in found.cases])]
    rate = rate_of(found.workload)
    try:
        began = process_time()
        await ask_alone(asked, cases)
        cpu = (process_time() - began) / (len(cases) + min(len(cases), WARMING))
        seconds = await arrive(asked, cases, rate)
    finally:
        await close_models(cascade)
    p50, p95, p99 = (float(np.quantile(seconds, share, method="higher")) for share in (0.5, 0.95, 0.99))
    return Load(rate, len(cases), p50, p95, p99, cpu)


def evaluate_release(
    workload: Workload, release: Release, progress: Progress = silent, part: Part = "test", tier: str = ""
) -> Evaluation:
    """Judge a release's own files again, on a part of the gold as it is now; `tier` judges one of its tiers alone.

    The whole release on the test part goes through the gate. Raises `GateError`, `GoldError` where no case is left to judge by,
    and `ReleaseError` for a tier that it has not.
    """
    found = finish(_evaluate(workload, release, progress, part, tier))
    if part == "test" and not tier:
        gate(found.evidence, found.workload.limits)
    return found


async def _evaluate(workload: Workload, release: Release, progress: Progress, part: Part, tier: str) -> Evaluation:
    gold = read_gold(workload)
    drawn = distinct(gold, getattr(split(gold, shares_of(gold), taught=learnt_by(release)), part))
    cases = unseen(drawn, release) if part == "test" else drawn
    if not cases:
        raise GoldError(workload.gold, [(0, f"has no {part} case that release {release.id[:12]} was not made from. Add gold.")])
    frozen, cascade = open_release(release, open_encoder())
    threshold = Threshold(**release.evidence["threshold"])
    agreed = [Agreed(one.case, one.expected) for one in cases]
    try:
        with progress("evaluating what is served", len(cases)) as advance:
            evidence, decisions = await evaluate(frozen, _alone(cascade, tier), agreed, threshold, advance)
    finally:
        await close_models(cascade)
    return Evaluation(release, frozen, part, tier, evidence, cases, decisions, len(drawn) - len(cases))


def _alone(cascade: Cascade, tier: str) -> Cascade:
    if not tier:
        return cascade
    tiers = tuple(each for each in cascade.tiers if each.name == tier)
    if not tiers:
        known = ", ".join(each.name for each in cascade.tiers)
        raise ReleaseError(f"Release {cascade.release[:12]} has no tier {tier!r}; it has: {known}. Name one of those.")
    return replace(cascade, tiers=tiers)
