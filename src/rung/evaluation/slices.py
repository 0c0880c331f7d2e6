"""Turns findings into slices of the cases, each with its own rates, and names those that are worse than the rest.

Knows nothing about models or files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from rung.charts import spell
from rung.evaluation.findings import Finding, signature
from rung.evaluation.rates import Rate, rate
from rung.statistics.hypergeometric import chances
from rung.statistics.paired import holm
from rung.workload import Workload

FEWEST, MOST = 2, 30  # distinct values of a context key that makes slices
LENGTH = "characters"  # by which texts are cut into bands
SIGNIFICANT = 0.05  # the chance that any slice at all is named although none is worse


@dataclass(frozen=True, slots=True)
class Slice:
    """The cases with one `value` of `by`: a label field, "characters", or a key of the context. `error` is the share wrong among
    the answered, `whole` the share whose last answer is right, accepted or not."""

    by: str
    value: str
    cases: int
    answered: Rate
    error: Rate
    whole: Rate

    @property
    def name(self) -> str:
        """The slice as a sentence has it."""
        return f"{self.by} {self.value}"


@dataclass(frozen=True, slots=True)
class Worse:
    """A slice whose answered cases are wrong more often than the `rest`, which are all other answered ones. `p` is how probable
    so many wrong ones are by chance (Fisher's exact test, one-sided), corrected for `compared` slices (Holm 1979)."""

    slice: Slice
    rest: Rate
    p: float
    compared: int

    @property
    def sentence(self) -> str:
        """What is worse, in numbers."""
        here, rest = self.slice.error, self.rest
        shares = spell(here.count / here.of, "share"), spell(rest.count / rest.of, "share")
        chance = f"p = {self.p:.2g}" if self.p >= 0.001 else "p < 0.001"
        ends = f"{spell(here.low, 'share')} to {spell(here.high, 'share')}"
        return (
            f"{self.slice.name}: of {here.of:,} answered {here.count:,} are wrong, {shares[0]} (95 % interval {ends}), elsewhere "
            f"{rest.count:,} of {rest.of:,}, {shares[1]} ({chance}, corrected for {self.compared:,} slices)."
        )

    def document(self) -> dict[str, Any]:
        """As JSON."""
        about = {"by": self.slice.by, "value": self.slice.value, "rest": self.rest}
        return {**about, "p": self.p, "compared": self.compared, "sentence": self.sentence}


def cut(workload: Workload, findings: Sequence[Finding]) -> list[Slice]:
    """The slices by each label field's agreed value, by the quarters of the text lengths, and by every context key whose values,
    each a text, number, truth value or null, are `FEWEST` to `MOST` different ones."""
    names = [field.name for field in workload.fields if field.fill == "label"]
    by = {name: _grouped([one.expected.get(name, ...) for one in findings]) for name in names}
    by |= {LENGTH: _lengths(findings)}
    for key in sorted({key for one in findings for key in one.case.context} - by.keys()):
        values = [one.case.context.get(key, ...) for one in findings]
        groups = _grouped(values)
        if FEWEST <= len(groups) <= MOST and not any(isinstance(value, dict | list) for value in values):
            by[key] = groups
    return [
        _slice(name, value, [findings[at] for at in places]) for name, groups in by.items() for value, places in groups.items()
    ]


def compare(slices: Sequence[Slice], error: Rate) -> list[Worse]:
    """The slices whose error is significantly above the rest's, the least likely to be chance first; `error` is that of all."""
    tested = [one for one in slices if 0 < one.error.of < error.of]
    tails = [chances(error.of, error.count, one.error.of)[one.error.count :].sum() for one in tested]
    worse = [
        Worse(one, rate(error.count - one.error.count, error.of - one.error.of), float(p), len(tested))
        for one, p in zip(tested, holm([min(1.0, float(tail)) for tail in tails]), strict=True)
        if p <= SIGNIFICANT
    ]
    return sorted(worse, key=lambda one: (one.p, -one.slice.error.low, one.slice.name))


def _grouped(values: Sequence[Any]) -> dict[str, list[int]]:
    """The positions of each value, the values in order; ... stands for none."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for at, value in enumerate(values):
        if value is not ...:
            found[value if isinstance(value, str) else signature(value)].append(at)
    return dict(sorted(found.items()))


def _lengths(findings: Sequence[Finding]) -> dict[str, list[int]]:
    """Four bands with about as many texts each, or fewer where many are equally long."""
    lengths = np.array([len(one.case.text) for one in findings], np.int64)
    if not len(lengths):
        return {}
    edges = np.unique(np.quantile(lengths, (0, 0.25, 0.5, 0.75, 1), method="higher"))
    edges[-1] += 1
    bands = [(int(low), int(high) - 1) for low, high in pairwise(edges)] or [(int(edges[0]) - 1, int(edges[0]) - 1)]
    return {f"{low:,} to {high:,}": np.flatnonzero((low <= lengths) & (lengths <= high)).tolist() for low, high in bands}


def _slice(by: str, value: str, inside: Sequence[Finding]) -> Slice:
    answered = [one.right for one in inside if one.accepted]
    return Slice(
        by=by,
        value=value,
        cases=len(inside),
        answered=rate(len(answered), len(inside)),
        error=rate(answered.count(False), len(answered)),
        whole=rate(sum(one.right for one in inside), len(inside)),
    )
