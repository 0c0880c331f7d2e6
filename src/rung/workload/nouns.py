"""What a workload is made of: frozen, typed, free of files and formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

SizeTier = Literal["tiny", "core", "upper", "frontier"]
Leave = Literal["never", "redacted", "anything"]
Precision = Literal["float32", "int8", "int4"]
OnBroken = Literal["alarm", "tighten", "roll_back"]
Recipe = Literal["heads", "static", "finetune", "lora", "distil", "prune"]
Success = Literal["feedback", "relevance", "latency", "answered"]


@dataclass(frozen=True, slots=True)
class Price:
    """What an endpoint costs, in US dollars: per million tokens, or per hour of the machine it occupies."""

    input: float = 0.0
    output: float = 0.0
    hour: float = 0.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible server: `url` up to and including `/v1`; `key` names the environment variable that holds its key.

    `size`: tiny < 1B, core 1-10B, upper 10-30B parameters, frontier. `boundary`: "inside" the user's walls or "outside".
    """

    name: str
    url: str
    size: SizeTier
    weights: Literal["open", "closed"]
    boundary: Literal["inside", "outside"]
    price: Price
    key: str | None = None


@dataclass(frozen=True, slots=True)
class EndpointTier:
    """A model behind an endpoint. `timeout` is the whole time a case may take there, retries included, in seconds; `examples` is
    how many training cases it is shown with their answers."""

    name: str
    endpoint: Endpoint
    model: str
    timeout: float = 20.0
    examples: int = 0


@dataclass(frozen=True, slots=True)
class SpecialistTier:
    """A model that Rung trains itself. `recipe` says how, `precision` how its encoder's weights are kept; `layers` is how many
    layers a distilled encoder has, `keep` which share of the layers' weights a pruned one; `unlabelled` a file of further texts
    that a smaller encoder learns from by its teacher alone, and `teacher` an endpoint that answers those."""

    name: str = "specialist"
    recipe: Recipe = "heads"
    precision: Precision = "int8"
    layers: int = 3
    keep: float = 0.5
    unlabelled: Path | None = None
    teacher: EndpointTier | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One property of the answer and how it is filled.

    `label`: one of `labels` (JSON values). `copy`: the first match of one of the RE2 patterns `find` in the text, or, where there
    are none, the spans that gold teaches, normalised by the schema's type; else null. `template`: the text of `template`, with
    other fields filled in.
    """

    name: str
    fill: Literal["label", "copy", "template"]
    schema: Mapping[str, Any]
    labels: tuple[Any, ...] = ()
    find: tuple[str, ...] = ()
    template: str = ""


@dataclass(frozen=True, slots=True)
class Promise:
    """Of the cases answered without a person at most `error` are wrong, with probability `confidence`."""

    error: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What must hold besides the promise: seconds at the 99th percentile, US dollars per case, share leaving the specialists; how
    far the share answered rightly may have `dropped` against the live release; shares of answers with a value found nowhere in
    the input, and of cases without any answer; and by attribute the largest share wrong in each slice."""

    p99: float | None = None
    cost_per_case: float | None = None
    escalated: float | None = None
    dropped: float | None = None
    hallucinated: float | None = None
    refused: float | None = None
    slices: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Boundary:
    """What may leave for an endpoint outside, and which kinds of personal data are masked when `may_leave` is "redacted"."""

    may_leave: Leave = "never"
    redact: tuple[str, ...] = ()


Tiers = tuple[SpecialistTier | EndpointTier, ...]


@dataclass(frozen=True, slots=True)
class Contest:
    """What a bake-off compares besides the workload's own tiers, each a cascade, and US dollars that endpoints may cost."""

    candidates: tuple[Tiers, ...] = ()
    budget: float = 1.0


@dataclass(frozen=True, slots=True)
class Costs:
    """What machines and people cost: US dollars an hour, and a person's seconds per case."""

    machine_hour: float = 0.10
    person_hour: float = 30.0
    review_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where alarms or verdicts are posted: an http(s) address, or the name of the environment variable that holds one."""

    to: str


@dataclass(frozen=True, slots=True)
class ReviewPolicy:
    """Which answers people look at besides what is left to them, and how.

    `sample` is the share (0..1) of the answers given without a person that is drawn at random; `informative` the chance of the
    least sure answer on top, falling to 0 for a sure one; `second` the share of settled cases that somebody else looks at again,
    blind. A case is held for one person for the `lease`. `guidelines` is the file shown beside it, which need not be there.
    `webhook` is told each verdict that completes or changes an answer. `on_broken` is what follows when the promise is proven
    broken: an alarm, and besides a higher acceptance level or the release before.
    """

    sample: float = 0.02
    informative: float = 0.0
    second: float = 0.05
    lease: timedelta = timedelta(minutes=10)
    guidelines: Path | None = None
    on_broken: OnBroken = "alarm"
    webhook: Webhook | None = None


@dataclass(frozen=True, slots=True)
class Email:
    """The addresses that alarms are sent to."""

    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """One bounded, repeated piece of language work. Paths in its file are relative to the file's folder. `success` is what an A/B
    trial of it is decided by."""

    name: str
    task: str
    file: Path
    schema: Mapping[str, Any]
    fields: tuple[Field, ...]
    gold: Path
    checks: tuple[str, ...]
    tiers: Tiers
    promise: Promise
    limits: Limits
    boundary: Boundary
    volume: int | None = None
    bakeoff: Contest = Contest()
    costs: Costs = Costs()
    review: ReviewPolicy = ReviewPolicy()
    success: Success = "feedback"
    alarms: tuple[Webhook | Email, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the workload file lies."""
        return self.file.parent

    @property
    def state(self) -> Path:
        """Where Rung keeps what it makes for this workload: releases, caches, the embedded ledger."""
        return self.folder / ".rung"

    @property
    def asked(self) -> tuple[str, ...]:
        """The fields a model fills; the others follow from them."""
        return tuple(field.name for field in self.fields if field.fill != "template")
