"""Turns the candidates into one table, those refused with the reason, and the front of those worth having."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import compress

from rung.charts import (
    Axis,
    Block,
    Bullets,
    Details,
    Figure,
    Heading,
    Mono,
    Paragraph,
    Point,
    Prose,
    Strong,
    Table,
    scatter,
    spell,
)
from rung.evaluation.candidates import Bakeoff
from rung.evaluation.choosing import Choice
from rung.evaluation.money import dollars
from rung.evaluation.phrases import NONE, at_most, estimated, listed, percent, prose, seconds, share, size
from rung.evaluation.ranking import Ranked, unbeaten

Measure = Callable[[Ranked], float]  # of which less is better


def contest(bakeoff: Bakeoff, choice: Choice) -> Iterator[Block]:
    """All candidates."""
    yield Heading("All candidates")
    yield Paragraph(
        f"On the same {bakeoff.gold.test:,} test cases. What may be released stands first, and the cheaper above the dearer, "
        "people included. In brackets: the 95 % interval of the share right, and the most that the share wrong may be, with "
        f"{percent(bakeoff.promise.confidence)} confidence.{_which(choice)}"
    )
    yield _table(bakeoff, choice)
    refused = [one.candidate for one in choice.ranking if not one.open]
    if refused:
        yield Paragraph("Refused, and why:")
        yield Bullets([(Strong(one.name), *prose(f": {one.refused}")) for one in refused])
    yield _view(
        "Quality and cost",
        choice,
        Axis("US dollars a case, people included", "USD"),
        lambda one: one.bill.total,
        "Up and to the left is better. The line joins the candidates that no other beats in both; the ring is the one taken; "
        "the bars are 95 % intervals.",
    )
    yield _view(
        "Quality and time",
        choice,
        Axis("99 of 100 answers come within", "seconds", log=True),
        lambda one: one.candidate.p99,
        "As above, with the time to answer instead of the cost.",
    )
    front = [one.name for one in _unbeaten(choice, lambda one: one.bill.total, lambda one: one.candidate.p99)]
    said = f"Not beaten in quality, cost and p99 together (the Pareto front, as measured): {listed(front)}."
    if len(front) < len(choice.ranking):
        said += " Each of the others is matched in all three, and beaten in one, by one of these."
    yield Paragraph(said)
    yield Details("Intervals of the other figures; sizes and times", [_more(choice), _times(choice)])


def _label(choice: Choice) -> int | None:
    """The place of the first field that is a label."""
    fields = choice.ranking[0].candidate.metrics.fields
    return next((at for at, field in enumerate(fields) if field.fill == "label"), None)


def _which(choice: Choice) -> str:
    at, fields = _label(choice), choice.ranking[0].candidate.metrics.fields
    return f" Macro-F1 is that of {fields[at].name}." if at is not None and len(fields) > 1 else ""


def _table(bakeoff: Bakeoff, choice: Choice) -> Table:
    label = _label(choice)
    rows: list[tuple[Prose, ...]] = []
    for one in choice.ranking:
        metrics = one.candidate.metrics
        f1 = None if label is None else metrics.fields[label].f1
        error, bound = metrics.error, at_most(metrics.error, bakeoff.promise.confidence)
        rows.append(
            (
                (Strong(one.name), ", taken") if one.name == choice.chosen else one.name if one.open else f"{one.name}, refused",
                dollars(one.bill.total),
                spell(metrics.answered.share or 0, "share"),
                NONE if error.share is None else f"{spell(error.share, 'share')} ({bound})",
                share(metrics.whole),
                NONE if f1 is None else f"{f1.value:.3f}",
                seconds(one.candidate.p99),
            )
        )
    return Table(("candidate", "a case", "answered", "wrong of these", "right as a whole", "macro-F1", "p99"), rows)


def _view(title: str, choice: Choice, axis: Axis, measure: Measure, caption: str) -> Figure:
    front = _unbeaten(choice, measure)
    points: list[Point] = []
    for one in choice.ranking:
        whole = one.candidate.metrics.whole
        interval = whole.low, whole.high
        points.append(Point(one.name, measure(one), whole.share or 0.0, interval, one in front, one.name == choice.chosen))
    return scatter(title, points, axis, Axis("right as a whole", "share"), caption)


def _unbeaten(choice: Choice, *measures: Measure) -> list[Ranked]:
    """The candidates that no other beats in quality and these measures."""
    front = unbeaten([(-sum(one.candidate.right), *(measure(one) for measure in measures)) for one in choice.ranking])
    return list(compress(choice.ranking, front))


def _more(choice: Choice) -> Table:
    """The share answered and each field's macro-F1 or F1, with intervals."""
    fields = choice.ranking[0].candidate.metrics.fields
    header = [f"{one.name}, {'macro-F1' if one.fill == 'label' else 'F1'}" for one in fields]
    rows = [
        (one.name, share(one.candidate.metrics.answered), *(estimated(field.f1) for field in one.candidate.metrics.fields))
        for one in choice.ranking
    ]
    return Table(("candidate", "answered", *header), rows)


def _times(choice: Choice) -> Table:
    rows: list[tuple[Prose, ...]] = []
    for one in (each.candidate for each in choice.ranking):
        times = (one.training, one.busy, one.p50, one.p99)
        rows.append((one.name, (Mono(one.line),), size(one), *map(seconds, times), f"{one.rate:,.3g}"))
    header = "candidate", "in the file", "size", "training", "machine, a case", "p50", "p99", "cases a second"
    return Table(header, rows, "llrrrrrr")
