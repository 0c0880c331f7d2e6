"""The recipe `static`: gold in, a model without attention out, in numpy. Knows the encoder only by its vectors of single tokens.

Two learners that err differently, each by minibatches: a hidden layer on the sums of token vectors (dropout; Adam, Kingma and
Ba 2015), and a linear model on hashed n-grams of tokens (dropout; a step size of its own for each n-gram, after Duchi, Hazan,
Singer 2011). Both minimise the cross-entropy of every label field. What fits the calibrations are answers to each case of a
pair that was trained without the case's fold.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from rung.core import Answer, Fields
from rung.models.copying import Found, open_copier
from rung.models.encoder import WIDTH, Encoder
from rung.models.extraction import learnt
from rung.models.heads import CopyHead, Heads, LabelHead, number_rows, spans
from rung.models.static import (
    BUCKETS,
    LABEL_SIGNALS,
    SIZES,
    Array,
    Filled,
    Network,
    Reader,
    Scores,
    Static,
    Tokens,
    add_up,
    build_answers,
    calibrate_all,
    measure_lengths,
    read_scores,
    trust_all,
)
from rung.training.copies import folds_of
from rung.training.fitting import fit_copy_head, fit_label_head, place_labels
from rung.training.heads import Trained, one_hot
from rung.workload import Field

HIDDEN = 512
FREQUENT = 0.01  # a token that is this share of all tokens weighs half
EPOCHS = 20
GRAMS_EPOCHS = 10
BATCH = 128
STEPS = (200, 4_000)  # at least and at most, however many cases there are
DROPPED = 0.5  # share of hidden units that a step does without
RATE = 2e-3
DECAY = 1e-4
GRAMS_DROPPED = 0.3
GRAMS_RATE = 0.3
LEAST = 2  # texts that an n-gram must occur in
FOLDS = 5

Spans = Sequence[slice]
Places = NDArray[np.intp]
Model = TypeVar("Model")


def _silent(done: int) -> None:
    pass


def train_static(
    texts: Sequence[str],
    expected: Sequence[Fields],
    encoder: Encoder,
    fields: Sequence[Field],
    cache: Path,
    progress: Callable[[int], None] | None = None,
) -> Trained:
    """Train on n cases; the same cases in the same order give the same model. `cache` keeps the encoder's token vectors;
    `progress` is told how many hundredths of the work are done.

    Raises ValueError for learnt copy fields: they need the states of words in their text, and there are none.
    """
    if missing := [field.name for field in fields if field.fill == "copy" and learnt(field)]:
        raise ValueError(f"a static model cannot learn to copy {', '.join(missing)}: give patterns to find, or use an encoder")
    tick = progress or _silent
    network, scores = None, None
    if label_fields := [field for field in fields if field.fill == "label"]:
        network, scores = _train_labels(texts, expected, label_fields, embed_tokens(encoder, cache, tick), tick)
    copied = {field.name: [*map(open_copier(field), texts)] for field in fields if field.fill == "copy"}
    heads, rehearsal = fit_heads(expected, fields, scores, copied)
    return Trained(Static(encoder.name, network, heads, fields), rehearsal)


def fit_heads(
    expected: Sequence[Fields], fields: Sequence[Field], scores: Scores | None, copied: Mapping[str, Sequence[Found]]
) -> tuple[Heads, dict[int, Answer]]:
    """Every field's head, and each case's rehearsed answer: from the `scores` of models that had not seen the cases, if there
    are label fields, and from what was `copied` by field."""
    found: dict[str, Filled] = {}
    labels: list[LabelHead] = []
    copies: list[CopyHead] = []
    label_fields = [field for field in fields if field.fill == "label"]
    columns, truth = spans([field.labels for field in label_fields]), place_labels(expected, label_fields)
    for field, span, own in zip(label_fields, columns, truth.T, strict=True):
        assert scores is not None
        choice, signals = read_scores(scores, span, [0.0] * len(field.labels))
        labels.append(fit_label_head(field, LABEL_SIGNALS, choice, signals, own))
        found[field.name] = [field.labels[at] for at in choice.tolist()], calibrate_all(labels[-1].calibration, signals)
    for field in fields:
        if field.fill == "copy":
            copies.append(fit_copy_head(field, copied[field.name], [row[field.name] for row in expected]))
            found[field.name] = trust_all(copies[-1].calibration, copied[field.name])
    return Heads(labels, copies), dict(enumerate(build_answers(found, fields)))


def rehearse(
    whole: Callable[[], Model], without: Callable[[Places, Places], Scores], targets: Array, tick: Callable[[int], None]
) -> tuple[Model, Scores]:
    """The model that learns from all cases, and for each case the scores of one that learns without its fold: `without` is
    given who is learnt from and who is asked. `tick` is told how many hundredths are done."""
    folds = folds_of(len(targets), FOLDS, None)

    def ask(fold: tuple[Places, Places]) -> Scores:
        out, rest = fold
        return without(rest if len(rest) else out, out)  # a single case can only vouch for itself

    smooth, sparse, known = np.empty_like(targets), np.empty_like(targets), np.empty(len(targets), np.float32)
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        model = pool.submit(whole)
        for done, ((out, _), scores) in enumerate(zip(folds, pool.map(ask, folds), strict=True), 1):
            smooth[out], sparse[out], known[out] = scores
            tick(100 * done // (len(folds) + 1))
        found = model.result()
    tick(100)
    return found, (smooth, sparse, known)


def embed_tokens(encoder: Encoder, cache: Path, tick: Callable[[int], None] = _silent) -> Array:
    """What the encoder makes of each token of the vocabulary alone [vocabulary, 384], kept in `cache`; to `tick` it is half
    of the work."""
    words = [token.removeprefix("##") for token in Reader().vocabulary]
    path = cache / f"{encoder.name}.tokens.safetensors"
    try:
        vectors = load_file(path)["vectors"]
    except (OSError, KeyError, SafetensorError):
        vectors = np.empty(0, np.float16)
    if vectors.shape != (len(words), WIDTH):
        vectors = encoder.embed(words, lambda done: tick(50 * done // len(words))).astype(np.float16)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache, delete=False) as file:  # whole or not at all, whoever else writes it
            file.write(save({"vectors": vectors}))
        os.replace(file.name, path)
    return vectors.astype(np.float32)


def _train_labels(
    texts: Sequence[str], expected: Sequence[Fields], fields: Sequence[Field], vectors: Array, tick: Callable[[int], None]
) -> tuple[Network, Scores]:
    """The network of all label fields, and what scores were rehearsed."""
    tokens = Reader().read(texts)
    targets, columns = one_hot(expected, fields)
    centred, used = vectors - vectors.mean(axis=0), np.unique(tokens.ids)

    def without(some: Places, out: Places) -> Scores:
        return _learn(_pick(tokens, some), targets[some], columns, centred, used).score(_pick(tokens, out))

    def whole() -> Network:
        return _learn(tokens, targets, columns, centred, np.arange(len(vectors)))

    return rehearse(whole, without, targets, lambda done: tick(50 + done // 2))


def _pick(tokens: Tokens, texts: Places) -> Tokens:
    lengths, starts = tokens.lengths[texts], tokens.starts[texts]
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Tokens(tokens.ids[np.repeat(starts, lengths) + within], lengths)


def _learn(tokens: Tokens, targets: Array, columns: Spans, vectors: Array, used: NDArray[np.integer[Any]]) -> Network:
    """Both halves on some cases, the large tensors rounded to what is kept of them on disk; only the `used` tokens get rows."""
    counts = np.bincount(tokens.ids, minlength=len(vectors))
    weights = (FREQUENT / (FREQUENT + counts / counts.sum())).astype(np.float32)
    weights[[tokens.ids[0], tokens.ids[-1]]] = 0  # the marks
    weighted = vectors * weights[:, None]
    sums = np.concatenate([add_up(weighted, part.ids[:, None], part) for part in tokens.slices()])
    sums *= measure_lengths(weights, tokens)[:, None]
    scale = np.float32(1 / max(float(sums.std()), 1e-6))
    inner, bias, outer, outer_bias = _learn_meaning(sums * scale, targets, columns)
    rows, grams = _learn_wording(tokens, targets, columns)
    first = np.zeros((len(vectors), HIDDEN), np.float32)
    first[used] = (weighted[used] @ (inner * scale)).astype(np.float16)
    return Network(first, weights, bias, outer.astype(np.float64), outer_bias, rows, grams.astype(np.float16).astype(np.float32))


def _learn_meaning(inputs: Array, targets: Array, columns: Spans) -> list[Array]:
    """The two layers on the texts' sums of vectors: weights [384, hidden], bias, weights [hidden, labels], bias."""
    chance = np.random.default_rng(0)
    labels = targets.shape[1]
    weights = [
        chance.normal(0, np.sqrt(2 / WIDTH), (WIDTH, HIDDEN)).astype(np.float32),
        np.zeros(HIDDEN, np.float32),
        chance.normal(0, np.sqrt(1 / HIDDEN), (HIDDEN, labels)).astype(np.float32),
        np.zeros(labels, np.float32),
    ]
    means, squares = [np.zeros_like(one) for one in weights], [np.zeros_like(one) for one in weights]
    for step, (batch, left) in enumerate(_batches(len(inputs), EPOCHS, chance), 1):
        inner, bias, outer, outer_bias = weights
        reached: Array = inputs[batch] @ inner + bias
        open_ = (reached > 0) & (chance.random(reached.shape, np.float32) > DROPPED)
        passed: Array = open_.astype(np.float32) * np.float32(1 / (1 - DROPPED))
        hidden: Array = reached * passed
        gap: Array = _gap(hidden @ outer + outer_bias, targets[batch], columns) / np.float32(len(batch))
        back: Array = (gap @ outer.T) * passed
        slopes: list[Array] = [inputs[batch].T @ back, back.sum(axis=0), hidden.T @ gap, gap.sum(axis=0)]
        rate = np.float32(RATE * left)
        for weight, slope, mean, square in zip(weights, slopes, means, squares, strict=True):
            mean += np.float32(0.1) * (slope - mean)
            square += np.float32(0.001) * (slope * slope - square)
            weight *= 1 - rate * np.float32(DECAY)
            deviation = np.sqrt(square / np.float32(1 - 0.999**step)) + np.float32(1e-8)
            weight -= rate / np.float32(1 - 0.9**step) * mean / deviation
    return weights


def _learn_wording(tokens: Tokens, targets: Array, columns: Spans) -> tuple[NDArray[np.int32], Array]:
    """`Network.rows` and `Network.grams`."""
    chance = np.random.default_rng(1)
    buckets = tokens.buckets().ravel()
    owner = np.repeat(np.arange(len(targets)), tokens.lengths * SIZES)
    real = buckets >= 0
    pairs = np.unique(buckets[real] * len(targets) + owner[real])
    used, texts = np.unique(pairs // len(targets), return_counts=True)
    rows = number_rows(used[texts >= LEAST], BUCKETS + 1)
    grams = np.zeros((int(rows.max()) + 1, targets.shape[1]), np.float32)
    squares = np.full(len(grams), 1e-8, np.float32)
    found: NDArray[np.int32] = rows[buckets]
    ends = (np.cumsum(tokens.lengths) * SIZES).tolist()
    known = [_seen(found[end - length * SIZES : end]) for end, length in zip(ends, tokens.lengths.tolist(), strict=True)]
    share = (1 / np.sqrt(tokens.grams())).astype(np.float32)
    for batch, left in _batches(len(targets), GRAMS_EPOCHS, chance):
        cases: list[int] = batch.tolist()
        some = [known[at] for at in cases]
        row = np.repeat(np.arange(len(batch)), [*map(len, some)])
        active, place = np.unique(np.concatenate(some), return_inverse=True)
        kept = (chance.random(len(place)) > GRAMS_DROPPED) / (1 - GRAMS_DROPPED) * share[batch][row]
        flat = np.bincount(row * len(active) + place, kept, len(batch) * len(active))
        inputs = flat.reshape(len(batch), len(active)).astype(np.float32)
        slope = inputs.T @ _gap(inputs @ grams[active], targets[batch], columns)
        squares[active] += (slope * slope).mean(axis=1)
        grams[active] -= np.float32(GRAMS_RATE * left) * slope / np.sqrt(squares[active])[:, None]
    return rows, grams


def _seen(rows: NDArray[np.int32]) -> NDArray[np.int32]:
    return rows[rows > 0]


def _batches(cases: int, epochs: int, chance: np.random.Generator) -> Iterator[tuple[NDArray[np.int64], float]]:
    """Positions of the cases of each step, and the share of all steps that is still to come: the rate falls with it."""
    size = min(BATCH, cases)
    each = -(-cases // size)
    steps = int(np.clip(epochs * each, *STEPS))
    order = np.empty(0, np.int64)
    for step in range(steps):
        at = step % each
        if at == 0:
            order = chance.permutation(cases)
        yield order[at * size : (at + 1) * size], 1 - step / steps


def _gap(scores: Array, targets: Array, columns: Spans) -> Array:
    """What the cross-entropy's slope is for scores: each field's shares less its target."""
    gap = np.empty_like(scores)
    for span in columns:
        shares = np.exp(scores[:, span] - scores[:, span].max(axis=1, keepdims=True))
        gap[:, span] = shares / shares.sum(axis=1, keepdims=True) - targets[:, span]
    return gap
