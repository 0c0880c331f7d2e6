"""Turns gold into what an encoder learns from: windows of tokens, labels, and each word's tag. Knows nothing about PyTorch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rung.core import Fields
from rung.gold import digest_of
from rung.models.encoder import Encoder
from rung.training.fitting import place_labels
from rung.training.tagging import IGNORED, Tags
from rung.workload import Field

HELD = 0.12  # of the cases: fewer would calibrate badly, more would be missed in training
REPLAYED = 500
SUREST = 0.999  # that a teacher can be: only gold is certain
FEWEST_HELD, MOST_HELD = 150, 1_000  # where gold is small a larger share, up to a third; where it is large a smaller one


@dataclass(frozen=True, slots=True)
class Window:
    """Up to 256 tokens of the text at position `text`; `words` [tokens] is each token's word's place among the text's words, -1
    for none. `first`: the window that the embedding is taken from."""

    text: int
    tokens: list[int]
    words: NDArray[np.int64]
    first: bool


@dataclass(frozen=True, slots=True)
class Lessons:
    """n texts: `labels` [n, label fields] are positions in each field's labels, of which there are `sizes`, `sure` how probably
    each is right, 1 in gold; `tags`, where spans are learnt, each text's words' tags of `kinds` kinds. `held` [n] are kept from
    training: they say when to stop, and only with them can the specialist rehearse. `taught` [n] are learnt from; where `again`,
    on top of what was learnt before. Texts that are neither have no answer: a student learns from them what its teacher says."""

    windows: tuple[Window, ...]
    labels: NDArray[np.int64]
    sure: NDArray[np.float32]
    sizes: tuple[int, ...]
    tags: Sequence[Tags] | None
    kinds: int
    held: NDArray[np.bool_]
    taught: NDArray[np.bool_]
    again: bool = False

    def class_weights(self) -> list[NDArray[np.float32]]:
        """For each field what a case of each label counts: the inverse root of how often gold teaches it, a usual one 1, none
        less than half or more than twice that, so that rare labels are not passed over."""
        found: list[NDArray[np.float32]] = []
        for place, size in enumerate(self.sizes):
            gold = self.taught & (self.sure[:, place] == 1)
            counts = np.bincount(self.labels[gold, place], minlength=size)
            usual = gold.sum() / max(size, 1)
            found.append(np.clip(np.sqrt(usual / np.maximum(counts, 1)), 0.5, 2.0).astype(np.float32))
        return found

    def labelled(self) -> Lessons:
        """Without the texts that have no answer."""
        count = int(np.flatnonzero(self.held | self.taught).max(initial=-1)) + 1 if not self.again else len(self.held)
        windows = tuple(window for window in self.windows if window.text < count)
        tags = self.tags[:count] if self.tags is not None else None
        rows = {name: getattr(self, name)[:count] for name in ("labels", "sure", "held", "taught")}
        return replace(self, windows=windows, tags=tags, **rows)

    def digest(self) -> str:
        """The hash of all that is learnt from."""
        found = hashlib.sha256(repr((self.sizes, self.kinds, self.again)).encode())
        parts: list[Any] = [
            self.labels,
            self.sure,
            self.held,
            self.taught,
            *(np.array(window.tokens) for window in self.windows),
            *(self.tags or ()),
        ]
        for part in parts:
            found.update(np.ascontiguousarray(part).tobytes() + b"\0")
        return found.hexdigest()


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a teacher says of a text, for every field the probability that it is right, and the tags of the text's words where its
    copied values can be believed."""

    fields: Fields
    probability: Mapping[str, float]
    tags: Tags | None = None


def prepare(
    texts: Sequence[str],
    expected: Sequence[Fields],
    fields: Sequence[Field],
    encoder: Encoder,
    tags: tuple[Sequence[Tags], int] | None = None,
    unlabelled: Sequence[str] = (),
) -> Lessons:
    """Lessons of the texts with their label fields; `tags` are the words' tags and the number of kinds, if spans are learnt.
    `unlabelled` texts stand behind the others, without an answer until `believe` gives them one."""
    label_fields = [field for field in fields if field.fill == "label"]
    labels = np.pad(place_labels(expected, label_fields), ((0, len(unlabelled)), (0, 0)), constant_values=IGNORED)
    windows: list[Window] = []
    marked = list(tags[0]) if tags else None
    for at, (found, _) in enumerate(encoder.windows([*texts, *unlabelled])):
        numbers = np.unique([number for window in found for number in window.word_ids if number is not None])
        for place, window in enumerate(found):
            own = np.array([-1 if number is None else number for number in window.word_ids], np.int64)
            words = np.where(own < 0, -1, np.searchsorted(numbers, own))
            if place == 0 or tags is not None:  # labels are read off the first window
                windows.append(Window(at, window.ids, words, place == 0))
        if marked is not None and at >= len(texts):
            marked.append(np.full(len(numbers), IGNORED))
    none = np.zeros(len(unlabelled), np.bool_)
    held = hold_out(texts)
    return Lessons(
        tuple(windows),
        labels,
        np.ones(labels.shape, np.float32),
        tuple(len(field.labels) for field in label_fields),
        marked,
        tags[1] if tags else 0,
        np.concatenate([held, none]),
        np.concatenate([~held, none]),
    )


def believe(lessons: Lessons, fields: Sequence[Field], opinions: Mapping[int, Opinion]) -> Lessons:
    """The same with answers for some of the texts that have none, by position: learnt from as far as they are believed."""
    label_fields = [field for field in fields if field.fill == "label"]
    labels, sure, taught = lessons.labels.copy(), lessons.sure.copy(), lessons.taught.copy()
    tags = list(lessons.tags) if lessons.tags is not None else None
    for at, opinion in opinions.items():
        labels[at] = place_labels([opinion.fields], label_fields)[0]
        sure[at] = [min(opinion.probability[field.name], SUREST) for field in label_fields]
        taught[at] = True
        if tags is not None and opinion.tags is not None:
            tags[at] = opinion.tags
    return replace(lessons, labels=labels, sure=sure, tags=tags, taught=taught)


def replay(lessons: Lessons, new: NDArray[np.bool_], known: NDArray[np.bool_]) -> Lessons:
    """Of the cases [n] those that are `new`, and as many again, or `REPLAYED`, of those that were taught before and would else be
    forgotten (Rolnick et al. 2019, arXiv:1811.11682). None whose text is `known` to what goes on is held out."""
    count = len(new)
    held = lessons.held.copy()
    held[:count] &= ~known
    fresh = np.flatnonzero(new & ~held[:count])
    old = np.random.default_rng(0).permutation(np.flatnonzero(~new & ~held[:count]))
    taught = np.zeros_like(held)
    taught[fresh] = True
    taught[old[: max(len(fresh), REPLAYED)]] = True
    return replace(lessons, held=held, taught=taught, again=True)


def hold_out(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts are kept from training: by the texts themselves, whatever their case and white space, so that none that was
    learnt from is held out when gold grows."""
    count = max(len(texts), 1)
    share = min(max(min(HELD, MOST_HELD / count), FEWEST_HELD / count), 1 / 3)
    draws = [hashlib.blake2b(f"held {digest_of(text)}".encode(), digest_size=8).digest() for text in texts]
    held = np.array([int.from_bytes(draw) < share * 2**64 for draw in draws], np.bool_)
    held[draws.index(min(draws))] = True  # one at least
    held[draws.index(max(draws))] = False  # and one to learn from
    return held
