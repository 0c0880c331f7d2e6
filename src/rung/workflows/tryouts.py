"""Turns the candidates of a bake-off, one after the other, into their figures on one study. Knows nothing of what is kept.

Each is trained, calibrated and given its own acceptance level as `rung train` does it; a specialist is trained once for all of
them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from math import inf
from statistics import fmean

from rung.cascade.promise import PromiseError
from rung.core import Decision
from rung.evaluation import Agreed, Evidence, GateError, Metrics, ask_all, evaluate, gate, measure, times_of
from rung.evaluation.asking import spread
from rung.evaluation.candidates import Candidate
from rung.evaluation.findings import find
from rung.models.encoder import Encoder
from rung.monitor.money import is_own
from rung.release.frozen import Parts
from rung.release.opening import close_models
from rung.training.heads import Trained
from rung.training.tfidf import train_tfidf
from rung.workflows.budget import BudgetSpent, Meter, Purse, foresee
from rung.workflows.entrants import BASELINE, Entrant, plain, priced
from rung.workflows.judging import Study, calibrate, open_draft
from rung.workflows.loading import TFIDF
from rung.workflows.progress import Progress, steps
from rung.workflows.rehearsal import EndpointSilent, Remembered, require_answers, sampled
from rung.workflows.showing import unshown
from rung.workflows.specialists import Trainer
from rung.workflows.waiting import finish
from rung.workflows.weighing import Weight, arrivals, rate_of, shared_size, weigh
from rung.workload import EndpointTier, SpecialistTier, Workload, find_key

SAMPLED = 64  # cases by which a server of one's own is timed


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a candidate did with the test cases: the evidence at its level, or None with the reason why it has no level."""

    parts: Parts
    decisions: Sequence[Decision]
    metrics: Metrics
    evidence: Evidence | None
    refused: str


class Tryouts:
    """Tries one candidate after the other."""

    def __init__(self, workload: Workload, study: Study, encoder: Encoder, purse: Purse, progress: Progress) -> None:
        """Nothing is trained yet."""
        longest = max((len(json.dumps(dict(one.expected), default=str)) for one in study.gold.examples), default=0)
        self._workload, self._study, self._encoder, self._purse = workload, study, encoder, purse
        self._watched, self._now = progress, ""
        self._meter = Meter(workload, purse, longest)
        self._trainer = Trainer(workload, study.training, encoder, self._progress, meter=self._meter)
        self._trained: dict[SpecialistTier | EndpointTier, tuple[Trained, float]] = {}

    def require(self, entrants: Sequence[Entrant]) -> None:
        """Raise `WorkloadError` for a key that is not set, and `RecipeError` for a recipe that cannot be followed."""
        for entrant in entrants:
            for tier in priced(entrant):
                find_key(tier.endpoint, self._workload.folder / "endpoints.yaml")
            for tier in entrant.specialists:
                if tier != BASELINE:
                    self._trainer.require(tier)

    def run(self, entrant: Entrant) -> Candidate:
        """The candidate's figures. Raises `BudgetSpent` and `EndpointSilent`."""
        self._now, self._purse.stopped = entrant.name, False
        if entrant.endpoints and self._foresee(entrant)[1] > self._purse.left:
            raise self._poor(entrant)  # and not a cent is spent on what could not be finished
        try:
            trained = {tier.name: self._train(tier) for tier in entrant.specialists}
            judged = finish(self._judge(entrant, {name: one for name, (one, _) in trained.items()}))
        except EndpointSilent as error:
            raise (self._poor(entrant) if self._purse.stopped else error) from error
        if self._purse.stopped:
            raise self._poor(entrant)
        return self._describe(entrant, judged, sum(seconds for _, seconds in trained.values()))

    def forget(self, later: Sequence[Entrant]) -> None:
        """Let go of the specialists that none of the later candidates needs."""
        needed = {plain(tier) for entrant in later for tier in entrant.tiers}
        self._trained = {tier: trained for tier, trained in self._trained.items() if tier in needed}

    def _progress(self, stage: str, total: int | None = None, /) -> AbstractContextManager[Callable[[int], None]]:
        return self._watched(f"{self._now}: {stage}", total)

    def _foresee(self, entrant: Entrant) -> tuple[int, float]:
        """How many cases the candidate's endpoints must still answer, at least, and about what that costs."""
        alone = replace(self._workload, tiers=tuple(entrant.endpoints))
        cases = sampled([Agreed(one.case, one.expected) for one in unshown(self._study.training, alone)])
        cases += self._study.calibrating
        if len(entrant.tiers) == 1:  # else earlier tiers answer some of the test cases
            cases += self._study.held_out
        draft = open_draft(alone, {}, self._study.training, self._meter)
        try:
            return foresee(draft, [each.case for each in cases])
        finally:
            finish(close_models(draft))

    def _poor(self, entrant: Entrant) -> BudgetSpent:
        count, cost = self._foresee(entrant) if entrant.endpoints else (0, 0.0)
        means = f"${self._purse.left:,.4f} of bakeoff.budget (${self._purse.budget:,.4f}) are left"
        if not count:
            return BudgetSpent(f"a further call could cost more than what is left: {means}")
        return BudgetSpent(f"to ask about {count:,} more cases would cost about ${cost:,.4f}, and {means}")

    def _train(self, tier: SpecialistTier) -> tuple[Trained, float]:
        """The specialist and the seconds that training took; what was kept from before is not counted."""
        if plain(tier) not in self._trained:
            began = time.perf_counter()
            trained = self._train_baseline() if tier == BASELINE else self._trainer.train(tier)
            self._trained[plain(tier)] = trained, time.perf_counter() - began
        return self._trained[plain(tier)]

    def _train_baseline(self) -> Trained:
        texts = [one.case.text for one in self._study.training]
        with self._progress("training", 100) as advance:
            return train_tfidf(texts, [one.expected for one in self._study.training], self._workload.fields, steps(advance))

    async def _judge(self, entrant: Entrant, trained: Mapping[str, Trained]) -> _Judged:
        alone, study = replace(self._workload, tiers=entrant.tiers), self._study
        specialists = {name: one.specialist for name, one in trained.items()}
        cases = [each.case for each in study.held_out]
        bare = open_draft(alone, specialists, study.training, self._meter)
        try:
            known = await calibrate(alone, bare, study, trained, self._progress)
            parts, threshold, refused = Parts(specialists, known.calibrations, inf), None, ""
            try:
                threshold = known.threshold(alone.promise, study.share)
                parts = replace(parts, level=threshold.level)
            except PromiseError as error:
                refused = str(error)
            cascade = replace(known.cascade, level=parts.level)
            if entrant.endpoints or threshold is None:  # many at a time; what is asked again below is remembered
                with self._progress("asking about the test cases", len(cases)) as advance:
                    decisions = await ask_all(cascade, cases, advance)
                require_answers(cascade, decisions)
                if threshold is None:
                    return _Judged(parts, decisions, measure(alone, study.held_out, decisions), None, refused)
            with self._progress("evaluating", len(cases)) as advance:
                evidence, decisions = await evaluate(alone, cascade, study.held_out, threshold, advance)
        finally:
            await close_models(bare)
        return _Judged(parts, decisions, evidence.metrics, evidence, "")

    def _describe(self, entrant: Entrant, judged: _Judged, training: float) -> Candidate:
        held_out, decisions = self._study.held_out, judged.decisions
        weight, places = self._weigh(entrant, judged.parts)
        asked = {tier.name for tier in entrant.endpoints}  # which took as long as their answers say, whenever they were asked
        waited = [sum(each.seconds for each in decision.attempts if each.tier in asked) for decision in decisions]
        times = times_of([own + waited[at] for own, at in zip(weight.seconds, places, strict=True)], weight.rate)
        refused = _refusal(replace(judged.evidence, times=times), self._workload) if judged.evidence else judged.refused
        found = sorted(find(held_out, decisions), key=lambda one: one.at)
        return Candidate(
            name=entrant.name,
            line=entrant.line,
            kind=entrant.kind,
            large=entrant.large,
            right=tuple(one.right for one in found),
            answered=tuple(one.accepted for one in found),
            metrics=judged.metrics,
            threshold=judged.evidence.threshold if judged.evidence else None,
            refused=refused,
            cost=sum(one.cost for one in found) / max(len(found), 1),
            busy=weight.busy + sum(finish(self._occupied(tier, decisions)) for tier in entrant.endpoints if is_own(tier)),
            p50=times["p50"].seconds if times else 0.0,
            p99=times["p99"].seconds if times else 0.0,
            rate=weight.rate,
            size=weight.size,
            training=training,
        )

    async def _occupied(self, tier: EndpointTier, decisions: Sequence[Decision]) -> float:
        """Seconds that a case keeps a server of one's own busy: a few of those that come to it are asked again, `AT_ONCE` at a
        time, since many servers answer many as fast as one, and others one after the other."""
        calls = [sum(attempt.tier == tier.name for attempt in decision.attempts) for decision in decisions]
        came = [each.case for each, count in zip(self._study.held_out, calls, strict=True) if count]
        kept = open_draft(replace(self._workload, tiers=(tier,)), {}, self._study.training, self._meter)
        anew = tuple(replace(one, model=one.model.model) for one in kept.tiers if isinstance(one.model, Remembered))
        try:
            began = time.perf_counter()
            asked = await ask_all(draft := replace(kept, tiers=anew), [came[at] for at in spread(len(came), SAMPLED)])
            seconds = time.perf_counter() - began
        finally:
            await close_models(kept)
        require_answers(draft, asked)
        return fmean(calls) * seconds / max(sum(len(decision.attempts) for decision in asked), 1)

    def _weigh(self, entrant: Entrant, parts: Parts) -> tuple[Weight, Sequence[int]]:
        """What the candidate's specialists weigh, and the test cases that they were timed on: all where there are none."""
        cases = [each.case for each in self._study.held_out]
        if not entrant.specialists:
            return Weight([0.0] * len(cases), rate_of(self._workload), 0.0, 0, 0), range(len(cases))
        places = arrivals(cases)
        recipes = {tier.name: TFIDF if tier == BASELINE else tier.recipe for tier in entrant.specialists}
        with self._progress("loading with arrivals"):
            weight = weigh(self._workload, parts, recipes, [cases[at] for at in places])
        shared = shared_size([tier for tier in entrant.specialists if tier != BASELINE], self._encoder)
        return replace(weight, size=weight.size + shared), places


def _refusal(evidence: Evidence, workload: Workload) -> str:
    """Every limit that does not hold; empty for what could be released."""
    try:
        gate(evidence, workload.limits)
    except GateError as error:
        return " ".join(line.strip() for line in str(error).splitlines()[1:])
    return ""
