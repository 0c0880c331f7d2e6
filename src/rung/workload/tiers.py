"""Turns the tiers that stand in a workload file, its own and its bake-off's, into all that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rung.workload.mistakes import Draft, Mistake, Steps, as_mapping, fill_of
from rung.workload.patterns import patterns_of

_SETTINGS = {
    "layers": ("distil",),
    "keep": ("prune",),
    "unlabelled": ("distil", "prune"),
    "teacher": ("distil",),
    "precision": ("heads", "finetune", "lora", "distil", "prune"),
}


def each_tier(draft: Draft) -> Iterator[tuple[Steps, Any]]:
    """Every tier that the format does not object to, with its path: the workload's own, and those of its bake-off."""
    return (found for tiers in _cascades(draft) for found in tiers)


def tier_mistakes(draft: Draft, declared: Draft | None) -> Iterator[Mistake]:
    """What is wrong with the order of tiers, with the specialists' settings, and with the endpoints that tiers name; None: it is
    not known what is declared."""
    for tiers in _cascades(draft):
        yield from _order_mistakes(tiers, draft, declared)


def _cascades(draft: Draft) -> Iterator[list[tuple[Steps, Any]]]:
    yield draft.sound("tiers")
    for steps, candidate in draft.sound("bakeoff", "candidates"):
        yield draft.sound(*steps) if isinstance(candidate, list) else [(steps, candidate)]


def _order_mistakes(tiers: Sequence[tuple[Steps, Any]], draft: Draft, declared: Draft | None) -> Iterator[Mistake]:
    seen: list[str] = []
    for steps, tier in tiers:
        name = tier_name(tier)
        if name in seen:
            yield steps, f"{name} stands there twice"
        elif "endpoint" not in as_mapping(tier):
            yield from (((*steps, *inner), message) for inner, message in _specialist_mistakes(tier, seen, draft))
        if declared is not None and name not in seen:
            for inner, endpoint in named_endpoints(tier).items():
                yield from (((*steps, *inner), message) for message in _endpoint_mistakes(endpoint, draft, declared))
        seen.append(name)


def tier_name(tier: Any) -> str:
    """A tier's name in decisions and reports."""
    if tier == "specialist":
        return "specialist"
    return str(tier["specialist"]) if "specialist" in tier else f"{tier['endpoint']}/{tier['model']}"


def named_endpoints(tier: Any) -> dict[Steps, str]:
    """The endpoints that a tier names, by the places in it: where it asks, or who teaches it."""
    found: dict[Steps, Any] = {("endpoint",): as_mapping(tier).get("endpoint")}
    found["teacher", "endpoint"] = as_mapping(as_mapping(tier).get("teacher")).get("endpoint")
    return {steps: name for steps, name in found.items() if name is not None}


def _specialist_mistakes(tier: Any, before: Sequence[str], draft: Draft) -> Iterator[Mistake]:
    """Endpoints' names hold a slash, so what stands before is known by its name."""
    settings = as_mapping(tier)
    recipe = settings.get("specialist", "heads")
    if any("/" in name for name in before):
        yield (), "a specialist is smaller than any endpoint and stands before it"
    if recipe == "static" and before:
        yield (), "static is the smallest tier and stands first"
    for setting, owner in _SETTINGS.items():
        if setting in settings and recipe not in owner:
            yield (setting,), f"is a setting of {' and '.join(owner)}, not of {recipe}"
    if "teacher" in settings and "unlabelled" not in settings:
        yield ("teacher",), "needs unlabelled: the file of texts that it answers. On gold people have answered already"
    fills = [(fill_of(schema), bool(patterns_of(schema))) for _, schema in draft.sound("answer", "properties")]
    if recipe not in ("heads", "static") and fills and not any(f == "label" or (f == "copy" and not p) for f, p in fills):
        yield (), f"there is nothing that {recipe} could learn: no label, and no copied field without a pattern"
    if recipe == "static":
        for field, schema in draft.sound("answer", "properties"):
            if fill_of(schema) == "copy" and not patterns_of(schema):
                yield (), f"static fills labels and fields with patterns; {field[-1]} is learnt from words in their place"


def _endpoint_mistakes(name: str, draft: Draft, declared: Draft) -> Iterator[str]:
    if name not in declared.raw:
        yield f"{name} is not in endpoints.yaml (it has {', '.join(declared.raw) or 'nothing'})"
        return
    outside = as_mapping(declared.raw[name]).get("boundary") == "outside"
    given = draft.at("boundary") if "boundary" in draft.raw else "never"
    if outside and given is not None and "never" in (given, as_mapping(given).get("may_leave")):
        yield f"{name} is outside and the boundary is never: nothing may leave for it"
