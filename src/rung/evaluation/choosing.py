"""Turns a bake-off and what machines and people cost into a decision with its reason. Pure; knows nothing about pages.

The rule: of the candidates that keep the promise and every limit, the cheapest, counting endpoints, machines of one's own and
the people who decide what it leaves. Where others cost at most 5 % more and the cases they answer rightly cannot be told apart
from the cheapest one's (exact McNemar test, Holm-corrected for all pairs, 5 %), the smallest of these. Where people alone are
cheaper, none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rung.evaluation.candidates import Bakeoff
from rung.evaluation.comparisons import spell_p
from rung.evaluation.money import by_person, dollars
from rung.evaluation.ranking import Ranked, best, pick, rank
from rung.evaluation.verdicts import Verdict, judge
from rung.workload import Costs


@dataclass(frozen=True, slots=True)
class Choice:
    """The decision: the `chosen` candidate's name, or None; why, in a sentence; all candidates, those that may be released
    first and each group from the cheapest on; and the verdicts that the figures support."""

    chosen: str | None
    reason: str
    ranking: tuple[Ranked, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def taken(self) -> Ranked | None:
        """The chosen candidate with its bill."""
        return next((one for one in self.ranking if one.name == self.chosen), None)

    def document(self) -> dict[str, Any]:
        """As JSON; money in US dollars a case."""
        ranking = [
            {
                "name": one.name,
                "may_be_released": one.open,
                "usd_per_case": {**asdict(one.bill), "total": one.bill.total},
                "against_cheapest": None if one.apart is None else one.apart.document(),
            }
            for one in self.ranking
        ]
        verdicts = [one.document() for one in self.verdicts]
        return {"chosen": self.chosen, "reason": self.reason, "ranking": ranking, "verdicts": verdicts}


@dataclass(frozen=True, slots=True)
class Instead:
    """What would be `chosen`, at which `total` in US dollars a case, if one figure were another; `change` says which."""

    change: str
    chosen: str | None
    total: float


def choose(bakeoff: Bakeoff, costs: Costs) -> Choice:
    """The decision. The order of the candidates does not matter."""
    ranking = rank(bakeoff, costs, bakeoff.volume)
    taken = pick(ranking, costs)
    verdicts = judge(bakeoff, costs, ranking, taken)
    return Choice(taken.name if taken else None, _reason(costs, ranking, taken), tuple(ranking), tuple(verdicts))


def vary(bakeoff: Bakeoff, costs: Costs) -> Iterator[Instead]:
    """The decision with each price a fifth and five times of what the file says, and with a tenth and ten times the volume."""
    for change, other in (
        ("machines cost a fifth", replace(costs, machine_hour=costs.machine_hour / 5)),
        ("machines cost five times as much", replace(costs, machine_hour=costs.machine_hour * 5)),
        ("people cost a fifth", replace(costs, person_hour=costs.person_hour / 5)),
        ("people cost five times as much", replace(costs, person_hour=costs.person_hour * 5)),
    ):
        yield _instead(change, bakeoff, other, bakeoff.volume)
    if bakeoff.volume:
        for volume in (max(1, bakeoff.volume // 10), bakeoff.volume * 10):
            yield _instead(f"{volume:,} cases a month", bakeoff, costs, volume)


def _instead(change: str, bakeoff: Bakeoff, costs: Costs, volume: int | None) -> Instead:
    taken = pick(rank(bakeoff, costs, volume), costs)
    return Instead(change, taken.name if taken else None, taken.bill.total if taken else by_person(costs))


def _reason(costs: Costs, ranking: Sequence[Ranked], taken: Ranked | None) -> str:
    able = [one for one in ranking if one.open]
    if not able:
        first = best([one.candidate for one in ranking])
        told = "" if first is None else f" {first.name} is right most often of all, but {first.refused}"
        return f"None of the {len(ranking):,} candidates keeps the promise and every limit.{told}"
    if taken is None:
        return (
            f"People alone cost {dollars(by_person(costs))} a case; the cheapest candidate that may be released, {able[0].name}, "
            f"{_total(able[0])}."
        )
    if len(ranking) == 1:
        return "It is the only candidate, and it keeps the promise and every limit."
    if len(able) == 1:
        return f"It is the only one of {len(ranking):,} candidates that keeps the promise and every limit."
    if taken.apart is not None:
        return (
            f"{able[0].name} costs {_total(able[0])} a case and {taken.name} {_total(taken)}. Which of the two answers more "
            f"cases rightly cannot be told on {taken.apart.cases:,} test cases ({spell_p(taken.apart.adjusted)} after Holm's "
            "correction), so the smaller one is taken."
        )
    said = (
        f"Of the {len(able):,} candidates that keep the promise and every limit it is the cheapest, people included: "
        f"{_total(taken)} a case. The next, {able[1].name}, costs {_total(able[1])}"
    )
    if able[1].apart is None or able[1].apart.differs:
        return said + "."
    doubt = f"({spell_p(able[1].apart.adjusted)} after Holm's correction)"
    return f"{said}; which of the two answers more cases rightly cannot be told {doubt}."


def _total(ranked: Ranked) -> str:
    return dollars(ranked.bill.total)
