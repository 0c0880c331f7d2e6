"""What a bake-off found out about each way to do the work, on the same test cases. Knows nothing about how it was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rung.cascade.promise import Threshold
from rung.evaluation.metrics import Metrics
from rung.workload import Limits, Promise

Kind = Literal["baseline", "specialist", "endpoint", "cascade"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to do the work. `name` is unique among the candidates, `line` is how the workload file writes it.

    `right` and `answered` [test cases]: whether the last answer that any tier gave is right as a whole, and whether it was
    trusted at the candidate's own acceptance level. `threshold` is None where calibration cannot support the promise; `refused`
    then says why, as it does where a limit does not hold; it is empty for one that could be released. `metrics` are at that
    level, or with nothing trusted. `cost` is what endpoints cost in US dollars a case, `busy` the seconds a case keeps a machine
    of one's own busy, that of an endpoint inside without a price included: its share of the time that many at once take there;
    `p50` and `p99` the seconds from arrival to answer at `rate` arrivals a second, in which an endpoint takes as long as its
    answers took when it was asked; `size` bytes on disk, `training` the seconds that making it took, without what was kept from
    before. `large` says that it is a baseline which others are measured against: an endpoint of an upper or frontier size, alone.
    """

    name: str
    line: str
    kind: Kind
    large: bool
    right: tuple[bool, ...]
    answered: tuple[bool, ...]
    metrics: Metrics
    threshold: Threshold | None
    refused: str
    cost: float
    busy: float
    p50: float
    p99: float
    rate: float
    size: int
    training: float

    @property
    def helped(self) -> list[bool]:
        """Which cases are answered without a person, and rightly."""
        return [right and answered for right, answered in zip(self.right, self.answered, strict=True)]


@dataclass(frozen=True, slots=True)
class GoldFacts:
    """The gold behind a bake-off: its hash, cases in each part, whether the test cases are pinned (then no other new gold joins
    them), cases whose near-duplicates lie on the other side of a pin, cases with a likely label error (None: not looked for), and
    each label's count, by field, those that the schema allows and gold does not have included."""

    digest: str
    train: int
    calibration: int
    test: int
    pinned: bool
    leaked: int
    suspects: int | None
    labels: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Bakeoff:
    """All candidates on one workload's frozen test cases; `spent` is what endpoints cost in US dollars, in all runs on this gold;
    `unfinished` names the candidates that the budget did not suffice for, whose endpoint was silent or that could not be put
    under load, each with the reason."""

    workload: str
    promise: Promise
    limits: Limits
    volume: int | None
    gold: GoldFacts
    candidates: Sequence[Candidate]
    spent: float
    unfinished: dict[str, str]
