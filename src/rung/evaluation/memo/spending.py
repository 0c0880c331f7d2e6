"""Turns bills into who takes which share of the cases, what it costs, and from which volume on own hardware pays."""

from __future__ import annotations

from collections.abc import Iterator

from rung.charts import Axis, Block, Details, Figure, Heading, Paragraph, Reference, Series, Stack, Table, lines, spell, stacks
from rung.evaluation.candidates import Bakeoff, Candidate
from rung.evaluation.choosing import Choice, vary
from rung.evaluation.money import HOURS, LOAD, Bill, alone, by_person, capacity, crossover, dollars, machines
from rung.evaluation.phrases import NONE, percent, seconds
from rung.evaluation.ranking import best, large, reference
from rung.workload import Costs

STEPS = 80  # volumes at which the bills are drawn


def spending(bakeoff: Bakeoff, costs: Costs, choice: Choice) -> Iterator[Block]:
    """The split, the costs, the crossover, and what would change them."""
    volume = bakeoff.volume
    yield Heading(f"Split and cost at {volume:,} cases a month" if volume else "Split and cost a case")
    if not volume:
        yield Paragraph(
            "The file states no volume: a machine is counted by the seconds that it is used, as if others shared it. With "
            "`volume: N/month` it is counted round the clock."
        )
    yield from _split(bakeoff, choice)
    yield _costs(costs, choice, volume)
    yield from _crossover(bakeoff, costs, choice)
    yield from _sensitivity(bakeoff, costs, choice)
    yield Details("What the money assumes", [_assumptions(bakeoff, costs, choice)])


def _split(bakeoff: Bakeoff, choice: Choice) -> Iterator[Figure]:
    first = choice.taken.candidate if choice.taken else None
    shown = [one for one in (first, reference(bakeoff, choice.chosen)) if one is not None]
    parts = list(dict.fromkeys(tier.tier for one in shown for tier in one.metrics.tiers if tier.answered.count))
    if not parts:
        return
    rows: list[Stack] = []
    for one in shown:
        held = {tier.tier: tier.answered.count / one.metrics.cases for tier in one.metrics.tiers}
        taken = [held.get(part, 0.0) for part in parts]
        rows.append(Stack(one.name, (*taken, max(0.0, 1 - sum(taken))), one.metrics.cases))
    yield stacks("Who answers", (*parts, "people"), rows, "Shares of the test cases, each candidate at its own acceptance level.")


def _costs(costs: Costs, choice: Choice, volume: int | None) -> Table:
    rows = [_bill(one.name, one.bill, volume) for one in choice.ranking if one.open]
    rows.append(_bill("people alone", alone(costs), volume))
    month = ["a month"] if volume else []
    return Table(("", *month, "a case", "95 % interval", "endpoints", "machine", "people"), rows)


def _bill(name: str, bill: Bill, volume: int | None) -> tuple[str, ...]:
    low, high = map(dollars, bill.total_interval)
    month = [dollars(bill.total * volume)] if volume else []
    interval = f"{low} to {high}" if low != high else NONE
    return name, *month, dollars(bill.total), interval, *map(dollars, (bill.endpoints, bill.machine, bill.people))


def _own(bakeoff: Bakeoff, choice: Choice) -> Candidate | None:
    """What would run on own hardware: the chosen candidate, or the cheapest that may be released, or the best."""
    own = [one for one in choice.ranking if one.candidate.busy > 0 and not one.candidate.large]
    able = [*(one for one in own if one.name == choice.chosen), *(one for one in own if one.open)]
    return able[0].candidate if able else best([one.candidate for one in own])


def _crossover(bakeoff: Bakeoff, costs: Costs, choice: Choice) -> Iterator[Block]:
    own, paid = _own(bakeoff, choice), large(bakeoff)
    if own is None:
        return
    yield Heading("From which volume own hardware pays", 3)
    if paid is None or paid.cost <= own.cost:
        yield Paragraph(_uncrossed(bakeoff, costs, own, paid))
        return
    turn = crossover(own, paid, costs)
    each = f"{dollars(own.cost)} a case and " if own.cost else ""
    said = (
        f"{paid.name} asks {dollars(paid.cost)} a case. {own.name} costs {each}{dollars(turn.month)} a month for a machine, "
        f"which takes up to {turn.capacity:,.0f} cases in it. "
    )
    if turn.volume is None:
        said += f"The machine never pays: full, it costs {dollars(turn.month / turn.capacity)} a case."
    else:
        said += f"From {turn.volume:,} cases a month on, the machine is cheaper"
        said += f"; this workload has {bakeoff.volume:,}." if bakeoff.volume else "."
    able = {one.name for one in choice.ranking if one.open}
    people = _with_people(own, paid, costs) if {own.name, paid.name} <= able else ""
    yield Paragraph(said + people)
    yield _figure(bakeoff, costs, own, paid)


def _uncrossed(bakeoff: Bakeoff, costs: Costs, own: Candidate, paid: Candidate | None) -> str:
    """What can be said where nothing larger is paid by the case."""
    if paid is not None and paid.cost:
        return f"Never: {paid.name} asks {dollars(paid.cost)} a case, no more than {own.name}, {dollars(own.cost)}."
    said = "No large model is paid by the case here, so there is nothing to cross."
    if not bakeoff.volume:
        return said
    each = own.cost + machines(own, costs, bakeoff.volume) / bakeoff.volume
    return (
        f"{said} At {bakeoff.volume:,} cases a month {own.name} costs {dollars(each)} a case without people. An endpoint that "
        "asks more is dearer, unless it leaves fewer cases to people."
    )


def _with_people(own: Candidate, paid: Candidate, costs: Costs) -> str:
    """The same, counting the people who decide what each leaves."""
    mine, theirs = (spell(one.metrics.answered.share or 0.0, "share") for one in (own, paid))
    turn = crossover(own, paid, costs, people=True).volume
    when = "never" if turn is None else f"from {turn:,} cases a month on"
    return f" With the people who decide the rest it is cheaper {when}: it answers {mine} of the cases, {paid.name} {theirs}."


def _figure(bakeoff: Bakeoff, costs: Costs, own: Candidate, paid: Candidate) -> Figure:
    turn = crossover(own, paid, costs).volume
    marks = [each for each in (turn, bakeoff.volume) if each]
    low, high = max(1.0, min(marks, default=1000) / 30), max(marks, default=1000) * 30.0
    at = [low * (high / low) ** (step / STEPS) for step in range(STEPS + 1)]
    references = [Reference(f"crossover: {turn:,}", turn, "x")] if turn else []
    references += [Reference(f"this workload: {bakeoff.volume:,}", bakeoff.volume, "x")] if bakeoff.volume else []
    return lines(
        "The monthly bill by volume, without people",
        [
            Series(f"{own.name}, own machine", [(each, each * own.cost + machines(own, costs, each)) for each in at]),
            Series(f"{paid.name}, by the case", [(each, each * paid.cost) for each in at]),
        ],
        Axis("cases a month", "count", log=True),
        Axis("US dollars a month", "USD", log=True),
        references,
        "Both axes are logarithmic. A machine is paid round the clock, so that its line is flat until a second one is needed.",
    )


def _sensitivity(bakeoff: Bakeoff, costs: Costs, choice: Choice) -> Iterator[Block]:
    yield Heading("What would change the decision", 3)
    tried = list(vary(bakeoff, costs))
    turned = sum(one.chosen != choice.chosen for one in tried)
    yield Paragraph(f"{turned or 'None'} of these {len(tried)} changes, each by itself, would turn it.")
    rows = [(one.change, one.chosen or "none: people alone", dollars(one.total)) for one in tried]
    yield Table(("if", "then take", "a case"), rows, "llr")


def _assumptions(bakeoff: Bakeoff, costs: Costs, choice: Choice) -> Table:
    rows = [
        ("a machine, an hour", f"{dollars(costs.machine_hour)}", "costs.machine_hour"),
        ("a person, an hour", f"{dollars(costs.person_hour)}", "costs.person_hour"),
        ("a person's time for a case", f"{costs.review_seconds:g} s", "costs.review_seconds"),
        ("so a person's decision costs", dollars(by_person(costs)), "product of the two"),
        ("hours a month, machines run in all", f"{HOURS}", "365 days of 24 hours, by 12"),
        ("of a machine's time planned for", percent(LOAD), "cases do not come evenly"),
    ]
    own = _own(bakeoff, choice)
    if own is not None:
        rows += [
            (f"machine time for a case, {own.name}", seconds(own.busy), "measured"),
            (
                "so a machine takes, a month",
                f"{capacity(own):,.0f} cases",
                f"{percent(LOAD)} of {HOURS} h, by {seconds(own.busy)}",
            ),
        ]
    return Table(("", "", "from"), rows, "lrl")
