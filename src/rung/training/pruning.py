"""Takes away the heads, the inner width and the layers that matter least to the task, as measured on gold. Knows no files.

How much a head or an inner unit matters is how much the loss would change without it, to first order: the sum over tokens of
what passes there times its gradient (Michel, Levy, Neubig 2019, arXiv:1905.10650, section 4). A layer matters as far as the
states that leave it differ from those that entered (Men et al. 2024, arXiv:2403.03853, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from rung.models.graph import HEAD
from rung.training.course import cut
from rung.training.learner import Learner, collate
from rung.training.lessons import Lessons

BATCHES = 40  # enough that the order of what matters stands
UNITS = 32  # inner units that go together: products of other widths are no faster
FEWEST_LAYERS = 2

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Impact:
    """How much each layer's heads [heads] and inner units in groups of `UNITS` [groups] matter, and the layer itself."""

    heads: NDArray[np.float64]
    inner: NDArray[np.float64]
    layer: float


def shrink(learner: Learner, lessons: Lessons, keep: float) -> Weights:
    """The learner's weights without what matters least, so that about `keep` of the layers' weights stay: half of what goes are
    whole layers, where that is possible, the rest heads and inner units."""
    impacts = measure(learner, lessons)
    count = len(impacts)
    fewer = min(round((1 - keep) / 2 * count), count - FEWEST_LAYERS)
    order = sorted(range(count), key=lambda layer: impacts[layer].layer)
    layers = sorted(order[fewer:])
    share = min(keep * count / len(layers), 1.0)
    weights = learner.body.weights()
    found = {name: tensor for name, tensor in weights.items() if not name.startswith("encoder.layer.")}
    heads = _best([impacts[layer].heads for layer in layers], share)
    inner = _best([impacts[layer].inner for layer in layers], share)
    for place, layer in enumerate(layers):
        found |= _narrow(weights, f"encoder.layer.{layer}", f"encoder.layer.{place}", heads[place], inner[place])
    return found


def measure(learner: Learner, lessons: Lessons) -> list[Impact]:
    """Every layer's impact, on up to `BATCHES` batches of training cases."""
    learner.eval()
    layers = learner.body.layers
    kept: dict[tuple[int, str], Tensor] = {}

    def listen(place: int) -> Any:
        def shown(states: Tensor, name: str) -> Tensor:
            if states.requires_grad:
                states.retain_grad()
                kept[place, name] = states
            return states

        return shown

    for place, layer in enumerate(layers):
        layer.shown = listen(place)
    sums: dict[tuple[int, str], Tensor] = {}
    changes = np.zeros(len(layers))
    windows = [window for window in lessons.windows if lessons.taught[window.text]]
    try:
        for some in islice(cut(windows, 0), BATCHES):
            batch = collate(some, lessons)
            changes += _changes(learner, batch.tokens, batch.mask)
            learner.wrong(learner(batch), batch).backward()  # pyright: ignore[reportUnknownMemberType]
            for key, states in kept.items():
                told = (states * states.grad).sum(dim=1).abs().sum(dim=0).detach() if states.grad is not None else torch.zeros(1)
                sums[key] = sums.get(key, torch.zeros(())) + told
            learner.zero_grad()
    finally:
        for layer in layers:
            del layer.shown
    return [
        Impact(_grouped(sums[place, "context"], HEAD), _grouped(sums[place, "inner"], UNITS), float(changes[place]))
        for place in range(len(layers))
    ]


def _changes(learner: Learner, tokens: Tensor, mask: Tensor) -> NDArray[np.float64]:
    """One minus the cosine between the states that enter and leave each layer, over real tokens."""
    with torch.no_grad():
        along = learner.body.along(tokens, mask)
        cosines = [functional.cosine_similarity(before, after, dim=-1)[mask > 0].mean() for before, after in pairwise(along)]
    return 1 - np.array([float(cosine) for cosine in cosines])


def _grouped(impact: Tensor, size: int) -> NDArray[np.float64]:
    return impact.numpy().astype(np.float64).reshape(-1, size).sum(axis=1)


def _best(impacts: Sequence[NDArray[np.float64]], share: float) -> list[NDArray[np.intp]]:
    """Which units of each layer stay: the best of all layers together, each layer's measured against its own whole; one of
    each layer at least."""
    scaled = [impact / max(float(np.linalg.norm(impact)), 1e-12) for impact in impacts]
    every = np.sort(np.concatenate(scaled))[::-1]
    bar = every[max(round(share * len(every)), 1) - 1]
    return [np.flatnonzero((one >= bar) | (np.arange(len(one)) == one.argmax())) for one in scaled]


def _narrow(weights: Weights, old: str, new: str, heads: NDArray[np.intp], inner: NDArray[np.intp]) -> Weights:
    """One layer's tensors with only these heads and groups of inner units."""
    rows = (heads[:, None] * HEAD + np.arange(HEAD)).ravel()
    units = (inner[:, None] * UNITS + np.arange(UNITS)).ravel()
    found = {name.replace(old, new, 1): tensor for name, tensor in weights.items() if name.startswith(f"{old}.")}
    for part in ("query", "key", "value"):
        for kind in ("weight", "bias"):
            name = f"{new}.attention.self.{part}.{kind}"
            found[name] = found[name][rows]
    found[f"{new}.attention.output.dense.weight"] = found[f"{new}.attention.output.dense.weight"][:, rows]
    for kind in ("weight", "bias"):
        found[f"{new}.intermediate.dense.{kind}"] = found[f"{new}.intermediate.dense.{kind}"][units]
    found[f"{new}.output.dense.weight"] = found[f"{new}.output.dense.weight"][:, units]
    return found
