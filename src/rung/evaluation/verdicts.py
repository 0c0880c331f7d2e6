"""Turns a ranking into the verdicts that its figures support, each a sentence to act on and its reason in numbers.

A verdict whose figures are not there is not given. What stands between backticks is to be typed. Knows nothing about pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil
from statistics import median
from typing import Any, Literal

from rung.cascade.promise import cases_needed
from rung.charts import spell
from rung.evaluation.candidates import Bakeoff, Candidate
from rung.evaluation.comparisons import SIGNIFICANT, by_helped, by_right, compare
from rung.evaluation.metrics import Metrics
from rung.evaluation.money import by_person, crossover, dollars
from rung.evaluation.phrases import listed
from rung.evaluation.ranking import Ranked, best, fixed, large
from rung.evaluation.rates import rate
from rung.statistics.binomial import binomial_tail
from rung.statistics.paired import holm
from rung.workload import Costs

MARGIN = 0.02  # of all cases: what a linear head may lose and still be enough
NAMED = 3  # labels to collect more of

Kind = Literal["linear", "large", "people", "collect", "unknown", "unfinished", "leaks", "noise"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to make of it, in `title`, and why, in `text`."""

    kind: Kind
    title: str
    text: str

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def judge(bakeoff: Bakeoff, costs: Costs, ranking: Sequence[Ranked], taken: Ranked | None) -> list[Verdict]:
    """Every verdict that the figures support, what changes the decision first."""
    shown = taken.candidate if taken else best(bakeoff.candidates)
    found = (
        _people(bakeoff, costs, ranking, taken),
        _large(bakeoff, costs, ranking, taken),
        _linear(ranking, taken),
        None if shown is None else _collect(bakeoff, shown.metrics),
        _leaks(bakeoff),
        _noise(bakeoff),
        _unfinished(bakeoff),
    )
    return [verdict for verdict in found if verdict is not None]


def _people(bakeoff: Bakeoff, costs: Costs, ranking: Sequence[Ranked], taken: Ranked | None) -> Verdict | None:
    first = next((one for one in ranking if one.open), None)
    if taken is not None or first is None:
        return None
    month = f" at {bakeoff.volume:,} cases a month" if bakeoff.volume else ""
    return Verdict(
        "people",
        "Leave the work to people: no candidate is cheaper" + (" at this volume." if bakeoff.volume else "."),
        f"A case costs {dollars(by_person(costs))} where people decide all. With {first.name}, the cheapest that may be "
        f"released, it costs {dollars(first.bill.total)}{month}: {dollars(first.bill.machine)} for a machine, "
        f"{dollars(first.bill.endpoints)} for endpoints, {dollars(first.bill.people)} for the people who decide what it leaves.",
    )


def _large(bakeoff: Bakeoff, costs: Costs, ranking: Sequence[Ranked], taken: Ranked | None) -> Verdict | None:
    big = large(bakeoff)
    if big is None:
        return Verdict(
            "unknown",
            "What a large model would do is not known here.",
            f"No large baseline was {'judged' if bakeoff.unfinished else 'named'}. To add one, declare its endpoint in "
            "`endpoints.yaml` with `size: upper` or `size: frontier`, and name it under `bakeoff: candidates:` as `{endpoint: "
            "NAME, model: MODEL}`. A rerun asks only for what is not known yet.",
        )
    if taken is not None:
        return _keep(bakeoff, costs, ranking, taken) if taken.candidate.large else None
    return None if any(one.open for one in ranking) else _behind_people(bakeoff, big)


def _keep(bakeoff: Bakeoff, costs: Costs, ranking: Sequence[Ranked], taken: Ranked) -> Verdict | None:
    """Why the large model is what is taken."""
    own = next((one for one in ranking if one.open and not one.candidate.large), None)
    if own is None:
        small = best([one for one in bakeoff.candidates if not one.large])
        said = "No other was tried."
        if small is not None:
            said = f"The best other is {_is_right(small)}. It is refused: {small.refused}"
        return Verdict("large", "Keep the large model: no other candidate may be released.", said)
    turn = crossover(own.candidate, taken.candidate, costs, people=True).volume
    if bakeoff.volume is not None and turn is not None and turn > bakeoff.volume:
        return Verdict(
            "large",
            "Keep the large model: the volume is too low for a machine of one's own.",
            f"At {bakeoff.volume:,} cases a month a case costs {dollars(own.bill.total)} with {own.name}, "
            f"{dollars(own.bill.machine)} of it for a machine that runs round the clock, and {dollars(taken.bill.total)} with "
            f"{taken.name}, people included. From about {turn:,} cases a month on, {own.name} is cheaper.",
        )
    shares = (
        f"At the promise it answers {_share(taken.candidate.metrics.answered.share)} of the cases, {own.name} "
        f"{_share(own.candidate.metrics.answered.share)} (n = {len(own.candidate.right):,})."
    )
    if taken.bill.people < own.bill.people:
        return Verdict(
            "large",
            "Keep the large model: it leaves fewer cases to people.",
            f"{shares} A case that is left costs {dollars(by_person(costs))}, so that a case costs {dollars(taken.bill.total)} "
            f"in all with {taken.name} and {dollars(own.bill.total)} with {own.name}.",
        )
    if taken.bill.running >= own.bill.running:
        return None
    never = " At no volume does that change." if turn is None else ""
    return Verdict(
        "large",
        "Keep the large model: it costs less to run.",
        f"{shares} Without people a case costs {dollars(taken.bill.running)} with {taken.name} and {dollars(own.bill.running)} "
        f"with {own.name}, the cheapest other: {dollars(own.bill.machine)} for a machine and {dollars(own.bill.endpoints)} for "
        f"endpoints.{never}",
    )


def _behind_people(bakeoff: Bakeoff, big: Candidate) -> Verdict | None:
    """What the large model is good for where nothing may be released."""
    small = best([one for one in bakeoff.candidates if not one.large])
    if small is None:
        return None
    gap = compare(bakeoff.candidates, by_right, fixed(bakeoff))[big.name, small.name]
    said = f"The large model is {_is_right(big)}, the best other {_is_right(small)}: {gap.sentence}."
    if gap.difference > 0 and gap.differs:
        return Verdict(
            "large",
            "Keep the large model, with people who check it: the others are right less often.",
            f"{said} None of them may answer alone.",
        )
    return Verdict("large", "A large model is no way out: it is not shown to be right more often.", said)


def _linear(ranking: Sequence[Ranked], taken: Ranked | None) -> Verdict | None:
    """Whether TF-IDF with logistic regression does as well as whatever answers most cases rightly."""
    most = sorted(ranking, key=lambda one: -sum(one.candidate.helped))
    linear = next((one for one in most if one.open and one.candidate.kind == "baseline"), None)
    other = next((one for one in most if one is not linear), None)
    if linear is None or other is None or taken is None:
        return None
    gap = compare([one.candidate for one in ranking], by_helped)[linear.name, other.name]
    if gap.difference < 0 and (gap.differs or not gap.loses_less_than(MARGIN)):
        return None
    said = (
        f"{linear.name} answers {_helped(linear.candidate)} of the cases rightly without a person, {other.name} "
        f"{_helped(other.candidate)} (n = {gap.cases:,}): {gap.sentence}."
    )
    if gap.difference < 0:
        said += f" It is shown to lose no more than {100 * gap.loses_at_most:.1f} points (95 % confidence)."
    if taken is not linear:
        more = linear.bill.total - taken.bill.total
        why = f"costing {dollars(more)} a case more than" if more > 0 else "being larger than"
        said += f" It is not taken for {why} {taken.name}."
    return Verdict("linear", "A linear head is enough.", said)


def _collect(bakeoff: Bakeoff, metrics: Metrics) -> Verdict | None:
    """Which labels have too few cases to be judged, of those that are rare or right less often than the rest."""
    gold, least = bakeoff.gold, cases_needed(1.0, 0.0, bakeoff.promise)
    if least is None or not gold.test:
        return None
    part = 1.0 if gold.pinned else gold.test / (gold.train + gold.calibration + gold.test)
    pinned, comes = "", f"{100 * part:.0f} % of new gold comes to the test"
    if gold.pinned:
        pinned, comes = ", pinned to the test", "new gold comes to the test where its line is pinned there (`split: test`)"
    seen = {(one.by, one.value): one.whole for one in metrics.slices}
    known = [(field, label, count) for field, counts in sorted(gold.labels.items()) for label, count in sorted(counts.items())]
    rates = [seen.get((field, label), rate(0, 0)) for field, label, _ in known]
    chances = holm([binomial_tail(one.count, one.of, metrics.whole.share or 0.0) for one in rates])
    thin: list[tuple[float, int, str, str]] = []
    for (field, label, count), whole, p in zip(known, rates, chances, strict=True):
        rare = 2 * count < median(gold.labels[field].values())
        if whole.of < least and (rare or p <= SIGNIFICANT):
            told = f"{label} has {count:,} in gold, {whole.of:,} in the test, and {whole.count:,} of these right"
            told = told if count else f"{label} has none in gold"
            thin.append((p, count, f"{ceil((least - whole.of) / part):,} more of {label}", told))
    if not thin:
        return None
    thin.sort()
    named = thin[:NAMED]
    others = f" {len(thin) - NAMED:,} more labels are as thin." if len(thin) > NAMED else ""
    return Verdict(
        "collect",
        f"Collect cases of the labels that cannot be judged{pinned}: {listed([each[2] for each in named])}.",
        f"{'; '.join(each[3] for each in named)} (all cases: {_share(metrics.whole.share)} right). To show that a label keeps "
        f"the promise by itself takes {least:,} test cases even if all are right, and {comes}. How much "
        f"better they would be learnt is not known.{others}",
    )


def _leaks(bakeoff: Bakeoff) -> Verdict | None:
    leaked = bakeoff.gold.leaked
    if not leaked:
        return None
    return Verdict(
        "leaks",
        f"The figures may flatter: {leaked:,} cases have a near-duplicate on the other side of a pin.",
        "What was learnt from may hold what is tested. `rung gold check` lists them; pin both of a pair to one side.",
    )


def _noise(bakeoff: Bakeoff) -> Verdict | None:
    """Whether as much of the gold may be wrong as half of what the promise allows."""
    gold = bakeoff.gold
    cases = gold.train + gold.calibration + gold.test
    if not gold.suspects or gold.suspects < cases * bakeoff.promise.error / 2:
        return None
    return Verdict(
        "noise",
        f"Look through the gold: up to {_share(gold.suspects / cases)} of it may be wrong itself.",
        f"{gold.suspects:,} of {cases:,} cases look mislabelled, and the promise allows {100 * bakeoff.promise.error:g} % wrong. "
        "Where gold is wrong, right answers count as wrong and wrong ones as right. `rung gold check` lists the cases.",
    )


def _unfinished(bakeoff: Bakeoff) -> Verdict | None:
    if not bakeoff.unfinished:
        return None
    reasons = "; ".join(f"{name}: {reason.rstrip('.')}" for name, reason in sorted(bakeoff.unfinished.items()))
    return Verdict(
        "unfinished",
        f"Nothing is known yet about {listed(sorted(bakeoff.unfinished))}.",
        f"{reasons}. {dollars(bakeoff.spent)} are spent. Run the bake-off again, with a larger `budget` if that is what is "
        "missing: what is answered is not asked again.",
    )


def _is_right(candidate: Candidate) -> str:
    whole = candidate.metrics.whole
    return f"{candidate.name}, right on {_share(whole.share)} of {whole.of:,} cases"


def _helped(candidate: Candidate) -> str:
    return spell(sum(candidate.helped) / len(candidate.right), "share")


def _share(share: float | None) -> str:
    return "none" if share is None else spell(share, "share")
