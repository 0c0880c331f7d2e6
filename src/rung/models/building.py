"""Turns an encoder's weights into the files it is served from: an ONNX graph, quantised, and what was measured of it.

Knows nothing about training. A process that serves comes here once in the life of a cache, or never.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from tokenizers import Tokenizer

from rung.models import graph, sample
from rung.models.encoder import WORDS, Embeddings, Encoder, ids_of, open_own, open_session, pad, read_weights
from rung.workload import Precision

LOWEST_AGREEMENT = 0.99
MEASURED = 200  # texts of one's own that the range of every state is measured on

_log = logging.getLogger(__name__)


def build_shared(tokenizer: Tokenizer, folder: Path) -> tuple[bytes, dict[str, Any]]:
    """Write the encoder that all share into `folder`: int8, or float32 where int8 turns out to be too far off."""
    weights = read_weights(None)
    fitted, verified = ids_of(tokenizer, sample.FITTED), ids_of(tokenizer, sample.VERIFIED)
    model, agreement = _quantise(weights, "int8", fitted, verified)
    precision: Precision = "int8" if agreement >= LOWEST_AGREEMENT else "float32"
    if precision == "float32":
        _log.warning("int8 embeddings agree with float32 only to a cosine of %.4f; using float32, which is slower", agreement)
        model = graph.build(weights)
    return _keep(folder, model, precision, agreement)


def build_own(
    weights: Mapping[str, NDArray[np.float32]], precision: Precision, texts: Sequence[str], folder: Path, like: Encoder
) -> Encoder:
    """Write an encoder of one's own into `folder`, with its float32 weights so that training can go on from there; and open it.

    `texts` are of the kind it is for: int8 is fitted to the states that some of them lead to, and verified on others.
    """
    some = ids_of(like.tokenizer, [*sample.FITTED, *spread(texts, MEASURED)])
    others = ids_of(like.tokenizer, [*sample.VERIFIED, *spread(texts[1:], MEASURED)])
    model, agreement = _quantise(weights, precision, some, others)
    own = {name: np.ascontiguousarray(tensor) for name, tensor in weights.items() if name != WORDS}
    folder.mkdir(parents=True, exist_ok=True)
    kept = save(own)
    _replace(folder / "weights.safetensors", kept)
    _keep(folder, model, precision, agreement, {"weights": hashlib.sha256(kept).hexdigest()})
    return open_own(folder, like)


def spread(texts: Sequence[str], count: int) -> list[str]:
    """`count` of the texts at most, evenly over all: they may be sorted."""
    places: list[int] = np.linspace(0, len(texts) - 1, min(count, len(texts))).astype(int).tolist()
    return [texts[place] for place in places]


def _quantise(
    weights: Mapping[str, NDArray[np.float32]], precision: Precision, fitted: Sequence[list[int]], verified: Sequence[list[int]]
) -> tuple[bytes, float]:
    """The graph, and the smallest cosine between its embeddings and float32's."""
    plain = graph.build(weights)
    if precision == "float32":
        return plain, 1.0
    exact = open_session(plain)
    model = graph.build(weights, precision, _measure_ranges(exact, fitted) if precision == "int8" else None)
    small = open_session(model)
    return model, min(_compare(small, exact, pad([row])) for row in verified)


def _measure_ranges(exact: Any, rows: Sequence[list[int]]) -> dict[str, tuple[Embeddings, Embeddings]]:
    """The smallest and the largest value of each channel of the states that the float32 model multiplies."""
    names = [output.name for output in exact.get_outputs() if output.name != "embedding"]
    ranges: dict[str, tuple[Embeddings, Embeddings]] = {}
    for row in rows:
        for name, (states,) in zip(names, exact.run(names, pad([row])), strict=True):
            low, high = ranges.get(name, (states[0], states[0]))
            ranges[name] = np.minimum(low, states.min(axis=0)), np.maximum(high, states.max(axis=0))
    return ranges


def _compare(one: Any, other: Any, tokens: dict[str, NDArray[np.int64]]) -> float:
    ((first,), (second,)) = (session.run(["embedding"], tokens)[0] for session in (one, other))
    return float(first @ second)


def _keep(
    folder: Path, model: bytes, precision: Precision, agreement: float, also: Mapping[str, str] | None = None
) -> tuple[bytes, dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(model).hexdigest()
    verdict = {"sha256": digest, "precision": precision, "agreement": agreement, **(also or {})}
    _replace(folder / "model.onnx", model)
    _replace(folder / "encoder.json", json.dumps(verdict).encode())
    return model, verdict


def _replace(path: Path, content: bytes) -> None:
    """Write all of it or nothing, also while another process writes the same file."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.replace(file.name, path)
        except OSError:
            os.unlink(file.name)
            raise
