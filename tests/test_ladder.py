"""The size ladder: which rung is chosen, and why not the next smaller one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rung.workflows.ladder import Weighed, choose, climb_ladder, family, line_of
from rung.workload import Limits, SpecialistTier
from small_workload import write_workload

STATIC = SpecialistTier("static", "static")
SMALL = SpecialistTier("distil", "distil", "int4", layers=2)
MIDDLE = SpecialistTier("distil", "distil", layers=3)
LARGE = SpecialistTier("finetune", "finetune", "float32")


def rung(tier: SpecialistTier, answered: int, size: int, **changes: Any) -> Weighed:
    made = Weighed(tier, 1_000, answered, wrong=5, p50=size / 2_000, p99=size / 1_000, rate=20, memory=size, size=size)
    return replace(made, **changes)


RUNGS = [rung(STATIC, 700, 1), rung(SMALL, 850, 8), rung(MIDDLE, 900, 15), rung(LARGE, 915, 90)]


def test_the_smallest_that_answers_nearly_as_much_as_the_best_is_chosen() -> None:
    ladder = choose(RUNGS, Limits())
    assert ladder.chosen == 2
    assert ladder.reason == (
        "{specialist: distil, layers: 3} is the smallest that holds every limit; the next smaller one, {specialist: distil, "
        "precision: int4, layers: 2}, is refused: it answers 85.0% of 1,000 test cases, and 89.5% is within 2 points of the "
        "rung that answers most."
    )


@pytest.mark.parametrize(
    ("limits", "chosen", "why"),
    [
        (Limits(escalated=0.4), 0, "the smallest that holds every limit."),
        (Limits(escalated=0.2), 1, "it answers 70.0% of 1,000 test cases, and limits.escalated asks for 80.0%."),
        (Limits(p99=0.01), None, "its p99 is 90 ms at 20 arrivals a second, and limits.p99 is 10 ms"),
        (Limits(escalated=0.01), None, "it answers 91.5% of 1,000 test cases, and limits.escalated asks for 99.0%"),
    ],
)
def test_the_files_limits_decide(limits: Limits, chosen: int | None, why: str) -> None:
    ladder = choose(RUNGS, limits)
    assert ladder.chosen == chosen
    assert why in ladder.reason


def test_what_cannot_keep_the_promise_is_not_chosen_however_small() -> None:
    refused = "the promise cannot be kept: at no level is the error low enough"
    ladder = choose([rung(STATIC, 0, 1, refused=refused), *RUNGS[2:]], Limits())
    assert ladder.chosen == 1 and refused in ladder.reason


def test_the_frontier_leaves_out_what_another_rung_beats() -> None:
    beaten = rung(replace(LARGE, recipe="heads"), 880, 95)
    assert choose([*RUNGS, beaten], Limits()).frontier() == [True, True, True, True, False]


def test_the_family_has_every_size_in_every_precision_and_static_only_where_it_can_answer(tmp_path: Path) -> None:
    labels = write_workload(tmp_path / "labels", 6)
    assert [line_of(tier) for tier in family(labels)].count("{specialist: static}") == 1
    answer = {
        "type": "object",
        "properties": {"amount": {"type": "number"}},
        "required": ["amount"],
        "additionalProperties": False,
    }
    lines = [{"input": f"it costs {number} euros", "expected": {"amount": number}} for number in range(6)]
    copied = write_workload(tmp_path / "copied", lines, answer=answer)
    assert {(tier.recipe, tier.precision) for tier in family(copied)} == {
        (recipe, precision) for recipe in ("heads", "finetune", "distil", "prune") for precision in ("int4", "int8", "float32")
    }


@pytest.mark.slow
def test_a_ladder_measures_every_rung_and_is_told_by_the_command_line(tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 240)
    ladder = climb_ladder(workload)
    assert len(ladder.rungs) == len(list(family(workload)))
    assert [one.size for one in ladder.rungs] == sorted(one.size for one in ladder.rungs)
    assert all(0 < one.p50 <= one.p99 and one.memory > one.size for one in ladder.rungs)
    assert ladder.chosen is not None
    json.dumps([one.document() for one in ladder.rungs])
