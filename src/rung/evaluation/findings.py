"""Turns decisions and agreed answers into one finding per case: what was said last, and whether it is right.

Knows nothing about metrics.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from rung.core import Attempt, Case, Decision, Fields
from rung.evaluation.asking import Agreed, right


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one case, which stood at position `at`.

    `said` is the last answer any tier gave, accepted or not: `tier` gave it, `confidence` is its record's, `objected` says that a
    check objected to it, `right` that it agrees with what was `expected`. None where no tier gave any: then nothing is right.
    `accepted` says that it was answered without a person. `cost` is in US dollars. `reached` are the tiers that were asked.
    """

    at: int
    case: Case
    expected: Fields
    said: Fields | None
    tier: str
    confidence: float
    objected: bool
    accepted: bool
    right: bool
    cost: float
    reached: tuple[str, ...]


def find(agreed: Sequence[Agreed], decisions: Sequence[Decision]) -> list[Finding]:
    """A finding for each case, sorted by what they say: resampling draws the same cases whatever order these came in."""
    found = [_finding(at, *pair) for at, pair in enumerate(zip(agreed, decisions, strict=True))]
    return sorted(found, key=_order)


def _finding(at: int, agreed: Agreed, decision: Decision) -> Finding:
    last = next((attempt for attempt in reversed(decision.attempts) if attempt.answer is not None), Attempt("", None))
    said = None if last.answer is None else last.answer.fields
    return Finding(
        at=at,
        case=agreed.case,
        expected=agreed.expected,
        said=said,
        tier=last.tier,
        confidence=last.confidence,
        objected=bool(last.problems),
        accepted=decision.answer is not None,
        right=said is not None and right(said, agreed.expected),
        cost=decision.cost,
        reached=tuple(dict.fromkeys(attempt.tier for attempt in decision.attempts)),
    )


def _order(finding: Finding) -> str:
    case, flags = finding.case, (finding.objected, finding.accepted, finding.reached)
    return repr((case.text, case.context, finding.expected, finding.said, finding.confidence, finding.cost, flags))


def signature(value: object) -> str:
    """What is alike for JSON values that are the same, as `rung.core.same` has it: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value)
        return f"{{{', '.join(sorted(f'{signature(name)}: {signature(one)}' for name, one in pairs.items()))}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(signature, cast('Sequence[object]', value)))}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return {None: "null", True: "true", False: "false"}[value] if isinstance(value, bool | None) else repr(value)


def copied(name: str, value: object) -> Iterator[tuple[str, Any]]:
    """Each value that the copied field `name` holds, with its kind: the field's own name, or with a dot that of the property of
    the objects in its list. Null is no value."""
    for item in cast("Sequence[object]", value) if isinstance(value, list | tuple) else (value,):
        if isinstance(item, Mapping):
            pairs = cast("Mapping[str, object]", item)
            yield from ((f"{name}.{key}", one) for key, one in pairs.items() if one is not None)
        elif item is not None:
            yield name, item
