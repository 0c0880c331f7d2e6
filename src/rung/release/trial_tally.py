"""Turns what a trial has brought into shares, intervals that hold however often one looks, and a decision. Knows no SQL.

Where cases are drawn by a unit, such as a user, each unit counts once, by its first case and its first verdict: what one user
asks is alike, and as so many independent cases it would prove too much. What may halt a trial counts a unit once an hour, or it
would see nothing once all users were met. That takes the hours of one unit for independent: where few units come again and again,
those drawn for the challenger may be harder by chance, and halt a harmless one more often than is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any, Generic, TypeVar

from rung.ledger import Arm, Compared, End, Judged, Kind, Ledger, Marks, Observed, Trial
from rung.release.trial import METRICS
from rung.statistics.sequential import DIFFERENCES, Comparison, Difference, Excess, Mean

ALPHA = 0.05  # the chance of a wrong halt, or of a wrong decision, in one trial
LISTED = 20  # cases decided differently that are remembered

_MEASURED: dict[Kind, tuple[str, ...]] = {  # besides what has a margin
    "shadow": ("person", "failed"),  # and not how slow: it decides when nobody waits
    "canary": (),
    "ab": METRICS,
}

Seen = TypeVar("Seen", Observed, Judged)
Value = Callable[[Seen], float | None]


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

    def of(self, seen: Sequence[Seen]) -> list[Seen]:
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

    def __init__(self, name: str, words: str, value: Value[Seen], kind: Kind, excess: tuple[float, float] | None) -> None:
        """`value` is None for what does not count; `excess` has the margin and the alpha of a test that more of it is bad."""
        self.name, self.words = name, words
        self.margin = excess[0] if excess else None
        self.counts: dict[Arm, int] = {"live": 0, "challenger": 0}
        self._totals: dict[Arm, float] = {"live": 0.0, "challenger": 0.0}
        self._value = value
        self._difference = (Paired if kind == "shadow" else Difference)(1 - ALPHA)
        self._excess = Excess(*excess) if excess else None

    def take(self, seen: Sequence[Seen]) -> None:
        """Count further observations."""
        kept: list[tuple[Arm, float]] = [(each.arm, value) for each in seen if (value := self._value(each)) is not None]
        for arm, value in kept:
            self.counts[arm] += 1
            self._totals[arm] += value
        second, values = [arm == "challenger" for arm, _ in kept], [value for _, value in kept]
        self._difference.update(second, values)
        if self._excess:
            self._excess.update(second, values)

    @property
    def exceeded(self) -> bool:
        """Whether the challenger's share is proven to be higher than the live release's by more than the margin."""
        return self._excess is not None and self._excess.proven()

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
        return told if self.margin is None else {**told, "margin": self.margin, "exceeded": self.exceeded}

    def _share(self, arm: Arm) -> float | None:
        return self._totals[arm] / self.counts[arm] if self.counts[arm] else None


@dataclass(slots=True)
class Spent:
    """The decisions of an arm and the US dollars they cost, altogether."""

    cases: int = 0
    cost: float = 0.0

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"cases": self.cases, "cost_usd_per_case": self.cost / self.cases if self.cases else None}


class Tally:
    """What is known about one trial after reading so much of the ledger."""

    def __init__(self, trial: Trial) -> None:
        """Nothing is read yet."""
        self.trial = trial
        self.arms: dict[Arm, Spent] = {"live": Spent(), "challenger": Spent()}
        self.differing: list[str] = []  # the first decisions about which the releases of a shadow trial do not agree
        self._drawn, self._compared, self._alike, self._agreement = 0, 0, 0, Mean(1 - ALPHA)
        self._cases, self._verdicts = _measures(trial)
        self._firsts = [(Firsts(hourly), Firsts(hourly)) for hourly in (False, True)]  # by a case and by a verdict
        self._marks = Marks()

    @property
    def measures(self) -> Sequence[Measure[Observed] | Measure[Judged]]:
        """What this kind of trial measures."""
        return *self._cases, *self._verdicts

    def read(self, ledger: Ledger, until: Marks) -> None:
        """Count what has come since, in the ledger's order: whoever reads as far comes to the same result."""
        while self._marks != until:
            seen = ledger.read_trial(self.trial.id, self._marks, until)
            observed = self._pairs(seen.compared) if self.trial.kind == "shadow" else seen.observed
            self._drawn += len(seen.observed)
            for each in observed:
                self.arms[each.arm].cases += 1
                self.arms[each.arm].cost += each.cost
            for cases, verdicts in self._firsts:
                _tell(self._cases, cases, observed)
                _tell(self._verdicts, verdicts, seen.judged)
            self._marks = seen.until

    def result(self) -> str | None:
        """Why the trial must end, if it must: the challenger's bad events, or an A/B decided against it."""
        for measure in self.measures:
            if measure.exceeded:
                sure, margin = 1 - ALPHA / self._guards, 100 * (measure.margin or 0)
                return f"halted: {measure.sentence}; more than {margin:g} points more, with {sure:.2%} confidence"
        if self.decision == "worse":
            return f"worse: {self._decisive.sentence}; less, with {1 - ALPHA:.0%} confidence"
        return None

    @property
    def _guards(self) -> int:
        return sum(measure.margin is not None for measure in self.measures)

    @property
    def decision(self) -> Comparison | None:
        """What an A/B has decided so far; None for other kinds."""
        return self._decisive.decision if self.trial.kind == "ab" else None

    @property
    def _decisive(self) -> Measure[Observed] | Measure[Judged]:
        return next(measure for measure in self.measures if measure.name == self.trial.metric)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        document: dict[str, Any] = {
            "arms": {arm: spent.document() for arm, spent in self.arms.items()},
            "measures": [measure.document() for measure in self.measures],
        }
        if self.trial.kind == "shadow":
            low, high = self._agreement.interval()
            counts = {"drawn": self._drawn, "of": self._compared, "alike": self._alike}
            document["agreement"] = {**counts, "share_at_least": low, "share_at_most": high}
        return {**document, "decision": self.decision, "error_control": _error_control(self.trial, self._guards)}

    def _pairs(self, compared: Sequence[Compared]) -> list[Observed]:
        """Both decisions on each case, one after the other, the live release's first."""
        self._compared += len(compared)
        self._alike += sum(each.agrees for each in compared)
        self._agreement.update([float(each.agrees) for each in compared])
        self.differing += [each.decision for each in compared if not each.agrees][: LISTED - len(self.differing)]
        return [one for each in compared for one in (each.live, each.challenger)]


class Watch:
    """Looks at a trial that runs, and ends it once it must. All that look come to the same result, if each commit takes less time
    than there is between two looks; what was later one of them may miss."""

    def __init__(self, trial: Trial) -> None:
        """Nothing is read yet."""
        self._tally = Tally(trial)
        self._until: Marks | None = None

    def look(self, ledger: Ledger) -> None:
        """Read what was there at the last look, blocking: rows are not seen in the order of their numbers, but by now they
        should be."""
        until, self._until = self._until, ledger.marks()
        if until is not None:
            self._tally.read(ledger, until)
            if result := self._tally.result():
                ledger.end_trial(self._tally.trial.id, End(datetime.now(UTC), "rung", result))


def _tell(measures: Sequence[Measure[Seen]], firsts: Firsts, seen: Sequence[Seen]) -> None:
    """Count what is seen in the measures that count a unit as often as that."""
    told = [measure for measure in measures if (measure.margin is not None) == firsts.hourly]
    fresh = firsts.of(seen) if told else ()
    for measure in told:
        measure.take(fresh)


def _measures(trial: Trial) -> tuple[list[Measure[Observed]], list[Measure[Judged]]]:
    """What a kind of trial measures, of cases and of verdicts; whether a case was slow or dear only where that is known."""
    limits = {"slow": trial.slow, "latency": trial.slow, "dear": trial.dear}
    names = [name for name in (*_MEASURED[trial.kind], *trial.margins) if limits.get(name, inf) is not None]
    guards = [name for name in names if name in trial.margins]
    slow, dear = (inf if limit is None else limit for limit in (trial.slow, trial.dear))
    cases: dict[str, tuple[str, Value[Observed]]] = {
        "person": ("cases left to a person", lambda one: float(not one.answered)),
        "failed": ("cases in which a model gave no answer", lambda one: float(one.failed)),
        "slow": (f"cases slower than {slow * 1000:.6g} ms", lambda one: float(one.seconds > slow)),
        "dear": (f"cases that cost more than ${dear:.6g}", lambda one: float(one.cost > dear)),
        "answered": ("cases answered without a person", lambda one: float(one.answered)),
        "latency": (f"cases within {slow * 1000:.6g} ms", lambda one: float(one.seconds <= slow)),
    }
    verdicts: dict[str, tuple[str, Value[Judged]]] = {
        "overturned": ("judged answers that were overturned", lambda one: float(one.overturned)),
        "success": ("judged answers that were right", lambda one: float(not one.overturned)),
        "relevance": ("relevance of answers that were scored", lambda one: one.score),
    }
    tests = {name: (trial.margins[name], ALPHA / len(guards)) for name in guards}
    return (
        [Measure(name, *cases[name], trial.kind, tests.get(name)) for name in names if name in cases],
        [Measure(name, *verdicts[name], trial.kind, tests.get(name)) for name in names if name in verdicts],
    )


def _error_control(trial: Trial, guards: int) -> str:
    """What is claimed, and how sure it is."""
    each = f"each interval holds by itself with {1 - ALPHA:.0%} confidence, however often one looks"
    told = [f"the decision by {trial.metric} is wrong with a chance of at most {ALPHA:.0%}"] if trial.kind == "ab" else []
    if guards:
        told.append(
            f"a challenger that exceeds no margin is halted with a chance of at most {ALPHA:.0%} in the whole trial ({guards} "
            f"sequential tests at {ALPHA / guards:.2%} each)"
        )
    if trial.unit:
        often = "once, and once an hour where there is a margin, as if its hours were independent" if guards else "once"
        each += f", each {trial.unit} counted {often}"
    return "; ".join([*told, each])
