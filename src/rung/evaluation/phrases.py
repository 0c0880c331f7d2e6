"""Turns figures into the words of reports and memos. Knows nothing about what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

from rung.charts import Mono, Strong, spell
from rung.evaluation.candidates import Candidate
from rung.evaluation.comparisons import Comparison, signed
from rung.evaluation.rates import Estimate, Rate
from rung.statistics.binomial import upper_bound
from rung.workload import Promise

NONE = "\u2013"


def share(rate: Rate) -> str:
    """A rate as a table has it: `91.2 % (89.3 to 92.9)`."""
    return NONE if rate.share is None else f"{spell(rate.share, 'share')} ({100 * rate.low:.1f} to {100 * rate.high:.1f})"


def counted(rate: Rate) -> str:
    """A rate in words: `843 of 1,000; 81.9 % to 86.5 %`."""
    return f"{rate.count:,} of {rate.of:,}; {spell(rate.low, 'share')} to {spell(rate.high, 'share')}"


def at_most(error: Rate, confidence: float) -> str:
    """The exact one-sided upper bound of an error rate; none where nothing was answered."""
    return spell(upper_bound(error.count, error.of, confidence), "share") if error.of else NONE


def estimated(estimate: Estimate | None) -> str:
    """An estimate between 0 and 1 as a table has it: `0.884 (0.861 to 0.905)`."""
    return NONE if estimate is None else f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def gap(one: Comparison) -> str:
    """A paired difference as a table has it: `-2.1 points (-3.9 to -0.3)`."""
    return f"{signed(one.difference)} points ({signed(one.interval[0])} to {signed(one.interval[1])})"


def seconds(value: float) -> str:
    """A time with its unit."""
    return spell(value, "seconds")


def size(candidate: Candidate) -> str:
    """Bytes on disk; those of an endpoint's model are not known."""
    if candidate.kind == "endpoint":
        return NONE
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if candidate.size >= factor:
            return f"{candidate.size / factor:.3g} {unit}"
    return f"{candidate.size} B"


def percent(value: float) -> str:
    """A share that somebody wrote, as they wrote it: `5 %`, `99.5 %`."""
    return f"{value * 100:.10g} %"


def left(promise: Promise, tried: int) -> float:
    """The confidence with which the promise holds for a candidate chosen among so many (Bonferroni); 0: none."""
    return max(0.0, 1 - tried * (1 - promise.confidence))


def needed(promise: Promise, tried: int) -> float:
    """The confidence for each of so many that leaves the promise's own to the one chosen, rounded up and below 1."""
    each = (1 - promise.confidence) / tried
    digits = max(5, 2 - floor(log10(each)))
    return round(1 - floor(each * 10**digits + 1e-6) / 10**digits, digits)


def still(error: Rate, promise: Promise, tried: int) -> float:
    """The upper bound of the chosen candidate's error on test cases, at the promise's confidence whichever was chosen."""
    return upper_bound(error.count, error.of, needed(promise, tried))


def prose(text: str) -> list[str | Strong | Mono]:
    """Text in which what stands between backticks has fixed width."""
    return [Mono(part) if index % 2 else part for index, part in enumerate(text.split("`")) if part]


def listed(names: Sequence[str]) -> str:
    """`A`, `A and B`, `A, B and C`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
