"""Turns texts into embeddings that are computed once: cached by content, one append-only file per encoder. Knows no gold."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rung.models.encoder import WIDTH, Embeddings, Encoder

_RECORD = np.dtype([("key", np.uint8, 32), ("embedding", "<f4", WIDTH)])  # the key is the sha256 of the text
_FLUSH_EVERY = 512  # texts: what an interruption costs at most


def embed_gold(encoder: Encoder, texts: Sequence[str], folder: Path, progress: Callable[[int], None] | None = None) -> Embeddings:
    """Embeddings of `texts`, [len(texts), 384]; those not yet in `folder` are computed and kept there.

    `progress` is told how many texts are done so far. An interrupted call loses at most 512 texts.
    """
    keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
    path = folder / f"{encoder.name}.embeddings"
    known = _read(path)
    missing = [(key, text) for key, text in dict(zip(keys, texts, strict=True)).items() if key not in known]

    def report(left: int) -> None:
        if progress is not None:
            progress(len(texts) - left)

    report(len(missing))
    for start in range(0, len(missing), _FLUSH_EVERY):
        part = missing[start : start + _FLUSH_EVERY]
        left = len(missing) - start
        records = np.empty(len(part), _RECORD)
        records["key"] = [np.frombuffer(key, np.uint8) for key, _ in part]
        records["embedding"] = encoder.embed([text for _, text in part], lambda done, left=left: report(left - done))
        _append(path, records)
        known.update(zip((key for key, _ in part), records["embedding"], strict=True))
    return np.stack([known[key] for key in keys]) if keys else np.empty((0, WIDTH), np.float32)


def _read(path: Path) -> dict[bytes, NDArray[np.float32]]:
    try:
        records = np.fromfile(path, _RECORD)  # ignores a torn last record
    except FileNotFoundError:
        return {}
    # An embedding has length one; where a crash left a hole in the file it has not.
    whole = np.abs(np.linalg.norm(records["embedding"], axis=1) - 1) < 1e-3
    return {record["key"].tobytes(): record["embedding"] for record in records[whole]}


def _append(path: Path, records: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        file.truncate(size - size % _RECORD.itemsize)  # what a torn record left would shift all that follows
        file.write(records.tobytes())
