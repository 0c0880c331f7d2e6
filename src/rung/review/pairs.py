"""Turns blind second looks into how far people agree, field by field. Knows nothing about who is right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from rung.ledger import Ledger
from rung.statistics.agreement import Agreement, kappa
from rung.workload import Workload


def agreement(ledger: Ledger, workload: Workload) -> Mapping[str, Agreement]:
    """By field that people are asked for: Cohen's kappa over the cases that two of them settled, with its interval at 95 %."""
    pairs = [(pair.first.answer, pair.second.answer) for pair in ledger.queue.pairs(workload.name)]
    return {
        name: kappa([_written(first.get(name)) for first, _ in pairs], [_written(second.get(name)) for _, second in pairs])
        for name in workload.asked
    }


def _written(value: object) -> str:
    """The value as text that is equal where the values are: 1 and 1.0 are, 1 and true are not."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(one) for one in cast("list[Any]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value
