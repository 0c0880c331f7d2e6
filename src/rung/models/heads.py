"""Turns the scores of labels into choices with signals, and calibrated fields into answers. Knows nothing about what scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from rung.core import RungError
from rung.models.calibration import Calibration
from rung.models.copying import Found
from rung.workload import Field

Array = NDArray[np.float32]

SIGNALS = ("top", "margin", "log_margin", "third", "calm", "odds", "smooth_margin", "sparse_margin", "prior")


class ArtefactError(RungError):
    """A model's files are damaged, incomplete, or made for another encoder."""

    code = "artefact_unusable"


@dataclass(frozen=True, slots=True)
class LabelHead:
    """One label field: its labels, the log-odds that each is right when chosen, and its calibration."""

    field: str
    labels: tuple[Any, ...]
    prior: tuple[float, ...]
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class CopyHead:
    """One copy field and its calibration."""

    field: str
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of a workload's label fields and of its copy fields, each in the workload's order."""

    labels: Sequence[LabelHead]
    copies: Sequence[CopyHead]


def spans(labels: Sequence[Sequence[Any]]) -> list[slice]:
    """Each field's columns, where the labels of all fields stand side by side."""
    ends = np.cumsum([len(some) for some in labels]).tolist()
    return [slice(end - len(some), end) for some, end in zip(labels, ends, strict=True)]


def choose(
    smooth: Array, sparse: Array, prior: Sequence[float], sharpness: float = 1.0
) -> tuple[NDArray[np.intp], list[NDArray[np.floating]]]:
    """One field's choices [texts] from its two halves' scores [texts, labels], whose sum times `sharpness` are log-odds; and a
    column [texts] of each of `SIGNALS`."""
    scores = smooth + sparse
    row, labels = np.arange(len(scores)), scores.shape[1]
    choice = scores.argmax(axis=1)
    ordered = np.sort(scores, axis=1)
    top = ordered[:, -1]
    margin = top - ordered[:, -min(2, labels)]
    shares = np.exp(sharpness * (scores - top[:, None]))
    shares /= shares.sum(axis=1, keepdims=True)
    surest = np.clip(shares[row, choice], 1e-6, 1 - 1e-6)
    return choice, [
        top,
        margin,
        np.log(np.maximum(margin, 1e-3)),
        top - ordered[:, -min(3, labels)],
        (shares * np.log(shares + 1e-12)).sum(axis=1),
        np.log(surest / (1 - surest)),
        _lead(smooth, choice),
        _lead(sparse, choice),
        np.asarray(prior, np.float32)[choice],
    ]


def _lead(scores: Array, choice: NDArray[np.intp]) -> Array:
    """How far the chosen label lies ahead of the best other one; negative where another is ahead, 0 where there is no other."""
    row = np.arange(len(scores))
    others = scores.copy()
    others[row, choice] = scores.min(axis=1)
    lead: Array = scores[row, choice] - others.max(axis=1)
    return lead


def trust(calibration: Calibration, found: Found) -> float:
    """The probability of what was copied; 0.0 where a signal is no number, also if the calibration makes no use of it."""
    return calibration(found.signals) if all(map(isfinite, found.signals.values())) else 0.0


def number_rows(used: NDArray[np.integer[Any]], buckets: int) -> NDArray[np.int32]:
    """For each of the buckets its row, from 1 on in the order of the `used` ones; 0 for the others."""
    rows = np.zeros(buckets, np.int32)
    rows[used] = np.arange(1, len(used) + 1)
    return rows


def used_buckets(rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """The buckets that have a row, ascending."""
    return np.flatnonzero(rows).astype(np.int32)


def save_model(folder: Path, name: str, document: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write a model's `<name>.safetensors` and `<name>.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: np.ascontiguousarray(tensor) for key, tensor in tensors.items()}, folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")


def load_model(folder: Path, name: str, fields: Sequence[Field]) -> tuple[dict[str, Any], Heads, dict[str, NDArray[Any]]]:
    """What `save_model` wrote, and the heads among it. Raises ValueError for other fields' heads, and what else may be raised by
    files that are missing or damaged."""
    document = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    heads = Heads(
        [
            LabelHead(raw["field"], tuple(raw["labels"]), tuple(map(float, raw["prior"])), read_calibration(raw["calibration"]))
            for raw in document["labels"]
        ],
        [CopyHead(raw["field"], read_calibration(raw["calibration"])) for raw in document["copies"]],
    )
    trained = [(head.field, head.labels) for head in heads.labels] + [(head.field, ()) for head in heads.copies]
    wanted = [(field.name, field.labels) for fill in ("label", "copy") for field in fields if field.fill == fill]
    if trained != wanted or any(len(head.prior) != len(head.labels) for head in heads.labels):
        raise ValueError("the heads are not those of the workload's fields")
    return document, heads, load_file(folder / f"{name}.safetensors")


def read_calibration(raw: Mapping[str, Any]) -> Calibration:
    """A calibration from its JSON form."""
    return Calibration({name: (float(w), float(m), float(s)) for name, (w, m, s) in raw["weights"].items()}, float(raw["bias"]))
