"""Turns findings into how well each field is filled: labels by F1 and confusions, copied fields by the values found.

Knows nothing about confidence or thresholds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rung.core import same
from rung.evaluation.findings import Finding, copied, signature
from rung.evaluation.rates import Draws, Estimate, Ints, Rate, estimate, over, rate, totals
from rung.workload import Field, Workload

PAIRS = 10  # confusions that are named


@dataclass(frozen=True, slots=True)
class Confusion:
    """A label that people expect, what was said instead, and how often."""

    expected: Any
    said: Any
    count: int


@dataclass(frozen=True, slots=True)
class FieldMetrics:
    """How a field is filled in the last answers, accepted or not; where no tier answers nothing is right, and nothing said.

    Of a label, `f1` is the mean F1 of every one that people or answers give (macro), so that rare ones count as much; None of no
    case. `confusions` are the most frequent.

    Of a copied field, counted over all cases are the values `expected`, those `said` and those `found`, which are in both: a
    list's as often as they stand in it, in any order, those of objects by property, null not at all. `precision` is found of
    said, `recall` found of expected, `f1` their harmonic mean (micro); None where there is nothing to divide by.
    """

    name: str
    fill: Literal["label", "copy"]
    accuracy: Rate
    f1: Estimate | None
    confusions: tuple[Confusion, ...] = ()
    precision: Estimate | None = None
    recall: Estimate | None = None
    expected: int = 0
    said: int = 0
    found: int = 0

    def document(self) -> dict[str, Any]:
        """As JSON."""
        about = {"field": self.name, "fill": self.fill, "accuracy": self.accuracy}
        if self.fill == "label":
            return {**about, "macro_f1": self.f1, "confusions": self.confusions}
        values = {"expected": self.expected, "said": self.said, "found": self.found}
        return {**about, "f1": self.f1, "precision": self.precision, "recall": self.recall, "values": values}


def judge_fields(workload: Workload, findings: Sequence[Finding], draws: Draws) -> tuple[FieldMetrics, ...]:
    """How well each field is filled that people agreed on, in the workload's order."""
    return tuple(
        _labels(field, findings, draws) if field.fill == "label" else _copies(field, findings, draws)
        for field in workload.fields
        if field.fill != "template"
    )


def _accuracy(name: str, findings: Sequence[Finding]) -> Rate:
    known = [one for one in findings if name in one.expected]
    return rate(sum(one.said is not None and same(one.said.get(name), one.expected[name]) for one in known), len(known))


def _labels(field: Field, findings: Sequence[Finding], draws: Draws) -> FieldMetrics:
    name = field.name
    known = [one for one in findings if name in one.expected]
    truth = [signature(one.expected[name]) if name in one.expected else "" for one in findings]
    guess = ["" if one.said is None or name not in one.expected else signature(one.said.get(name)) for one in findings]
    number = {label: code for code, label in enumerate(sorted({*truth, *guess} - {""}))}
    nothing = number[""] = len(number)
    pairs = np.array([number[label] for label in truth]) * (nothing + 1) + np.array([number[label] for label in guess])
    cells, cell = np.unique(pairs.astype(np.int64), return_inverse=True)
    confused = np.stack(np.divmod(cells, nothing + 1))
    return FieldMetrics(
        name,
        "label",
        _accuracy(name, findings),
        estimate(lambda drawn: _macro_f1(totals(drawn, cell, len(cells)), confused, nothing), draws, len(known)),
        _confusions(name, [one for one in known if one.said is not None]),
    )


def _macro_f1(counts: NDArray[np.float64], confused: Ints, labels: int) -> NDArray[np.float64]:
    """Per row the mean F1 of those labels that it has. `counts` [rows, cells] says how often each pair of expected and said
    label, `confused` [2, cells], occurs; the number `labels` stands for none."""
    truth, guess = confused
    hits = totals(counts, truth, labels, truth == guess)
    given = totals(counts, truth, labels) + totals(counts, guess, labels)
    f1 = 2 * hits / np.maximum(given, 1)
    return over(f1.sum(axis=1), (given > 0).sum(axis=1))


def _confusions(name: str, answered: Sequence[Finding]) -> tuple[Confusion, ...]:
    pairs = [(one.expected[name], (one.said or {}).get(name)) for one in answered]
    wrong = {(signature(expected), signature(said)): (expected, said) for expected, said in pairs if not same(expected, said)}
    counts = Counter((signature(expected), signature(said)) for expected, said in pairs)
    worst = sorted(wrong, key=lambda pair: (-counts[pair], pair))[:PAIRS]
    return tuple(Confusion(*wrong[pair], counts[pair]) for pair in worst)


def _copies(field: Field, findings: Sequence[Finding], draws: Draws) -> FieldMetrics:
    counts = np.array([_count(field.name, one) for one in findings], np.float32).reshape(-1, 3)  # whole numbers: exact
    expected, said, found = counts.sum(axis=0).astype(int).tolist()

    def share(parts: tuple[int, int, int], of: tuple[int, int, int]) -> Estimate | None:
        """The ratio of two sums of the three counts."""
        return estimate(lambda drawn: over((drawn @ counts) @ parts, (drawn @ counts) @ of), draws, len(findings))

    return FieldMetrics(
        field.name,
        "copy",
        _accuracy(field.name, findings),
        f1=share((0, 0, 2), (1, 1, 0)),
        precision=share((0, 0, 1), (0, 1, 0)),
        recall=share((0, 0, 1), (1, 0, 0)),
        expected=expected,
        said=said,
        found=found,
    )


def _count(name: str, finding: Finding) -> tuple[int, int, int]:
    """How many values a case expects, how many were said, and how many of them are the same."""
    expected = Counter((kind, signature(value)) for kind, value in copied(name, finding.expected.get(name)))
    said = Counter((kind, signature(value)) for kind, value in copied(name, (finding.said or {}).get(name)))
    return expected.total(), said.total(), (expected & said).total()
