"""Turns gold into the labels that look wrong, for people to review. Knows nothing about files, and changes no label.

Confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70),
as cleanlab has it, on the answers of specialists that had not seen the case.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rung.gold import Example
from rung.training.heads import Array, rehearse_labels
from rung.workload import Field

LEAST = 50  # examples below which nothing is learnt that could contradict anybody
AT_ONCE = 6_000  # examples: an inverse of that size takes half a minute


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label that may be wrong. Of 1, the specialist that had not seen the case gives `share` to the label and `likelier_share`
    to the likelier one; neither is a calibrated probability."""

    line: int
    field: str
    label: Any
    likelier: Any
    share: float
    likelier_share: float


def why_not(examples: Sequence[Example], fields: Sequence[Field]) -> str | None:
    """Why wrong labels cannot be looked for in these examples, and what to do about it; None where they can."""
    if all(field.fill != "label" for field in fields):
        return "no field is filled by a label"
    if find_spec("cleanlab") is None:
        return "cleanlab is not installed: pip install 'rung[gold]' (it and what it needs do not fit the core install)"
    if len(examples) < LEAST:
        return f"{len(examples)} examples are too few to doubt any of their labels: it takes {LEAST}"
    return None


def find_suspects(
    examples: Sequence[Example],
    embeddings: Array,
    fields: Sequence[Field],
    groups: Sequence[int],
    progress: Callable[[int], None] = lambda done: None,
) -> list[Suspect]:
    """The suspects of every label field, the worst of each field first; field by field in the workload's order.

    `embeddings` is [n, 384]; `groups` [n] names each example's group of near-duplicates. `progress` is told of every example
    that is done. Beyond `AT_ONCE` examples, each is compared with its part of them.
    """
    label_fields = [field for field in fields if field.fill == "label"]
    given = np.zeros((len(label_fields), len(examples)), np.intp)
    shares = [np.zeros((len(examples), len(field.labels)), np.float32) for field in label_fields]
    parts = -(-len(examples) // AT_ONCE)
    for part in range(parts):
        at = np.arange(part, len(examples), parts)  # not in a row: the gold may be sorted
        some = [examples[position] for position in at.tolist()]
        texts, expected = [example.case.text for example in some], [example.expected for example in some]
        rehearsed = rehearse_labels(texts, expected, embeddings[at], fields, [groups[position] for position in at.tolist()])
        for field, (labels, share) in enumerate(rehearsed):
            given[field, at], shares[field][at] = labels, share
        progress(len(some))
    found: list[Suspect] = []
    for field, labels, share in zip(label_fields, given, shares, strict=True):
        for at in _doubted(labels, share):
            mine, likelier = int(labels[at]), int(share[at].argmax())
            pair = field.labels[mine], field.labels[likelier]
            found.append(Suspect(examples[at].line, field.name, *pair, float(share[at, mine]), float(share[at, likelier])))
    return found


def _doubted(labels: NDArray[np.intp], shares: Array) -> list[int]:
    """Positions, the worst first. Of cleanlab's rules a strict one: where pruning by class and pruning by noise rate agree."""
    if len(np.unique(labels)) < 2:  # nothing else was seen that could be likelier
        return []
    find = cast(Any, import_module("cleanlab.filter")).find_label_issues
    with warnings.catch_warnings():  # about labels with few examples, which are reported as such
        warnings.simplefilter("ignore", UserWarning)
        ranked = find(labels, shares, filter_by="both", return_indices_ranked_by="normalized_margin", n_jobs=1)
    return [int(position) for position in ranked]
