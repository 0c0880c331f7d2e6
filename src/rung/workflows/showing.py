"""Turns training cases into the few that an endpoint is shown with their answers. Knows nothing about prompts.

The split keeps near-duplicates together, so that what is shown says nothing about the cases that judge it; among the training
cases `unshown` keeps them apart.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any, cast

from rung.cascade.redaction import redact
from rung.core import Fields
from rung.gold import Example, digest_of, near_groups
from rung.release.frozen import Shown
from rung.workload import EndpointTier, Workload


def shown(training: Sequence[Example], workload: Workload, tier: EndpointTier) -> tuple[Shown, ...]:
    """`tier.examples` training cases as the endpoint may see them: the most frequent labels first, one of each in turn.

    Which they are follows from the texts, not from their order. What must not leave is masked, alike in text and answer; a case
    whose answer cannot be masked alike is passed over.
    """
    return tuple(case for _, case in _chosen(training, workload, tier))


def shown_to(training: Sequence[Example], workload: Workload) -> dict[str, tuple[Shown, ...]]:
    """What every endpoint of the workload is shown, by its tier's name."""
    return {tier.name: shown(training, workload, tier) for tier in workload.tiers if isinstance(tier, EndpointTier)}


def unshown(training: Sequence[Example], workload: Workload) -> list[Example]:
    """The training cases that may judge what the workload's endpoints answer: none that is shown, and no near-duplicate."""
    tiers = [tier for tier in workload.tiers if isinstance(tier, EndpointTier) and tier.examples]
    if not tiers:
        return list(training)
    groups = near_groups([example.case.text for example in training])
    seen = {groups[at] for tier in tiers for at, _ in _chosen(training, workload, tier)}
    return [example for example, group in zip(training, groups, strict=True) if group not in seen]


def _chosen(training: Sequence[Example], workload: Workload, tier: EndpointTier) -> list[tuple[int, Shown]]:
    """The positions of the cases that are shown, and the cases."""
    if not tier.examples:
        return []
    masked = tier.endpoint.boundary == "outside" and workload.boundary.may_leave == "redacted"
    labels = [field.name for field in workload.fields if field.fill == "label"]
    strata: defaultdict[str, list[int]] = defaultdict(list)
    for at in sorted(range(len(training)), key=lambda at: digest_of(training[at].case.text)):
        strata[json.dumps([training[at].expected[name] for name in labels])].append(at)
    ordered = [strata[name] for name in sorted(strata, key=lambda name: (-len(strata[name]), name))]
    found: list[tuple[int, Shown]] = []
    for at in chain.from_iterable(zip_longest(*ordered)):
        if at is None:  # its stratum is used up
            continue
        fields = {name: training[at].expected[name] for name in workload.asked}
        case = _masked(training[at].case.text, fields, workload.boundary.redact) if masked else (training[at].case.text, fields)
        if case is not None:
            found.append((at, case))
        if len(found) == tier.examples:
            break
    return found


def _masked(text: str, fields: Fields, kinds: Sequence[str]) -> Shown | None:
    """The case with placeholders; None where its answer holds what the text does not, or not in the same words."""
    redacted = redact(text, kinds)
    told = _replaced(fields, {original: placeholder for placeholder, original in redacted.found.items()})
    return None if redact(json.dumps(told, ensure_ascii=False), kinds).found else (redacted.text, told)


def _replaced(value: Any, places: Mapping[str, str]) -> Any:
    """The JSON value with each string that is found as a whole replaced by its placeholder."""
    if isinstance(value, str):
        return places.get(value, value)
    if isinstance(value, Mapping):
        return {name: _replaced(one, places) for name, one in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_replaced(one, places) for one in cast("list[Any]", value)]
    return value
