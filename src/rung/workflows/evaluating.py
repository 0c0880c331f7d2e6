"""Turns a release and agreed answers into a judgement of it: on cases that it was not made from, from its own files alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from time import process_time
from typing import Any

from rung.cascade import Cascade, decide
from rung.cascade.promise import Threshold
from rung.charts import Block, Callout, Fact, Heading, Paragraph, Table
from rung.core import Decision
from rung.evaluation import Agreed, Evidence, Metrics, Ruling, Times, evaluate, gate, rulings, times_of
from rung.evaluation.asking import spread
from rung.evaluation.evidence import TIMED
from rung.evaluation.report import evaluation_blocks, gate_blocks
from rung.evaluation.times import SHARES, WATTS, Energy, arrive, energy_of, milliseconds, rush
from rung.gold import Example, GoldError, Part, read_gold, split
from rung.models.encoder import open_encoder
from rung.release.frozen import Release, ReleaseError, learnt_by
from rung.release.opening import close_models, open_release
from rung.workflows.difference import unseen
from rung.workflows.judging import distinct, shares_of
from rung.workflows.loading import WARMING
from rung.workflows.progress import Progress, silent
from rung.workflows.waiting import finish
from rung.workflows.weighing import LEAST_RATE
from rung.workload import Limits, Workload


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

    @property
    def gated(self) -> bool:
        """Whether the gate is asked: of other parts than test, and of one tier, it is not."""
        return self.part == "test" and not self.tier

    def gate(self, *, timed: bool = True) -> None:
        """Raise `GateError` where one of the `rulings` refuses."""
        if self.gated:
            gate(self.evidence, self._asked(timed))

    def rulings(self, *, timed: bool = True) -> list[Ruling]:
        """What the gate makes of each limit; where not `timed`, of those alone that it says the same of on every run."""
        return rulings(self.evidence, self._asked(timed)) if self.gated else []

    def _asked(self, timed: bool) -> Limits:
        limits = self.workload.limits
        return limits if timed else replace(limits, p99=None)

    def unasked(self, *, timed: bool = True) -> list[str]:
        """What to say of the limits that `rulings` leaves out."""
        limits = self.workload.limits
        p99 = "limits.p99 is not asked, as times differ from run to run: rung evaluate --load asks it."
        dropped = "limits.dropped is asked by rung train and rung promote, beside the release that then answers."
        found = [(p99, limits.p99 is not None and not timed), (dropped, limits.dropped is not None)]
        return [said for said, out in found if out and self.gated]

    def document(self, load: Load | None = None) -> dict[str, Any]:
        """As JSON, with the texts of disagreements: the same bytes for the same release and gold, but for `measured`, which is
        there with a `load` alone, and whose `gate` is asked of times. `gate` raises where a gate in it is not `passed`."""
        figures = self.evidence.document({one.by for one in self.metrics.slices})
        times = figures.pop("times")
        cases = ((self.cases[one.at], one) for one in self.metrics.disagreements)
        wrong = [{"line": case.line, "text": case.case.text, **asdict(one)} for case, one in cases]
        about = {"release": self.release.id, "split": self.part, "tier": self.tier or None, "left_out": self.left_out}
        rulings = self.rulings(timed=False)
        said = {**about, **figures, "gate": _gate(rulings) if self.gated else None, "disagreements": wrong}
        if load is None:
            return said
        anew = _gate([one for one in self.rulings() if one not in rulings]) if self.gated else None
        return {**said, "measured": {"times": times, "gate": anew, "load": load.document()}}

    def blocks(self, load: Load | None = None) -> list[Block]:
        """The report: the same bytes for the same release and gold, but for what is said of a `load`."""
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
        else:
            blocks[2:2] = gate_blocks(self.rulings(timed=load is not None), self.unasked(timed=load is not None))
        return [*blocks, *(load.blocks() if load else [])]


def _gate(rulings: Sequence[Ruling]) -> dict[str, Any]:
    return {"passed": all(one.verdict != "refused" for one in rulings), "limits": [asdict(one) for one in rulings]}


@dataclass(frozen=True, slots=True)
class Load:
    """How long a release took over cases that arrived whether or not others were answered, and the energy of a case."""

    times: Times
    energy: Energy

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"times": self.times.document(), "energy": self.energy.document()}

    @property
    def _about(self) -> str:
        energy = self.energy
        return (
            f"{energy.cpu * 1e3:.1f} ms of a core, at an assumed {WATTS:g} W; n={energy.cases:,} in {energy.blocks} blocks. What "
            "endpoints use is not counted, and that a core takes more or less is not in the interval."
        )

    def said(self) -> str:
        """In words, with 95 % intervals in brackets."""
        return (
            f"Under load, from arrival to answer: {self.times.sentence}; n={len(self.times):,}, {self.times.how}.\n"
            f"Energy: about {self.energy.joules:.3g} J a case ({self.energy.between}), {self._about}"
        )

    def blocks(self) -> list[Block]:
        """The same for the report."""
        rows = [(name, milliseconds(self.times[name].seconds), self.times.between(name)) for name in SHARES]
        rows.append(("energy of a case", f"{self.energy.joules:.3g} J", self.energy.between))
        how = (
            f"From arrival to answer; n={len(self.times):,}, {self.times.how} (a Poisson process). Intervals of quantiles: order "
            "statistics, whatever the distribution (David and Nagaraja 2003, section 7.1), taking cases for independent. Energy: "
            f"{self._about} Its interval: bootstrap over blocks of consecutive cases (Künsch 1989). Measured anew on every run."
        )
        return [Heading("Times and energy"), Table(("Figure", "Seen", "95 % interval"), rows, "lrl"), Paragraph(how)]


def measure_load(found: Evaluation) -> Load:
    """Put the release under its workload's arrivals, in this process: those of a busy hour of the stated volume, `LEAST_RATE` a
    second where none is stated. Endpoints are asked, and paid."""
    return finish(_measure_load(found))


async def _measure_load(found: Evaluation) -> Load:
    _, cascade = open_release(found.release, open_encoder())
    asked = _alone(cascade, found.tier)
    cases = [found.cases[at].case for at in spread(len(found.cases), TIMED)]
    rate = rush(found.workload) or LEAST_RATE
    try:
        for case in cases[:WARMING]:  # what is opened on first use is not the cases'
            await decide(case, asked)
        marks = [process_time()]
        seconds = await arrive(asked, cases, rate, lambda _: marks.append(process_time()))
    finally:
        await close_models(cascade)
    return Load(times_of(seconds, rate), energy_of(marks))


def evaluate_release(
    workload: Workload, release: Release, progress: Progress = silent, part: Part = "test", tier: str = ""
) -> Evaluation:
    """Judge a release's own files again, on a part of the gold as it is now; `tier` judges one of its tiers alone.

    Nothing is gated: what fails is evidence too. Raises `GoldError` where no case is left to judge by, and `ReleaseError` for a
    tier that it has not.
    """
    return finish(_evaluate(workload, release, progress, part, tier))


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
