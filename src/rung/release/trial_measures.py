"""Turns what two arms did into shares, intervals that hold however often one looks, and tests that halt. Knows no SQL.

A unit, such as a user, counts once: what one user asks is alike, and as so many independent cases it would prove too much. Where
there is a margin it counts once an hour, or harm would not be seen once all users were met.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from rung.ledger import Arm, Judged, Ledger, Observed, Record
from rung.statistics.ceiling import Ceiling
from rung.statistics.sequential import DIFFERENCES, Comparison, Difference, Excess, Mean
from rung.workload import Workload

if TYPE_CHECKING:
    from rung.evaluation.faithfulness import Search

ALPHA = 0.05  # the chance that an interval does not hold
SEARCHED = 60  # answers of the challenger that are searched in an hour, each with one of the live release's: a search takes 3 ms
APART = 10  # answers of the challenger that may wait for that one
SLICES = 100  # values of an attribute that are told apart
LONGEST = 60  # characters of such a value that are shown
AT_ONCE = 500  # records read together


class Searched(NamedTuple):
    """An answer in which the copied values were looked for in the input: whether one stands nowhere."""

    arm: Arm
    invented: bool


Seen = TypeVar("Seen", Observed, Judged, Searched)
Counted = TypeVar("Counted", Observed, Judged)
Taken = TypeVar("Taken", Observed, Judged, contravariant=True)


class Guard(Protocol[Taken]):
    """Counts what a trial brings, says it in `measures`, and may prove harm."""

    @property
    def measures(self) -> Sequence[Measure[Any]]:
        """What is counted, for people."""
        ...

    def take(self, seen: Sequence[Taken], ledger: Ledger, /) -> None:
        """Count further observations; the ledger has the records they are about."""
        ...

    def harm(self) -> str | None:
        """Why the challenger must be halted, if it must; once that is proven it stays so."""
        ...


class Paired:
    """An always-valid interval of the second arm's mean less the first's, where both are observed on the same cases."""

    def __init__(self, confidence: float) -> None:
        """Nothing is seen yet."""
        self._mean = Mean(confidence, (1 + DIFFERENCES) / 2)

    def update(self, _: Sequence[bool], values: Sequence[float]) -> None:
        """Takes the first arm's value and the second's, in turns."""
        self._mean.update([(1 + new - old) / 2 for old, new in zip(values[::2], values[1::2], strict=True)])

    def interval(self) -> tuple[float, float]:
        """As `Difference.interval`."""
        low, high = self._mean.interval()
        return 2 * low - 1, 2 * high - 1


@dataclass(slots=True)
class Firsts:
    """Which units were met already, in the whole trial or, `hourly`, in the present hour."""

    hourly: bool
    _met: set[int] = field(default_factory=set[int])
    _hour: int = 0

    def of(self, seen: Sequence[Counted]) -> list[Counted]:
        """The observations of units that were not met before; those without one all count."""
        return [each for each in seen if not each.unit or self._meet(each)]

    def _meet(self, one: Observed | Judged) -> bool:
        if self.hourly and one.hour != self._hour:  # and not only a later one: a clock that is ahead must not blind it
            self._hour = one.hour
            self._met.clear()
        before = len(self._met)
        self._met.add(2 * int(one.unit, 16) + (one.arm == "challenger"))
        return len(self._met) > before


class Measure(Generic[Seen]):
    """One share, or mean from 0 to 1, in both arms, and what is proven about the difference."""

    def __init__(
        self,
        name: str,
        words: str,
        value: Callable[[Seen], float | None],
        excess: tuple[float, float] | None = None,
        paired: bool = False,
    ) -> None:
        """`value` is None for what does not count; `excess` has the margin and the alpha of a test that more of it is bad;
        `paired` arms are observed on the same cases, in turns."""
        self.name, self.words = name, words
        self.margin, self._alpha = excess or (None, nan)
        self.counts: dict[Arm, int] = {"live": 0, "challenger": 0}
        self._totals: dict[Arm, float] = {"live": 0.0, "challenger": 0.0}
        self._value = value
        self._difference = (Paired if paired else Difference)(1 - ALPHA)
        self._excess = Excess(*excess) if excess else None

    @property
    def measures(self) -> Sequence[Measure[Seen]]:
        """This one."""
        return (self,)

    def take(self, seen: Sequence[Seen], _: Ledger, /) -> None:
        """Count further observations."""
        kept: list[tuple[Arm, float]] = [(each.arm, value) for each in seen if (value := self._value(each)) is not None]
        for arm, value in kept:
            self.counts[arm] += 1
            self._totals[arm] += value
        second, values = [arm == "challenger" for arm, _ in kept], [value for _, value in kept]
        self._difference.update(second, values)
        if self._excess:
            self._excess.update(second, values)

    def harm(self) -> str | None:
        """The shares, where the challenger's is proven to be higher than the live release's by more than the margin."""
        if self.margin is None or not self._exceeded:
            return None
        return f"{self.sentence}; more than {100 * self.margin:g} points more, with {1 - self._alpha:.2%} confidence"

    @property
    def decision(self) -> Comparison:
        """Whether the challenger's share is proven to be higher or lower."""
        return self._difference.decision() if isinstance(self._difference, Difference) else "undecided"

    @property
    def sentence(self) -> str:
        """Both shares in words."""
        new, old = (
            f"{self._totals[arm]:,.6g} of {self.counts[arm]:,} ({self._share(arm) or 0:.1%})" for arm in ("challenger", "live")
        )
        return f"{self.words}: {new} with the challenger, {old} with the live release"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        low, high = self._difference.interval()
        arms = {arm: {"of": self.counts[arm], "share": self._share(arm)} for arm in self.counts}
        told = {"name": self.name, "what": self.words, **arms, "difference_at_least": low, "difference_at_most": high}
        return told if self.margin is None else {**told, "margin": self.margin, "exceeded": self._exceeded}

    @property
    def _exceeded(self) -> bool:
        return self._excess is not None and self._excess.proven()

    def _share(self, arm: Arm) -> float | None:
        return self._totals[arm] / self.counts[arm] if self.counts[arm] else None


class Cost:
    """Whether the challenger's mean cost of a case is proven to be above the file's limit, whatever the live release costs."""

    measures: Sequence[Measure[Any]] = ()

    def __init__(self, limit: float, alpha: float) -> None:
        """`limit` in US dollars."""
        self._limit, self._alpha = limit, alpha
        self._ceiling = Ceiling(limit, alpha)
        self._cases, self._total = 0, 0.0

    def take(self, seen: Sequence[Observed], _: Ledger, /) -> None:
        """Count further decisions."""
        costs = [max(each.cost, 0.0) for each in seen if each.arm == "challenger"]
        self._ceiling.update(costs)
        self._cases += len(costs)
        self._total += sum(costs)

    def harm(self) -> str | None:
        """The mean cost, where it is proven to be above the limit."""
        if not self._ceiling.proven():
            return None
        mean = f"${self._total / self._cases:.6g} in {self._cases:,} cases"
        return f"mean cost: {mean} with the challenger; more than ${self._limit:g}, with {1 - self._alpha:.2%} confidence"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"limit_usd_per_case": self._limit, "of": self._cases, "exceeded": self._ceiling.proven()}


class Invented:
    """The share of answers with a copied value that stands nowhere in the input.

    Nobody has agreed on these answers: what only follows from the input, as a date from "tomorrow", counts too, in both arms.
    """

    def __init__(self, workload: Workload, margin: float, alpha: float) -> None:
        """The workload says which values are copied."""
        words = "answers with a value found nowhere in the input"
        self._measure = Measure[Searched]("hallucinated", words, lambda one: float(one.invented), (margin, alpha))
        self._workload = workload
        self._search: Search | None = None
        self._hour, self._searched, self._waiting = 0, 0, 0

    @property
    def measures(self) -> Sequence[Measure[Any]]:
        """The one share."""
        return (self._measure,)

    def take(self, seen: Sequence[Observed], ledger: Ledger, /) -> None:
        """Search some of the answers: in each hour the challenger's first ones, and as many that the live release gave next."""
        chosen = [each for each in seen if each.answered and self._choose(each)]
        records = _records(ledger, [each.decision for each in chosen])
        self._measure.take([Searched(each.arm, self._invents(records[each.decision])) for each in chosen], ledger)

    def harm(self) -> str | None:
        """The shares, where the challenger's is over the margin."""
        return self._measure.harm()

    def _choose(self, one: Observed) -> bool:
        """By its place alone and not by what it says."""
        if one.hour != self._hour:
            self._hour, self._searched = one.hour, 0
        if one.arm == "live":
            self._waiting -= (chosen := self._waiting > 0)
        else:
            chosen = self._searched < SEARCHED and self._waiting < APART
            self._searched += chosen
            self._waiting += chosen
        return chosen

    def _invents(self, record: Record) -> bool:
        if self._search is None:
            from rung.evaluation.faithfulness import Search  # only here: what serves is to start without it

            self._search = Search(self._workload)
        return bool(self._search.invented(record.case, record.decision.answer or {}, {}))


class Slices:
    """The share of judged answers that were overturned, in each slice of the cases by a label field or an attribute of context.

    Slices are not known before they are met: the k-th to be met takes 1 / (k (k + 1)) of the alpha, in all less than the whole.
    """

    def __init__(self, by: str, margin: float, alpha: float) -> None:
        """`by` is the field's or the attribute's name."""
        self._by, self._margin, self._alpha = by, margin, alpha
        self._slices: dict[str, Measure[Judged]] = {}

    @property
    def measures(self) -> Sequence[Measure[Any]]:
        """One for each slice."""
        return tuple(self._slices.values())

    def take(self, seen: Sequence[Judged], ledger: Ledger, /) -> None:
        """Count further verdicts, each in its slice."""
        records = _records(ledger, [each.decision for each in seen if self._by not in each.answer])
        by_slice: dict[str, list[Judged]] = {}
        for each in seen:
            record = records.get(each.decision)
            value = each.answer.get(self._by, ...) if record is None else record.case.context.get(self._by, ...)
            if value is not ... and not isinstance(value, list | tuple | dict):
                by_slice.setdefault(value if isinstance(value, str) else json.dumps(value), []).append(each)
        for named, judged in by_slice.items():
            if named not in self._slices and len(self._slices) < SLICES:
                self._slices[named] = self._slice(named[:LONGEST])
            if named in self._slices:
                self._slices[named].take(judged, ledger)

    def harm(self) -> str | None:
        """The first slice in which the challenger's share is over the margin."""
        return next((said for each in self._slices.values() if (said := each.harm())), None)

    def _slice(self, named: str) -> Measure[Judged]:
        place = len(self._slices) + 1
        words = f"judged answers that were overturned, {self._by} {named}"
        excess = self._margin, self._alpha / (place * (place + 1))
        return Measure(f"slices.{self._by}.{named}", words, lambda one: float(one.overturned), excess)


def _records(ledger: Ledger, ids: Sequence[str]) -> dict[str, Record]:
    parts: Iterable[Sequence[str]] = (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))
    return {name: record for part in parts for name, record in ledger.find_all(part).items()}
