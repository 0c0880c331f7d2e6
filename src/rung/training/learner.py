"""The encoder with a plain head for each task, all trained together; and what it is told it got wrong. Knows no files.

The heads only lead the encoder to what matters. What is served has heads of its own, trained afterwards on the encoder that
was exported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from rung.models.encoder import STATES, WIDTH
from rung.training.body import Body
from rung.training.lessons import Lessons, Window
from rung.training.tagging import IGNORED

_torch = cast(Any, torch)

SCALE = 8.0  # turns components of an embedding of length one into logits that can be sure
DROPPED = 0.1  # of a word's states
SOFT = 2.0  # how much a teacher's opinion counts beside gold (Hinton, Vinyals, Dean 2015, with temperature 1)
NEAR = 10.0  # and how much the distance to its states does


@dataclass(frozen=True, slots=True)
class Batch:
    """Some windows: `tokens` and `mask` [batch, sequence]; `means` [batch, words, sequence] takes each word's mean of its tokens;
    `labels` [batch, fields] and `tags` [batch, words], `IGNORED` where there is none; `sure` [batch, fields] how probably each
    label is right."""

    tokens: Tensor
    mask: Tensor
    means: Tensor
    labels: Tensor
    sure: Tensor
    tags: Tensor


@dataclass(frozen=True, slots=True)
class Said:
    """What a learner says of a batch: `embedding` [batch, 384], `states` of words [batch, words, 1152], each field's logits
    [batch, labels], and the words' [batch, words, tags] where spans are learnt."""

    embedding: Tensor
    states: Tensor
    labels: tuple[Tensor, ...]
    tags: Tensor | None


class Learner(nn.Module):
    """A body, a linear head for each label field, and one for the tags."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]], lessons: Lessons) -> None:
        """Start from the weights; the heads are drawn by PyTorch's generator as it stands."""
        super().__init__()
        self.body = Body(weights)
        self.labels = nn.ModuleList(nn.Linear(WIDTH, size) for size in lessons.sizes)
        self.tags = nn.Linear(STATES, 1 + 2 * lessons.kinds) if lessons.tags is not None else None
        self.weights = [_torch.from_numpy(weights) for weights in lessons.class_weights()]

    def forward(self, batch: Batch) -> Said:
        """What it says."""
        embedding, states = self.body(batch.tokens, batch.mask)
        words = batch.means @ states
        told = functional.dropout(words, DROPPED, self.training)
        labels = tuple(head(SCALE * embedding) for head in self.labels)
        return Said(embedding, words, labels, self.tags(told) if self.tags is not None else None)

    def wrong(self, said: Said, batch: Batch) -> Tensor:
        """Cross-entropy against gold and a teacher's opinions, of labels by their weights and of tags."""
        loss = torch.zeros(())
        for place, logits in enumerate(said.labels):
            known = batch.labels[:, place] != IGNORED
            if bool(known.any()):
                labels = batch.labels[known, place]
                weights = self.weights[place][labels]
                loss = loss + (weights * _surprise(logits[known], labels, batch.sure[known, place])).sum() / weights.sum()
        if said.tags is not None and bool((batch.tags != IGNORED).any()):
            tags = functional.cross_entropy(said.tags.flatten(0, 1), batch.tags.flatten(), ignore_index=IGNORED)
            loss = loss + 3 * tags  # most words are none of any value's: their share of the mean says little
        return loss


def _surprise(logits: Tensor, labels: Tensor, sure: Tensor) -> Tensor:
    """Cross-entropy [rows] against shares that give each row's label as much as it is `sure`, and the others the rest alike."""
    shares = ((1 - sure) / max(logits.shape[1] - 1, 1))[:, None].expand_as(logits).scatter(1, labels[:, None], sure[:, None])
    return functional.cross_entropy(logits, shares, reduction="none")


def unlike(said: Said, teacher: Said, batch: Batch) -> Tensor:
    """How far what is said lies from what a teacher says: its logits, its embedding, its states of the words."""
    loss = NEAR * (1 - (said.embedding * teacher.embedding).sum(dim=-1)).mean()
    for ours, theirs in zip(said.labels, teacher.labels, strict=True):
        loss = loss + SOFT * _apart(ours, theirs)
    known = batch.means.sum(dim=-1) > 0
    if said.tags is not None and teacher.tags is not None and bool(known.any()):
        last = slice(-WIDTH, None)
        loss = loss + SOFT * _apart(said.tags[known], teacher.tags[known])
        loss = loss + functional.mse_loss(said.states[..., last][known], teacher.states[..., last][known])
    return loss


def _apart(ours: Tensor, theirs: Tensor) -> Tensor:
    """The mean Kullback-Leibler divergence of shares from logits [any, classes]."""
    shares = functional.softmax(theirs, dim=-1)
    return functional.kl_div(functional.log_softmax(ours, dim=-1), shares, reduction="batchmean")


def collate(windows: Sequence[Window], lessons: Lessons) -> Batch:
    """The windows as tensors, padded to the longest."""
    length = max(len(window.tokens) for window in windows)
    width = max(int(window.words.max(initial=-1) - _first(window)) + 1 for window in windows)
    tokens, mask = torch.zeros(len(windows), length, dtype=torch.long), torch.zeros(len(windows), length)
    means = torch.zeros(len(windows), max(width, 1), length)
    labels = torch.full((len(windows), len(lessons.sizes)), IGNORED)
    sure = torch.ones(labels.shape)
    tags = torch.full((len(windows), max(width, 1)), IGNORED)
    for row, window in enumerate(windows):
        tokens[row, : len(window.tokens)] = torch.tensor(window.tokens)
        mask[row, : len(window.tokens)] = 1
        if window.first:
            labels[row] = _torch.from_numpy(lessons.labels[window.text])
            sure[row] = _torch.from_numpy(lessons.sure[window.text])
        if lessons.tags is None or window.words.max(initial=-1) < 0:
            continue
        at = np.flatnonzero(window.words >= 0)
        own = window.words[at] - _first(window)
        means[row, own, at] = _torch.from_numpy((1 / np.bincount(own)[own]).astype(np.float32))
        last = int(window.words.max()) + 1
        tags[row, : last - _first(window)] = _torch.from_numpy(lessons.tags[window.text][_first(window) : last])
    return Batch(tokens, mask, means, labels, sure, tags)


def _first(window: Window) -> int:
    """The place of the window's first word in its text."""
    return int(window.words[window.words >= 0].min(initial=np.iinfo(np.int64).max)) if (window.words >= 0).any() else 0
