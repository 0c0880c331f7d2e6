"""The evaluation report says what metrics hold, in words, tables and charts.

`python tests/test_evaluation_report.py` writes the golden file again, to be read before it is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rung.cascade.promise import Threshold
from rung.charts import Block, Callout, Fact, render_html, render_markdown
from rung.core import Answer, Attempt, Case, Decision, Outcome, Problem
from rung.evaluation.asking import Agreed
from rung.evaluation.gates import Ruling
from rung.evaluation.metrics import Metrics, measure
from rung.evaluation.report import MOST, SHOWN, evaluation_blocks, gate_blocks
from rung.workload import Boundary, Field, Limits, Promise, SpecialistTier, Workload

INTENTS = ("card", "fee", "refund")
PROMISE = Promise(0.05, 0.95)
WORKLOAD = Workload(
    name="support",
    task="Name the intent.",
    file=Path("workload.yaml"),
    schema={},
    fields=(
        Field("intent", "label", {}, labels=INTENTS),
        Field("amount", "copy", {"type": ["number", "null"]}),
        Field("reply", "template", {}, template="{intent}.md"),
    ),
    gold=Path("gold.jsonl"),
    checks=(),
    tiers=(SpecialistTier(),),
    promise=PROMISE,
    limits=Limits(),
    boundary=Boundary(),
)


def decided(cases: int, wrong_refunds: int, level: float = 0.7) -> tuple[list[Agreed], list[Decision]]:
    """Cases of which some refunds are read as fees; every tenth is unsure, every fiftieth is objected to, one fails."""
    agreed: list[Agreed] = []
    decisions: list[Decision] = []
    for n in range(cases):
        label, amount = INTENTS[n % 3], n if n % 2 else None
        mistaken = label == "refund" and n // 3 < wrong_refunds
        asked = Case(f"message {n} about | money {'please ' * (n % 7)}", {"language": "de" if n % 5 else "en"}, id=str(n))
        said = {"intent": "fee" if mistaken else label, "amount": 10_000 + n if n % 60 == 10 else amount, "reply": "Dear"}
        problems = (Problem("model", "no answer"),) if n == 1 else (Problem("schema", "no"),) if n % 50 == 2 else ()
        sure = 0.5 + (n % 4) / 20 if n % 10 == 0 else 0.8 + (n % 19) / 100
        trusted = not problems and sure >= level
        attempt = Attempt("specialist", None if n == 1 else Answer(said), problems, sure, 0.01, 0.0001, trusted)
        outcome, tier = (Outcome.ACCEPTED, "specialist") if trusted else (Outcome.REVIEW, "person")
        agreed.append(Agreed(asked, {"intent": label, "amount": amount}))
        decisions.append(Decision(asked.id, outcome, said if trusted else None, sure, tier, "r1", 0.0001, 0.01, (attempt,)))
    return agreed, decisions


def measured(agreed: Sequence[Agreed], decisions: Sequence[Decision]) -> Metrics:
    return measure(WORKLOAD, agreed, decisions)


GOLDEN = Path(__file__).parent / "golden" / "evaluation.md"
RULINGS = [
    Ruling("promise", "proven", "5 of 263 answers are wrong, 1.90%, at most 3.97% with 95% confidence, and 5% was promised."),
    Ruling("escalated", "refused", "36 of 300 cases leave the specialists, over limits.escalated of 5.00%."),
]


def report() -> list[Block]:
    agreed, decisions = decided(300, 6)
    blocks = evaluation_blocks(
        "release 3f2a",
        measured(agreed, decisions),
        PROMISE,
        Threshold(0.7, 400, 330, 2, 0.0189),
        [Fact("99th percentile", "3.1 ms", "n = 300")],
        [(f"Case {at}", one.case.text) for at, one in enumerate(agreed, 1)],
    )
    return [*blocks[:2], *gate_blocks(RULINGS, ["limits.p99 is asked too."]), *blocks[2:]]


def test_the_report_reads_as_it_should() -> None:
    assert render_markdown("Evaluation of support", report()) == GOLDEN.read_text(encoding="utf-8")
    assert render_html("Evaluation of support", report()).count("<svg") == 4 + 2  # two figures, twice, and the verdicts' signs


@pytest.mark.parametrize(
    ("cases", "wrong", "kind", "says"),
    [
        (0, 0, "neutral", "answers nothing"),
        (40, 0, "neutral", "too few to prove it"),
        (300, 0, "good", "keeps its promise"),
        (300, 60, "bad", "breaks its promise"),
    ],
)
def test_the_verdict_is_that_of_the_bounds(cases: int, wrong: int, kind: str, says: str) -> None:
    verdict = evaluation_blocks("it", measured(*decided(cases, wrong)), PROMISE)[0]
    assert isinstance(verdict, Callout)
    assert (verdict.kind, says in verdict.title) == (kind, True)


def test_where_nothing_is_answered_there_is_no_curve_and_still_a_report() -> None:
    agreed, decisions = decided(2, 0, level=2.0)
    page = render_markdown("Evaluation", evaluation_blocks("it", measured(agreed[1:], decisions[1:]), PROMISE))
    assert "it answers nothing without a person" in page
    assert "Area under" not in page
    assert "No answer is wrong." in page


def test_every_disagreement_may_be_opened_and_texts_stand_only_where_they_are_given() -> None:
    metrics = measured(*decided(300, 70))
    page = render_markdown("Evaluation", evaluation_blocks("it", metrics, PROMISE))
    assert page.count("<summary>Case ") == len(metrics.disagreements) > SHOWN
    assert f"<summary>{len(metrics.disagreements) - SHOWN} further disagreements</summary>" in page
    assert "message" not in page


def test_of_very_many_disagreements_a_page_has_the_first_and_says_where_all_are() -> None:
    page = render_markdown("Evaluation", evaluation_blocks("it", measured(*decided(1800, 600)), PROMISE))
    assert page.count("<summary>Case ") == MOST
    assert f"The first {MOST} follow; rung evaluate --json has all." in page


if __name__ == "__main__":
    GOLDEN.write_text(render_markdown("Evaluation of support", report()), encoding="utf-8")
