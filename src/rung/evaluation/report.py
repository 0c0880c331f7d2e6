"""Turns metrics into the blocks of an evaluation report, which come out as a page or as Markdown. Computes nothing itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rung.cascade.promise import Threshold, contradiction
from rung.charts import (
    Axis,
    Bin,
    Block,
    Bullets,
    Callout,
    Code,
    Details,
    Fact,
    Facts,
    Heading,
    Paragraph,
    Reference,
    Series,
    Table,
    lines,
    reliability,
    spell,
)
from rung.evaluation.confidence import Calibration, RiskCoverage
from rung.evaluation.fields import FieldMetrics
from rung.evaluation.gates import Ruling
from rung.evaluation.metrics import Disagreement, Metrics
from rung.evaluation.phrases import counted, percent
from rung.evaluation.rates import Estimate, Rate, rate
from rung.evaluation.slices import Slice
from rung.statistics.binomial import upper_bound
from rung.workload import Promise

SHOWN = 50  # disagreements in sight; the others are folded
MOST = 500  # disagreements on a page: all are in the JSON
WORST = 10  # slices in sight; the others are folded
LONGEST = 2000  # characters of a case's text
NONE = "-"

METHODS = (
    "Shares: exact two-sided 95 % intervals (Clopper and Pearson 1934). The bound on the error is one-sided, at the promise's "
    "confidence.",
    "Other figures: percentile bootstrap over cases, 95 % (Efron and Tibshirani 1993, chapter 13), from a fixed seed.",
    "F1: of labels the mean F1 of all that occur (macro); of copied values over all of them (micro), a list's in any order, "
    "those of objects by property.",
    "Expected calibration error: Naeini, Cooper and Hauskrecht 2015, over bins with about as many answers each (Nixon et al. "
    "2019). Where answers are few it is biased upwards, and so is the lower end of its interval (Roelofs et al. 2022).",
    "Risk and coverage: Geifman and El-Yaniv 2017; the area under the curve: Geifman, Uziel and El-Yaniv 2019, over the answers "
    "that no check objects to.",
    "Slices: Fisher's exact test, one-sided, against all other answered cases, with Holm's correction (1979) over all slices, at "
    "5 %.",
    "A value from nowhere: a copied one that is found neither in the text nor in the context, in whatever form its schema may be "
    "written; what people agreed on counts as found.",
)


def evaluation_blocks(
    name: str,
    metrics: Metrics,
    promise: Promise,
    threshold: Threshold | None = None,
    facts: Sequence[Fact] = (),
    texts: Sequence[tuple[str, str]] = (),
) -> list[Block]:
    """The report about `name`, a release or a candidate, without its title.

    `threshold` is that of the release, `facts` are further numbers to be seen at a glance, such as times and hashes; `texts` are
    what each of the agreed cases is called and what it says, in their order; without them cases are numbered.
    """
    blocks: list[Block] = [_verdict(name, metrics, promise), Facts([*_facts(metrics, promise), *facts])]
    blocks += [Heading("Who answers"), _tiers(metrics, promise), *_fields(metrics.fields)]
    if metrics.calibration is not None:
        blocks += _calibration(metrics.calibration)
    if metrics.risk_coverage is not None:
        blocks += _risk_coverage(metrics.risk_coverage, metrics, promise, threshold)
    return [*blocks, *_slices(metrics), *_disagreements(metrics, texts), Heading("Methods"), Bullets(METHODS)]


def gate_blocks(rulings: Sequence[Ruling], unasked: Sequence[str] = ()) -> list[Block]:
    """What the gate says of each limit; `unasked` are sentences about limits that it was not asked about."""
    refused = sum(one.verdict == "refused" for one in rulings)
    passed = "The gate is passed" + (", as far as it is asked here" if unasked else "")
    said = f"The gate refuses it, for {refused} of {len(rulings)} limits" if refused else passed
    why = "What refuses is a bound over its limit; a figure alone may be over it by chance."
    verdict = Callout("bad" if refused else "good", said, why)
    rows = [(one.limit, one.verdict, f"{one.sentence[:1].upper()}{one.sentence[1:]}") for one in rulings]
    table = Table(("Limit", "Verdict", "What the test cases show"), rows, "lll")
    return [Heading("The gate"), verdict, table, *(Paragraph(each) for each in unasked)]


def _verdict(name: str, metrics: Metrics, promise: Promise) -> Callout:
    error, answered = metrics.error, metrics.answered
    if not error.of:
        return Callout("neutral", f"{name} answers nothing without a person", f"There are {metrics.cases:,} cases.")
    bound, sure = upper_bound(error.count, error.of, promise.confidence), percent(promise.confidence)
    seen = (
        f"Of {answered.of:,} cases {answered.count:,} are answered without a person, {_share(answered.share)}. Of these "
        f"{error.count:,} are wrong, {_share(error.share)}, at most {spell(bound, 'share')} with {sure} confidence; at most "
        f"{percent(promise.error)} were promised."
    )
    if contradiction(error.count, error.of, promise) is not None:
        return Callout("bad", f"{name} breaks its promise", seen)
    if bound <= promise.error:
        return Callout("good", f"{name} keeps its promise", seen)
    return Callout("neutral", f"{name} does not contradict its promise; these cases are too few to prove it", seen)


def _facts(metrics: Metrics, promise: Promise) -> Iterator[Fact]:
    sure = percent(promise.confidence)
    yield Fact("Answered without a person", _share(metrics.answered.share), counted(metrics.answered))
    bound = f"at most {_at_most(metrics.error, promise)} with {sure} confidence"
    yield Fact("Wrong among these", _share(metrics.error.share), f"{counted(metrics.error)}; {bound}")
    yield Fact("Right if all had to be answered", _share(metrics.whole.share), counted(metrics.whole))
    yield Fact("With a value from nowhere", _share(metrics.hallucinated.share), counted(metrics.hallucinated))
    yield Fact("Accepted with such a value", _share(metrics.accepted_hallucinated.share), counted(metrics.accepted_hallucinated))
    yield Fact("Objected to by a check", _share(metrics.objected.share), counted(metrics.objected))
    yield Fact("Without any answer", _share(metrics.refused.share), counted(metrics.refused))
    if cost := metrics.cost:
        ends = f"{spell(cost.low, 'USD')} to {spell(cost.high, 'USD')}, n = {cost.of:,}"
        yield Fact("Cost of a case", spell(cost.value, "USD"), f"{ends}; without people's time")


def _tiers(metrics: Metrics, promise: Promise) -> Table:
    people = rate(metrics.answered.of - metrics.answered.count, metrics.answered.of)
    rows = [
        (
            one.tier,
            f"{one.answered.of:,}",
            f"{one.answered.count:,}",
            _rate(one.answered),
            f"{one.error.count:,}",
            _rate(one.error),
            _at_most(one.error, promise),
        )
        for one in metrics.tiers
    ]
    rows.append(("a person", f"{people.count:,}", f"{people.count:,}", _rate(people), NONE, NONE, NONE))
    bound = f"At most ({percent(promise.confidence)})"
    return Table(("Who answers", "Reached", "Answered", "Share", "Wrong", "Error", bound), rows)


def _fields(fields: Sequence[FieldMetrics]) -> Iterator[Block]:
    yield Heading("Fields")
    yield Paragraph("The last answer that any tier gave, accepted or not. In brackets: 95 % intervals.")
    rows = [(one.name, one.fill, f"{one.accuracy.of:,}", _rate(one.accuracy), _estimate(one.f1)) for one in fields]
    yield Table(("Field", "Filled by", "Cases", "Right", "F1"), rows, "llrrr")
    for one in fields:
        if one.confusions:
            pairs = [(_json(pair.expected), _json(pair.said), f"{pair.count:,}") for pair in one.confusions]
            yield Details(f"What {one.name} confuses most often", [Table(("Expected", "Said", "Cases"), pairs, "llr")])
    values = [
        (one.name, f"{one.expected:,}", f"{one.said:,}", f"{one.found:,}", _estimate(one.precision), _estimate(one.recall))
        for one in fields
        if one.fill == "copy"
    ]
    if values:
        yield Table(("Copied values", "Expected", "Said", "Of these right", "Precision", "Recall"), values)


def _calibration(calibration: Calibration) -> Iterator[Block]:
    error = calibration.error
    yield Heading("Can the confidence be believed?")
    yield Paragraph(
        f"Expected calibration error: {_estimate(error)}, n = {error.of:,}. Perfect calibration would show about "
        f"{spell(calibration.noise, 'share')} with so many answers."
    )
    bins = [
        Bin(one.start, one.end, one.confidence, one.right.share or 0.0, (one.right.low, one.right.high), one.right.of)
        for one in calibration.bins
    ]
    yield reliability("How often answers of a confidence are right", bins, "Each bin holds about as many answers.")


def _risk_coverage(curve: RiskCoverage, metrics: Metrics, promise: Promise, threshold: Threshold | None) -> Iterator[Block]:
    area = curve.area
    yield Heading("What would other thresholds do?")
    level = f" The release answers from a confidence of {threshold.level:.4f} on." if threshold else ""
    yield Paragraph(f"Area under the curve: {_estimate(area)}, n = {area.of:,}. Lower is better.{level}")
    marks = [Reference("Promised", promise.error)]
    marks += [Reference("As served", metrics.answered.share, "x")] if metrics.answered.share else []
    points = [(one.coverage, one.risk) for one in curve.points]
    x, y = Axis("Answered without a person", "share"), Axis("Wrong among these", "share", include=(0.0,))
    yield lines("The error at each share answered", [Series("Wrong among these", points)], x, y, marks)


def _slices(metrics: Metrics) -> Iterator[Block]:
    if not metrics.slices:
        return
    yield Heading("Slices")
    yield Paragraph(metrics.slices_sentence)
    if metrics.worst:
        yield Bullets([one.sentence for one in metrics.worst])
    named = [one.slice for one in metrics.worst]
    others = sorted(
        (one for one in metrics.slices if one not in named), key=lambda one: (-(one.error.share or 0.0), -one.error.of)
    )
    ordered = named + others
    yield _slice_table(ordered[:WORST])
    if ordered[WORST:]:
        yield Details(f"{len(ordered) - WORST:,} further slices", [_slice_table(ordered[WORST:])])


def _slice_table(slices: Sequence[Slice]) -> Table:
    rows = [(one.name, f"{one.cases:,}", _rate(one.answered), _rate(one.error), _rate(one.whole)) for one in slices]
    return Table(("Slice", "Cases", "Answered", "Wrong among these", "Right, accepted or not"), rows)


def _disagreements(metrics: Metrics, texts: Sequence[tuple[str, str]]) -> Iterator[Block]:
    wrong = metrics.disagreements
    yield Heading("Disagreements")
    count = metrics.cases - metrics.whole.count - metrics.refused.count
    if not wrong:
        kept = f"{count:,} of {metrics.cases:,} last answers are wrong. A release keeps no case: rung evaluate shows each."
        yield Paragraph(kept if count else "No answer is wrong.")
        return
    accepted = metrics.error.count
    first = f" The first {MOST:,} follow; rung evaluate --json has all." if len(wrong) > MOST else ""
    yield Paragraph(
        f"{len(wrong):,} of {metrics.cases:,} last answers are wrong; {accepted:,} of them are accepted and come first, the most "
        f"confident ones at the top.{first}"
    )
    opened = [_disagreement(one, texts) for one in wrong[:MOST]]
    yield from opened[:SHOWN]
    if folded := opened[SHOWN:]:
        yield Details(f"{len(folded):,} further disagreements", folded)


def _disagreement(one: Disagreement, texts: Sequence[tuple[str, str]]) -> Details:
    became = "accepted" if one.accepted else "left to a person"
    rows = [(name, _json(one.expected[name]), _json(one.said[name])) for name in one.expected]
    blocks: list[Block] = [Table(("Field", "Expected", "Said"), rows, "lll")]
    name, text = texts[one.at] if texts else (f"Case {one.at + 1:,}", "")
    if text:
        blocks.append(Code(text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."))
    summary = f"{name}: {', '.join(one.expected)}. {one.tier}, confidence {one.confidence:.3f}, {became}"
    return Details(summary, blocks)


def _share(value: float | None) -> str:
    return NONE if value is None else spell(value, "share")


def _with(value: float, low: float, high: float) -> str:
    """A share and its interval, as short as a table needs it: `97.4 % (96.1 to 98.3)`."""
    decimals = 1 if value >= 0.01 or not value else 2
    return f"{100 * value:.{decimals}f} % ({100 * low:.{decimals}f} to {100 * high:.{decimals}f})"


def _rate(rate: Rate) -> str:
    return NONE if rate.share is None else _with(rate.share, rate.low, rate.high)


def _at_most(error: Rate, promise: Promise) -> str:
    return spell(upper_bound(error.count, error.of, promise.confidence), "share") if error.of else NONE


def _estimate(estimate: Estimate | None) -> str:
    return NONE if estimate is None else _with(estimate.value, estimate.low, estimate.high)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
