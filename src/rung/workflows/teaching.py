"""Asks a larger model about texts that nobody has answered, and says how far its answers can be believed.

How far is measured: on gold, field by field, by what the model says of itself. What it was asked before is not asked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rung.core import Answer, Case, Fields, same
from rung.evaluation import Agreed, climb
from rung.gold import Example
from rung.models.calibration import Calibration, logit
from rung.release.opening import close_models
from rung.training.fitting import fit_calibration
from rung.training.lessons import Opinion
from rung.workflows.budget import Meter
from rung.workflows.judging import open_draft
from rung.workflows.progress import Progress
from rung.workflows.rehearsal import require_answers, sampled
from rung.workflows.showing import unshown
from rung.workload import EndpointTier, Workload


async def consult(
    workload: Workload,
    teacher: EndpointTier,
    examples: Sequence[Example],
    texts: Sequence[str],
    progress: Progress,
    meter: Meter | None = None,
) -> list[Opinion | None]:
    """The teacher's opinion of each text; None where it gives none that the checks let pass.

    Asked as a tier is: inside the boundary, with what must not leave masked, once more where a check objects; about the gold
    too without its context, which the texts have not. Raises `EndpointSilent` if it does not answer, and `BudgetSpent` if the
    `meter` lets it answer only a part: a student of that part would not be what the file says.
    """
    alone = replace(workload, tiers=(teacher,))
    draft = open_draft(alone, {}, examples, meter)
    known = sampled([Agreed(Case(example.case.text), example.expected) for example in unshown(examples, alone)])

    async def ask(cases: Sequence[Case]) -> list[Answer | None]:
        asked = await climb(draft, cases, advance)
        require_answers(draft, asked)
        given = [decision.attempts[-1] for decision in asked]
        complete = [each.answer if each.answer and each.answer.fields.keys() >= set(workload.asked) else None for each in given]
        return [None if each.problems else answer for each, answer in zip(given, complete, strict=True)]

    try:
        with progress(f"asking {teacher.name}", len(known) + len(texts)) as advance:
            rehearsed = await ask([each.case for each in known])  # first: where these fail, the others need not be paid for
            answers = await ask([Case(text) for text in texts])
    finally:
        await close_models(draft)
    if meter:
        meter.require()
    judged = [(answer, each.expected) for answer, each in zip(rehearsed, known, strict=True) if answer is not None]
    trust = {name: _calibrate(name, judged) for name in workload.asked}
    return [None if answer is None else _opinion(answer, trust) for answer in answers]


def _calibrate(name: str, judged: Sequence[tuple[Answer, Fields]]) -> Calibration:
    """How probably the teacher is right about a field, given its signals."""
    right = [same(answer.fields[name], expected[name]) for answer, expected in judged]
    return fit_calibration([_signals(answer, name) for answer, _ in judged], right)


def _signals(answer: Answer, name: str) -> dict[str, float]:
    """A field whose log-probability is not known says nothing of itself: as much as one that is no surer than not."""
    return {**answer.signals, "own": logit(answer.field_confidence.get(name, 0.5))}


def _opinion(answer: Answer, trust: Mapping[str, Calibration]) -> Opinion:
    fields = {name: answer.fields[name] for name in trust}
    return Opinion(fields, {name: calibration(_signals(answer, name)) for name, calibration in trust.items()})
