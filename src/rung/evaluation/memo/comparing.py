"""Turns candidates' answers to the same cases into paired comparisons, and into the error at each share answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import comb

from rung.charts import Axis, Block, Details, Figure, Heading, Paragraph, Reference, Series, Table, lines, spell
from rung.evaluation.candidates import Bakeoff
from rung.evaluation.choosing import Choice
from rung.evaluation.comparisons import Comparison, by_right, compare, spell_p
from rung.evaluation.phrases import gap, percent
from rung.evaluation.ranking import best, fixed, large, reference
from rung.statistics.paired import detectable


def comparing(bakeoff: Bakeoff, choice: Choice) -> Iterator[Block]:
    """Paired comparisons; none where there is one candidate."""
    against = large(bakeoff) or best(bakeoff.candidates)
    if against is None or len(bakeoff.candidates) == 1:
        return
    compared = compare(bakeoff.candidates, by_right, fixed(bakeoff))
    pairs = [compared[one.name, against.name] for one in choice.ranking if one.name != against.name]
    every = f"The results decided that, so p is corrected for all pairs of candidates ({comb(len(bakeoff.candidates), 2):,})."
    why = "the large baseline that is right most often" if against.large else "right most often; no large baseline was named"
    held = f"{against.name} is {why}. {every}"
    if fixed(bakeoff):
        many = f"corrected for these {len(pairs):,} comparisons" if len(pairs) > 1 else "that of a single comparison"
        held = f"{against.name} is the large baseline. No result decided that: p is {many}."
    yield Heading(f"Paired comparisons with {against.name}")
    yield Paragraph(
        f"{held} Gained are test cases on which the candidate is right as a whole and {against.name} is not, lost are those the "
        "other way round. Whether an answer would have been trusted does not count here."
    )
    yield _table(pairs)
    yield Paragraph(_power(pairs, choice))
    yield from _curves(bakeoff, choice)
    tests = [one.apart for one in choice.ranking if one.apart is not None]
    if tests:
        told = f"Against {tests[0].against}, the cheapest of the candidates that may be released. {every}"
        yield Details("The tests behind the decision: cases answered rightly without a person", [Paragraph(told), _table(tests)])


def _power(pairs: Sequence[Comparison], choice: Choice) -> str:
    """The smallest difference that this gold shows, for a pair that differs as the most interesting one does."""
    pair = next((one for one in pairs if one.candidate == choice.chosen), pairs[0])
    apart = (pair.gained + pair.lost) / pair.cases
    return (
        f"What this gold can tell: {pair.candidate} and {pair.against} differ on {spell(apart, 'share')} of {pair.cases:,} test "
        f"cases. Between two such candidates a true difference of {100 * detectable(pair.cases, apart):.1f} points would be "
        "found four times in five (two-sided test at 5 %, without correction); a smaller one mostly stays hidden. That p is "
        "large does not say that two candidates are alike: the interval says how different they may be."
    )


def _table(pairs: Sequence[Comparison]) -> Table:
    rows = [(one.candidate, f"{one.gained:,}", f"{one.lost:,}", gap(one), _p(one.p), _p(one.adjusted)) for one in pairs]
    return Table(("candidate", "gained", "lost", "difference (95 %)", "p", "p, Holm"), rows)


def _p(p: float) -> str:
    return spell_p(p).removeprefix("p ").removeprefix("= ")


def _curves(bakeoff: Bakeoff, choice: Choice) -> Iterator[Figure]:
    """The error at each share answered, of the chosen candidate (or the best) and of what it is held against."""
    first = choice.taken.candidate if choice.taken else best(bakeoff.candidates)
    shown = {one.name: one for one in (first, reference(bakeoff, choice.chosen)) if one is not None}
    series = [
        Series(name, [(point.coverage, point.risk) for point in one.metrics.risk_coverage.points])
        for name, one in shown.items()
        if one.metrics.risk_coverage is not None
    ]
    if series:
        yield lines(
            "Error at each share answered",
            series,
            Axis("share answered without a person", "share", include=(0, 1)),
            Axis("wrong among these", "share", include=(0,)),
            [Reference(f"promised: at most {percent(bakeoff.promise.error)}", bakeoff.promise.error)],
            f"Each candidate answers its surest cases first (n = {bakeoff.gold.test:,}). Calibration stops where the promise can "
            "still be proven, which is before the line meets it.",
        )
