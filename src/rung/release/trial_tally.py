"""Turns what a trial has brought into a document and a decision. Knows no SQL.

Where cases are drawn by a unit, such as a user, what decides an A/B counts each once, and what may halt a trial once an hour.
That takes the hours of one unit for independent: where few units come again and again, those drawn for the challenger may be
harder by chance, and halt a harmless one more often than is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any

from rung.ledger import Arm, Compared, End, Judged, Kind, Ledger, Marks, Observed, Trial
from rung.release.trial import GUARDS, METRICS, SLICED
from rung.release.trial_measures import ALPHA, Cost, Counted, Firsts, Guard, Invented, Measure, Slices
from rung.statistics.sequential import Comparison, Mean
from rung.workload import Workload

LISTED = 20  # cases decided differently that are remembered

_MEASURED: dict[Kind, tuple[str, ...]] = {  # besides what has a margin
    "shadow": ("person", "failed"),  # and not how slow: it decides when nobody waits
    "canary": (),
    "ab": METRICS,
}


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

    def __init__(self, trial: Trial, workload: Workload | None = None) -> None:
        """Nothing is read yet. A trial with a margin for values found nowhere in the input needs the workload, which says which
        are copied."""
        self.trial = trial
        self.arms: dict[Arm, Spent] = {"live": Spent(), "challenger": Spent()}
        self.differing: list[str] = []  # the first decisions about which the releases of a shadow trial do not agree
        self._drawn, self._compared, self._alike, self._agreement = 0, 0, 0, Mean(1 - ALPHA)
        self._each = _halting(trial) / max(_guards(trial), 1)
        self._cost = None if trial.kind == "shadow" or trial.dear is None else Cost(trial.dear, self._each)
        self._once, self._hourly = _plain(trial), _guarding(trial, workload, self._each)
        if self._cost:
            self._hourly.cases.append(self._cost)
        self._marks = Marks()

    @property
    def measures(self) -> Sequence[Measure[Any]]:
        """What this kind of trial measures."""
        return *self._once.measures, *self._hourly.measures

    def read(self, ledger: Ledger, until: Marks) -> None:
        """Count what has come since, in the ledger's order: whoever reads as far comes to the same result."""
        while self._marks != until:
            seen = ledger.read_trial(self.trial.id, self._marks, until)
            observed = self._pairs(seen.compared) if self.trial.kind == "shadow" else seen.observed
            self._drawn += len(seen.observed)
            for each in observed:
                self.arms[each.arm].cases += 1
                self.arms[each.arm].cost += each.cost
            for counts in (self._once, self._hourly):
                counts.take(observed, seen.judged, ledger)
            self._marks = seen.until

    def result(self) -> str | None:
        """Why the trial must end, if it must: the challenger's bad events, or an A/B decided against it."""
        if harm := self._hourly.harm():
            return f"halted: {harm}"
        if self.decision == "worse":
            return f"worse: {self._decisive.sentence}; less, with {1 - ALPHA:.0%} confidence"
        return None

    @property
    def decision(self) -> Comparison | None:
        """What an A/B has decided so far; None for other kinds."""
        return self._decisive.decision if self.trial.kind == "ab" else None

    @property
    def _decisive(self) -> Measure[Any]:
        return next(measure for measure in self.measures if measure.name == self.trial.metric)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        document: dict[str, Any] = {
            "arms": {arm: spent.document() for arm, spent in self.arms.items()},
            "measures": [measure.document() for measure in self.measures],
            "cost": self._cost and self._cost.document(),
        }
        if self.trial.kind == "shadow":
            low, high = self._agreement.interval()
            counts = {"drawn": self._drawn, "of": self._compared, "alike": self._alike}
            document["agreement"] = {**counts, "share_at_least": low, "share_at_most": high}
        return {**document, "counting": self._counting(), "decision": self.decision, "error_control": _error_control(self.trial)}

    def _counting(self) -> str | None:
        """Why fewer cases count than were decided, where they are drawn by a unit."""
        unit, first = self.trial.unit, next(iter((*self._hourly.measures, *self._once.measures)), None)
        if not unit or first is None:
            return None
        often = "once an hour" if self._hourly.measures else "once"
        often += f", and once in all by {self.trial.metric}" if self.trial.kind == "ab" else ""
        counts = [f"{first.counts[arm]:,} of {self.arms[arm].cases:,} cases of the {arm}" for arm in self.arms]
        return f"what one {unit} asks is alike, so each {unit} counts {often}: {' and '.join(counts)} release"

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

    def __init__(self, trial: Trial, workload: Workload | None = None) -> None:
        """Nothing is read yet; see `Tally`."""
        self._tally = Tally(trial, workload)
        self._until: Marks | None = None

    def look(self, ledger: Ledger) -> None:
        """Read what was there at the last look, blocking: rows are not seen in the order of their numbers, but by now they
        should be."""
        until, self._until = self._until, ledger.marks()
        if until is not None:
            self._tally.read(ledger, until)
            if result := self._tally.result():
                ledger.end_trial(self._tally.trial.id, End(datetime.now(UTC), "rung", result))


class _Counts:
    """What counts a unit equally often, of cases and of verdicts."""

    def __init__(self, cases: list[Guard[Observed]], verdicts: list[Guard[Judged]], hourly: bool) -> None:
        self.cases, self.verdicts = cases, verdicts
        self._by_case, self._by_verdict = Firsts(hourly), Firsts(hourly)

    @property
    def measures(self) -> Sequence[Measure[Any]]:
        return [measure for each in (*self.cases, *self.verdicts) for measure in each.measures]

    def take(self, observed: Sequence[Observed], judged: Sequence[Judged], ledger: Ledger) -> None:
        _tell(self.cases, self._by_case, observed, ledger)
        _tell(self.verdicts, self._by_verdict, judged, ledger)

    def harm(self) -> str | None:
        return next((said for each in (*self.cases, *self.verdicts) if (said := each.harm())), None)


def _tell(guards: Sequence[Guard[Counted]], firsts: Firsts, seen: Sequence[Counted], ledger: Ledger) -> None:
    fresh = firsts.of(seen) if guards else ()
    for each in guards:
        each.take(fresh, ledger)


def _plain(trial: Trial) -> _Counts:
    """What is shown, and decides an A/B."""
    slow, paired = trial.slow, trial.kind == "shadow"
    names = [name for name in _MEASURED[trial.kind] if name != "latency" or slow is not None]
    cases: list[Guard[Observed]] = [
        Measure(name, words, value, paired=paired) for name, (words, value) in _cases(trial).items() if name in names
    ]
    verdicts: list[Guard[Judged]] = [
        Measure(name, words, value, paired=paired) for name, (words, value) in _VERDICTS.items() if name in names
    ]
    return _Counts(cases, verdicts, hourly=False)


def _guarding(trial: Trial, workload: Workload | None, alpha: float) -> _Counts:
    """What may halt a trial by a margin, each with the same share of what may go wrong."""
    margins = _known(trial)
    cases: list[Guard[Observed]] = [
        Measure(name, words, value, (margins[name], alpha)) for name, (words, value) in _cases(trial).items() if name in margins
    ]
    verdicts: list[Guard[Judged]] = [
        Measure(name, words, value, (margins[name], alpha)) for name, (words, value) in _VERDICTS.items() if name in margins
    ]
    if "hallucinated" in margins:
        assert workload is not None, "the trial has a margin for values found nowhere, and no workload says which are copied"
        cases.append(Invented(workload, margins["hallucinated"], alpha))
    for name, margin in margins.items():
        if name.startswith(SLICED):
            verdicts.append(Slices(name.removeprefix(SLICED), margin, alpha))
    return _Counts(cases, verdicts, hourly=True)


def _cases(trial: Trial) -> dict[str, tuple[str, Callable[[Observed], float | None]]]:
    """What is measured of cases, in words, and as a number from 0 to 1."""
    slow = inf if trial.slow is None else trial.slow
    return {
        "person": ("cases left to a person", lambda one: float(not one.answered)),
        "failed": ("cases in which a model gave no answer", lambda one: float(one.failed)),
        "slow": (f"cases slower than {slow * 1000:.6g} ms", lambda one: float(one.seconds > slow)),
        "answered": ("cases answered without a person", lambda one: float(one.answered)),
        "latency": (f"cases within {slow * 1000:.6g} ms", lambda one: float(one.seconds <= slow)),
    }


_VERDICTS: dict[str, tuple[str, Callable[[Judged], float | None]]] = {
    "overturned": ("judged answers that were overturned", lambda one: float(one.overturned)),
    "feedback": ("judged answers that were right", lambda one: float(not one.overturned)),
    "relevance": ("relevance of answers that were scored", lambda one: one.score),
}


def _known(trial: Trial) -> dict[str, float]:
    """The margins by which the trial may be halted: whether a case was slow only where that is known."""
    known = {name: margin for name, margin in trial.margins.items() if name in GUARDS or name.startswith(SLICED)}
    return {name: margin for name, margin in known.items() if name != "slow" or trial.slow is not None}


def _guards(trial: Trial) -> int:
    """How many tests share what may go wrong: each margin, and the limit of the mean cost."""
    return len(_known(trial)) + (trial.kind != "shadow" and trial.dear is not None)


def _halting(trial: Trial) -> float:
    """What the margins and limits together may halt wrongly; in an A/B the metric's "worse" takes the other half."""
    return ALPHA / 2 if trial.kind == "ab" else ALPHA


def _error_control(trial: Trial) -> str:
    """What is claimed, and how sure it is."""
    each = f"each interval holds by itself with {1 - ALPHA:.0%} confidence, however often one looks"
    told: list[str] = []
    if trial.kind == "ab":
        told.append(
            f"the decision by {trial.metric} is wrong with a chance of at most {ALPHA:.0%}, of which {ALPHA / 2:.1%} to call the "
            "challenger worse that is not"
        )
    if guards := _guards(trial):
        chance = _halting(trial)
        told.append(
            f"a challenger that exceeds no margin and no limit is halted with a chance of at most {100 * chance:g}% in the "
            f"whole trial ({guards} sequential tests at {chance / guards:.2%} each)"
        )
    if trial.unit:
        often = "once, and once an hour where there is a margin, as if its hours were independent" if guards else "once"
        each += f", each {trial.unit} counted {often}"
    return "; ".join([*told, each])
