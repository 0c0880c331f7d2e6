"""Turns the choice into the memo's first page: what to take, what it does and costs, what is given up, what else to know."""

from __future__ import annotations

from collections.abc import Iterator

from rung.charts import Block, Bullets, Callout, Fact, Facts, Heading, Link, Paragraph, Prose, Strong, Table, spell
from rung.evaluation.candidates import Bakeoff
from rung.evaluation.choosing import Choice
from rung.evaluation.comparisons import by_helped, by_right, compare, signed
from rung.evaluation.money import by_person, dollars
from rung.evaluation.phrases import (
    at_most,
    counted,
    gap,
    left,
    percent,
    prose,
    seconds,
    still,
)
from rung.evaluation.ranking import Ranked, fixed, reference
from rung.evaluation.rates import Rate
from rung.workload import Costs


def decision(bakeoff: Bakeoff, costs: Costs, choice: Choice) -> Iterator[Block]:
    """The first page."""
    promise, tried = bakeoff.promise, len(bakeoff.candidates)
    ways = "One way to do the work" if tried == 1 else f"{tried:,} ways to do the work"
    yield Paragraph(
        f"{ways}, judged on {bakeoff.gold.test:,} test cases under one promise: of the cases answered without a person, at most "
        f"{percent(promise.error)} are wrong, with {percent(promise.confidence)} confidence."
    )
    taken = choice.taken
    other = next((one for one in choice.ranking if one.candidate is reference(bakeoff, choice.chosen)), None)
    if taken is None:
        able = any(one.open for one in choice.ranking)
        yield Callout("neutral" if able else "bad", "Release none of the candidates", prose(choice.reason))
    else:
        yield Callout("good", f"Take {taken.name}", _does(bakeoff, taken) + _gives_up(bakeoff, taken, other))
        yield Facts(_facts(bakeoff, costs, taken))
        yield Paragraph((Strong("Why."), f" {choice.reason}"))
    notes = [_note(one.title, one.text) for one in choice.verdicts] + _caution(bakeoff, taken)
    if notes:
        yield Heading("What else to know")
        yield Bullets(notes)
    if taken is not None and other is not None:
        yield Heading(f"What changes against {other.name}")
        yield _changes(bakeoff, taken, other)


def _note(title: str, text: str) -> Prose:
    return [Strong(title), *prose(f" {text}")]


def _does(bakeoff: Bakeoff, taken: Ranked) -> str:
    month = (
        f"; at {bakeoff.volume:,} cases that is {dollars(taken.bill.total * bakeoff.volume)} a month" if bakeoff.volume else ""
    )
    return (
        f"Under the promise it answers {spell(taken.candidate.metrics.answered.share or 0, 'share')} of the cases and leaves the "
        f"rest to people. All in all a case costs {dollars(taken.bill.total)}, {dollars(taken.bill.people)} of it people's "
        f"time{month}."
    )


def _gives_up(bakeoff: Bakeoff, taken: Ranked, other: Ranked | None) -> str:
    """What is traded away. With what may not answer alone only the machines' bills compare: people would decide every case."""
    if other is None:
        return ""
    apart = compare(bakeoff.candidates, by_right, fixed(bakeoff))[taken.name, other.name]
    mine, theirs = (one.bill.total if other.open else one.bill.running for one in (taken, other))
    much, unit = (bakeoff.volume, "a month") if bakeoff.volume else (1, "a case")
    more = f"{dollars(abs(mine - theirs) * much)} {unit} {'less' if mine < theirs else 'more'}" if mine != theirs else "as much"
    what = "in all" if other.open else "for endpoints and machines"
    return (
        f" Against {other.name}{'' if other.open else ', which may not be released,'} it is right on "
        f"{spell(_whole(taken), 'share')} of all cases instead of {spell(_whole(other), 'share')}: {apart.sentence}; 99 of 100 "
        f"answers come within {seconds(taken.candidate.p99)} instead of {seconds(other.candidate.p99)}; and it costs {more} "
        f"{what}."
    )


def _whole(one: Ranked) -> float:
    return sum(one.candidate.right) / len(one.candidate.right)


def _facts(bakeoff: Bakeoff, costs: Costs, taken: Ranked) -> list[Fact]:
    metrics, promise, bill = taken.candidate.metrics, bakeoff.promise, taken.bill
    low, high = map(dollars, bill.total_interval)
    bound = at_most(metrics.error, promise.confidence)
    wrong = f"{metrics.error.count:,} of {metrics.error.of:,} in the test, so at most {bound}; promised: {percent(promise.error)}"
    facts = [
        Fact("share answered", spell(metrics.answered.share or 0, "share"), counted(metrics.answered)),
        Fact("wrong among these", spell(metrics.error.share or 0, "share"), wrong),
        Fact("a case, people included", dollars(bill.total), f"{low} to {high}, as the share answered may vary"),
    ]
    if bakeoff.volume:
        people = (1 - (metrics.answered.share or 0)) * bakeoff.volume
        told = f"{bakeoff.volume:,} cases, {people:,.0f} for people; people alone: {dollars(by_person(costs) * bakeoff.volume)}"
        facts.append(Fact("a month", dollars(bill.total * bakeoff.volume), told))
    return facts


def _caution(bakeoff: Bakeoff, taken: Ranked | None) -> list[Prose]:
    """What choosing among several calibrations costs, where the test cases do not make up for it."""
    promise, tried = bakeoff.promise, len(bakeoff.candidates)
    if taken is None or tried == 1 or still(taken.candidate.metrics.error, promise, tried) <= promise.error:
        return []
    held = f"{percent(left(promise, tried))} confidence" if left(promise, tried) else "no confidence"
    return [
        (
            Strong(f"Choosing among {tried:,} makes the promise less sure."),
            f" All were calibrated on the same cases, and the best was taken. Each by itself keeps the promise with "
            f"{percent(promise.confidence)} confidence; for the one taken {held} can be proven. ",
            Link("How to have the full confidence", "#choosing-among-several"),
            ".",
        )
    ]


def _changes(bakeoff: Bakeoff, taken: Ranked, other: Ranked) -> Table:
    one, two = taken.candidate, other.candidate
    answered = (one.metrics.answered.share or 0) - (two.metrics.answered.share or 0)
    right, helped = (compare([one, two], outcome)[one.name, two.name] for outcome in (by_right, by_helped))
    rows: list[tuple[str, ...]] = [
        ("right as a whole", *(_shown(each.metrics.whole) for each in (one, two)), gap(right)),
        ("answered", *(_shown(each.metrics.answered) for each in (one, two)), f"{signed(answered)} points"),
        ("answered rightly", *(spell(sum(each.helped) / len(each.right), "share") for each in (one, two)), gap(helped)),
        (
            "wrong of these, at most",
            *(at_most(each.metrics.error, bakeoff.promise.confidence) for each in (one, two)),
            "",
        ),
        ("p99", seconds(one.p99), seconds(two.p99), _times(one.p99, two.p99)),
        _money("a case, without people", taken.bill.running, other.bill.running),
        _money("a case, with people", taken.bill.total, other.bill.total),
    ]
    if bakeoff.volume:
        rows.append(_money("a month, with people", taken.bill.total * bakeoff.volume, other.bill.total * bakeoff.volume))
    return Table(("", taken.name, other.name, "difference"), rows)


def _shown(rate: Rate) -> str:
    return spell(rate.share or 0.0, "share")


def _times(one: float, two: float) -> str:
    if one == two or min(one, two) <= 0:
        return "none" if one == two else ""
    ratio = max(one, two) / min(one, two)
    return f"{ratio:,.{0 if ratio >= 10 else 1}f} times {'faster' if one < two else 'slower'}"


def _money(name: str, one: float, two: float) -> tuple[str, ...]:
    return name, dollars(one), dollars(two), ("+" if one > two else "\u2212") + dollars(abs(one - two)) if one != two else "none"
