"""Turns models and training cases into each tier's calibration, and into the rehearsal that orders the acceptance levels.

A specialist must not vouch for cases it was trained on: its rehearsed answers, made without them, stand in for it. An
endpoint is asked once: its answers are kept by content, so that an interrupted run resumes and a repeated one costs nothing.
"""

from __future__ import annotations

import json
from asyncio import Lock
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

from rung.cascade import Cascade
from rung.cascade.promise import Judged
from rung.core import Answer, Case, Decision, Model, Problem, RungError
from rung.evaluation import Agreed, Tick, climb, judge, right
from rung.evaluation.asking import spread
from rung.models.calibration import Calibration
from rung.models.endpoint import cost_of
from rung.training.fitting import fit_calibration
from rung.workload import Price

SAMPLE = 400  # training cases an endpoint is asked about: enough for a calibration of seven signals, cheap enough to pay for
MOST_SILENT = 0.1  # share of the cases a tier is asked about that it may fail to answer: beyond that it has not been judged


class EndpointSilent(RungError):
    """An endpoint answered too few of the cases it was asked to be calibrated on."""

    code = "endpoint_silent"
    exit_status = 1


class Rehearsed:
    """A model that repeats given answers, by the case's id."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        """Repeat these."""
        self._answers = answers

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        """The answer that was given to this case."""
        return self._answers[case.id]

    async def close(self) -> None:
        """Nothing is held."""


class Remembered:
    """A model whose answers are kept in a file of JSON lines, by the hash of the case and the objections. What is being asked is
    not asked a second time."""

    def __init__(self, model: Model, file: Path, price: Price) -> None:
        """Keep the model's answers in `file`, of which each costs what it would at `price`; a last line cut short by an
        interruption is asked for again."""
        self.model = model
        file.parent.mkdir(parents=True, exist_ok=True)
        self._answers = dict(_read(file, price))
        self._file = file.open("a", encoding="utf-8")
        self._under_way: defaultdict[str, Lock] = defaultdict(Lock)

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        """The kept answer, or the model's, kept from now on. Failures are not kept."""
        key = _key(case, objections)
        async with self._under_way[key]:
            if key not in self._answers:
                self._answers[key] = await self.model.answer(case, objections)
                self._file.write("\n" + json.dumps({"key": key, **asdict(self._answers[key])}))
                self._file.flush()
        return self._answers[key]

    async def close(self) -> None:
        """Close the file and the model."""
        self._file.close()
        await self.model.close()

    def unasked(self, cases: Sequence[Case]) -> list[Case]:
        """Those of the cases that no kept answer is for, each question once."""
        return list({key: case for case in cases if (key := _key(case, ())) not in self._answers}.values())

    @property
    def mean_cost(self) -> float | None:
        """Of the kept answers, in US dollars; None where there are none."""
        return fmean(answer.cost for answer in self._answers.values()) if self._answers else None


def _key(case: Case, objections: Sequence[Problem]) -> str:
    asked = json.dumps([case.text, dict(case.context), [asdict(problem) for problem in objections]], sort_keys=True)
    return sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()


def _read(file: Path, price: Price) -> Mapping[str, Answer]:
    answers: dict[str, Answer] = {}
    if file.exists():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                raw: dict[str, Any] = json.loads(line)
                key = raw.pop("key")  # first: on the left side below it would still stand in `raw`
                raw["tokens"] = tuple(raw["tokens"])
                raw["cost"] = cost_of(price, raw["tokens"], raw["seconds"])
                answers[key] = Answer(**raw)
            except (ValueError, TypeError, KeyError):
                continue  # cut short by an interruption, empty, or of an earlier Rung that kept no tokens
    return answers


async def rehearse(
    bare: Cascade, cases: Sequence[Agreed], answers: Mapping[str, Mapping[str, Answer]], tick: Tick | None = None
) -> tuple[Mapping[str, Calibration], Judged]:
    """Calibrate every tier of a cascade in turn on training cases, and judge the calibrated whole on them.

    `answers` are the specialists' rehearsed answers, by tier and case id: those tiers repeat them, on the cases that all of
    them have rehearsed. Endpoints are asked about `SAMPLE` of these cases, spread over all of them.
    """
    calibrations: dict[str, Calibration] = {}
    cascade = replace(bare, tiers=(), level=inf)
    part: Sequence[Agreed] = ()
    cases = [case for case in cases if all(case.case.id in given for given in answers.values())]
    for tier in bare.tiers:
        recalled = tier.name in answers
        part = cases if recalled else sampled(cases)
        model: Model = Rehearsed(answers[tier.name]) if recalled else tier.model
        draft = replace(cascade, tiers=(*cascade.tiers, replace(tier, model=model, confidence=unjudged)))
        climbed = await climb(draft, [case.case for case in part], tick)
        signals: list[Mapping[str, float]] = []
        correct: list[bool] = []
        for decision, case in zip(climbed, part, strict=True):
            answer = decision.attempts[-1].answer
            if answer is not None:
                signals.append(answer.signals)
                correct.append(right(answer.fields, case.expected))
        require_answers(draft, climbed)
        calibrations[tier.name] = fit_calibration(signals, correct)
        calibrated = replace(tier, model=model, confidence=calibrations[tier.name])
        cascade = replace(cascade, tiers=(*cascade.tiers, calibrated))
    return calibrations, judge(cascade, await climb(cascade, [case.case for case in part]), part)


def require_answers(cascade: Cascade, decisions: Sequence[Decision]) -> None:
    """Raise `EndpointSilent` if a tier failed to answer more than `MOST_SILENT` of the cases it was asked about.

    Without this, a server that is down while it is judged would be frozen into the release unjudged.
    """
    for tier in cascade.tiers:
        asked = [attempt for decision in decisions for attempt in decision.attempts if attempt.tier == tier.name]
        failed = [attempt for attempt in asked if attempt.answer is None]
        if len(failed) > MOST_SILENT * len(asked):
            raise EndpointSilent(
                f"{tier.name} did not answer {len(failed)} of the {len(asked)} cases it was asked about. The first failure: "
                f"{failed[0].problems[0].message}. Correct endpoints.yaml or start the server, then run the command again: "
                "what was answered is kept."
            )


def sampled(cases: Sequence[Agreed]) -> list[Agreed]:
    """`SAMPLE` of the cases at most, evenly over all."""
    return [cases[at] for at in spread(len(cases), SAMPLE)]


def unjudged(signals: Mapping[str, float]) -> float:
    """The confidence of a tier that is not calibrated yet: it is trusted nowhere."""
    return 0.0
