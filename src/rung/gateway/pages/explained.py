"""Turns a workload into sentences, section by section of its file, for those who do not write it. Knows nothing about files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rung.charts import Block, Bullets, Mono, Paragraph, Prose, Strong, Table, Unit, spell
from rung.gateway.pages.attempts import describe
from rung.gateway.pages.words import value
from rung.workload import Email, EndpointTier, Field, Limits, SpecialistTier, Workload

LABELS = 6  # that a table names of a field's
KINDS = {"string": "a text", "number": "a number", "integer": "a whole number", "boolean": "yes or no", "array": "a list"}
BROKEN = {
    "alarm": "an alarm",
    "tighten": "an alarm, and a higher acceptance level: what the evidence supports",
    "roll_back": "an alarm, and the release before answers again",
}
SUCCESS = {
    "feedback": "whose answers people overturn less often",
    "relevance": "whose answers people find more relevant",
    "latency": "which is in time more often",
    "answered": "which answers more cases without a person",
}


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the file: the keys that it is made of, and what they say."""

    title: str
    keys: tuple[str, ...]
    explain: Callable[[Workload], Sequence[Block]]


def _task(workload: Workload) -> Sequence[Block]:
    return [
        Paragraph((Strong(workload.task),)),
        Paragraph(
            ("Callers ask for it by its name, ", Mono(workload.name), ". Endpoints are told the task in exactly these words.")
        ),
    ]


def _answer(workload: Workload) -> Sequence[Block]:
    rows: list[Sequence[Prose]] = [(field.name, *_filled(field)) for field in workload.fields]
    return [
        Paragraph("Every answer is an object with these fields. Each is filled by the cheapest way that can fill it."),
        Table(("Field", "Filled", "How"), rows, "lll"),
    ]


def _filled(field: Field) -> tuple[str, Prose]:
    match field.fill:
        case "label":
            named = ", ".join(map(value, field.labels[:LABELS]))
            more = len(field.labels) - LABELS
            return "chosen", f"one of {len(field.labels)}: {named}" + (f" and {more} more" if more > 0 else "")
        case "copy":
            how = f"found by {_count(len(field.find), 'pattern')}" if field.find else "found as the gold answers teach"
            return "copied", f"{_kind(field.schema)} from the text, {how}{'; or none' if 'null' in _kinds(field.schema) else ''}"
        case "template":
            return "written", ("from the other fields, by ", Mono(field.template))


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    given: str | list[str] = schema.get("type", [])
    return [given] if isinstance(given, str) else given


def _kind(schema: Mapping[str, Any]) -> str:
    told = " or ".join(KINDS[kind] for kind in _kinds(schema) if kind in KINDS) or "what stands there"
    told = {"date": "a date", "email": "an e-mail address"}.get(schema.get("format", ""), told)
    return f"{told} like {schema['pattern']}" if "pattern" in schema else told


def _gold(workload: Workload) -> Sequence[Block]:
    named = "Texts and the answers that people agreed on stand in ", Mono(workload.gold.name)
    used = ". Some train the specialists, some set the acceptance level, and some, which neither has seen, test the release."
    return [Paragraph((*named, used))]


def _checks(workload: Workload) -> Sequence[Block]:
    if not workload.checks:
        return [Paragraph("An answer must have the form above. There are no checks besides.")]
    return [
        Paragraph("An answer must have the form above, and these functions must have nothing against it, or the case goes on:"),
        Bullets([(Mono(check),) for check in workload.checks]),
    ]


def _tiers(workload: Workload) -> Sequence[Block]:
    rows: list[Sequence[Prose]] = [
        (f"{at}. {tier.name}", describe(tier), _terms(tier)) for at, tier in enumerate(workload.tiers, 1)
    ]
    rows.append((f"{len(rows) + 1}. a person", "decides what no tier may be trusted with", ""))
    return [
        Paragraph(
            "They are asked in this order. A case stops at the first whose answer nothing objects to and that is sure enough."
        ),
        Table(("Tier", "What it is", "On these terms"), rows, "lll"),
    ]


def _terms(tier: SpecialistTier | EndpointTier) -> str:
    if isinstance(tier, SpecialistTier):
        return "costs the machine it runs on"
    price = tier.endpoint.price
    paid = (
        [f"{spell(price.input, 'USD')} in and {spell(price.output, 'USD')} out a million tokens"]
        if price.input or price.output
        else []
    )
    paid += [f"{spell(price.hour, 'USD')} an hour"] if price.hour else []
    shown = [f"shown {_count(tier.examples, 'example')}"] if tier.examples else []
    return ", ".join([*(paid or ["free of charge"]), *shown, f"{spell(tier.timeout, 'seconds')} at most"])


def _promise(workload: Workload) -> Sequence[Block]:
    promise = workload.promise
    said = f"Of the cases answered without a person at most {spell(promise.error, 'share')} are wrong"
    follows = (
        f", with {spell(promise.confidence, 'share')} confidence. How sure a tier must be follows from this: nobody types it."
    )
    return [Paragraph((Strong(said), follows))]


def _limits(workload: Workload) -> Sequence[Block]:
    limits = workload.limits
    told = [*_told_limits(limits)]
    told += [
        f"Within each {name}, at most {spell(most, 'share')} of the answers are wrong." for name, most in limits.slices.items()
    ]
    if not told:
        return [Paragraph("There are none but the promise.")]
    return [Paragraph("A release that breaks one of these is refused:"), Bullets(told)]


def _told_limits(limits: Limits) -> list[str]:
    sentences: tuple[tuple[float | None, Unit, str], ...] = (
        (limits.p99, "seconds", "99 of 100 cases are decided within {}."),
        (limits.cost_per_case, "USD", "A case costs {} at most on average, without people's time."),
        (limits.escalated, "share", "The specialists leave at most {} of the cases to a larger tier or to a person."),
        (
            limits.dropped,
            "share",
            "The share answered rightly falls by less than {} of all cases against the release that answers now.",
        ),
        (limits.hallucinated, "share", "At most {} of the answers hold a copied value that stands nowhere in the text."),
        (limits.refused, "share", "At most {} of the cases get no answer from any tier."),
    )
    return [sentence.format(spell(limit, unit)) for limit, unit, sentence in sentences if limit is not None]


def _boundary(workload: Workload) -> Sequence[Block]:
    match workload.boundary.may_leave:
        case "never":
            said = "No text ever leaves for an endpoint outside your walls."
        case "redacted":
            kinds = ", ".join(workload.boundary.redact)
            said = (
                f"Endpoints outside your walls are asked with these masked: {kinds}. What was masked is put back into the answer."
            )
        case "anything":
            said = "Endpoints outside your walls are asked with the whole text."
    return [Paragraph(said)]


def _review(workload: Workload) -> Sequence[Block]:
    policy = workload.review
    sample = f"{spell(policy.sample, 'share')} of the answers given without them are drawn at random for them to look at"
    least = f", and up to {spell(policy.informative, 'share')} more of those only just trusted" if policy.informative else ""
    guide = [("What they go by stands in ", Mono(policy.guidelines.name), ", if it is there.")] if policy.guidelines else []
    return [
        Paragraph("People decide every case that no tier may be trusted with. Besides:"),
        Bullets(
            [
                f"{sample}{least}.",
                f"{spell(policy.second, 'share')} of what is settled somebody else looks at again, blind.",
                f"A case is held for {spell(policy.lease.total_seconds(), 'seconds')} for whoever opened it.",
                *guide,
                f"If the promise is proven broken on live traffic, what follows is {BROKEN[policy.on_broken]}.",
            ]
        ),
    ]


def _alarms(workload: Workload) -> Sequence[Block]:
    if not workload.alarms:
        return [Paragraph("Nobody is told of alarms: they are shown on these pages only.")]
    told = [f"E-mail to {', '.join(one.to)}" if isinstance(one, Email) else f"Webhook {one.to}" for one in workload.alarms]
    return [Paragraph("When something is wrong, and when it is well again, these are told:"), Bullets(told)]


def _costs(workload: Workload) -> Sequence[Block]:
    costs = workload.costs
    volume = f" Some {workload.volume:,} cases are expected a month." if workload.volume else ""
    person = f"{spell(costs.person_hour, 'USD')} an hour and {spell(costs.review_seconds, 'seconds')} a case"
    return [
        Paragraph(
            f"Money is counted with the machine at {spell(costs.machine_hour, 'USD')} an hour and people at {person}.{volume}"
        )
    ]


def _success(workload: Workload) -> Sequence[Block]:
    return [Paragraph(f"Of two releases that are tried against each other, that one is better {SUCCESS[workload.success]}.")]


def _bakeoff(workload: Workload) -> Sequence[Block]:
    candidates, budget = workload.bakeoff.candidates, spell(workload.bakeoff.budget, "USD")
    told: list[Prose] = [" then ".join(f"{tier.name} ({describe(tier)})" for tier in tiers) for tiers in candidates]
    said = f"A bake-off compares the tiers above with others on the same cases; endpoints may cost {budget} in it."
    return [Paragraph(said), *([Bullets(told)] if told else [])]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


SECTIONS = (
    Section("Task", ("workload", "task"), _task),
    Section("Answer", ("answer", "labels"), _answer),
    Section("Gold", ("gold",), _gold),
    Section("Checks", ("checks",), _checks),
    Section("Tiers", ("tiers",), _tiers),
    Section("Promise", ("promise",), _promise),
    Section("Limits", ("limits",), _limits),
    Section("Boundary", ("boundary",), _boundary),
    Section("Review", ("review",), _review),
    Section("Alarms", ("alarms",), _alarms),
    Section("Costs", ("costs", "volume"), _costs),
    Section("Trials", ("success",), _success),
    Section("Bake-off", ("bakeoff",), _bakeoff),
)
