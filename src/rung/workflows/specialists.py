"""Turns training cases into every specialist that a workload's tiers name, each by its recipe. Knows nothing of cascades.

What takes long is kept by content under `.rung/cache`: embeddings of gold, courses by epoch, and encoders. The states that
learnt copy fields need are too large to keep: those are read again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from rung.core import RungError
from rung.gold import Example, digest_of
from rung.models.encoder import ENCODER_FILES, Embeddings, Encoder, EncoderError, Words, open_own, read_weights
from rung.models.extraction import Extraction, kinds_of, learnt
from rung.training.copies import Copies, Marks, Page, mark, passes, train_copies
from rung.training.embeddings import embed_gold
from rung.training.heads import Reading, Trained, train_heads
from rung.training.lessons import Lessons, prepare, replay
from rung.training.static import train_static
from rung.workflows.progress import Progress, silent, steps
from rung.workload import SpecialistTier, Workload

BUILD = 1  # raise it when a recipe would lead to other weights


@dataclass(frozen=True, slots=True)
class Origin:
    """A release to go on from: the folder of its specialists, and the digests of the texts they have learnt from."""

    tiers: Path
    learnt: Collection[str]


class RecipeError(RungError):
    """A recipe cannot be followed: it needs what is not installed, or there is nothing to go on from."""

    code = "recipe_unavailable"


def train_specialists(
    workload: Workload,
    examples: Sequence[Example],
    encoder: Encoder,
    progress: Progress = silent,
    origin: Origin | None = None,
) -> dict[str, Trained]:
    """Every specialist by its tier's name, one with an encoder of its own from where `origin` left it, if that is given. Raises
    RecipeError before anything is trained where PyTorch is missing, or where no tier could go on."""
    tiers = [tier for tier in workload.tiers if isinstance(tier, SpecialistTier)]
    own = [tier for tier in tiers if tier.recipe not in ("heads", "static")]
    for tier in own:
        _require_pytorch(tier.recipe)
    if origin and not any((origin.tiers / tier.name / ENCODER_FILES[0]).exists() for tier in own):
        raise RecipeError(
            "The release to go on from has no encoder of its own under any tier of this workload. What the other recipes learn "
            "they learn from all gold in seconds: run `rung train` without --from."
        )
    study = _Study(workload, examples, encoder, progress, origin)
    return {tier.name: study.train(tier) for tier in tiers}


def _require_pytorch(recipe: str) -> None:
    missing = [name for name in ("torch", "peft") if find_spec(name) is None]
    if missing:
        raise RecipeError(
            f"The recipe {recipe} needs {' and '.join(missing)}: pip install 'rung[train]'. It is needed to train, not to serve."
        )


class _Study:
    """The training cases, read by the shared encoder once for all recipes."""

    def __init__(
        self,
        workload: Workload,
        examples: Sequence[Example],
        encoder: Encoder,
        progress: Progress,
        origin: Origin | None,
    ) -> None:
        self._origin = origin
        self._workload, self._examples, self._encoder, self._progress = workload, examples, encoder, progress
        self._texts = [example.case.text for example in examples]
        self._expected = [example.expected for example in examples]
        self._extractions = [Extraction(field) for field in workload.fields if learnt(field)]
        self._cache = workload.state / "cache"

    def train(self, tier: SpecialistTier) -> Trained:
        """The specialist of one tier."""
        if tier.recipe == "static":
            with self._progress("training without attention", 100) as advance:
                return train_static(
                    self._texts, self._expected, self._encoder, self._workload.fields, self._cache, steps(advance)
                )
        if tier.recipe == "heads":
            encoder = self._encoder if tier.precision == "int8" else self._own(tier, None)
            return self._heads(encoder, None)
        start = self._origin.tiers / tier.name if self._origin else None
        start = start if start and (start / ENCODER_FILES[0]).exists() else None
        lessons = self._lessons
        if start and self._origin:
            new = [digest_of(text) not in self._origin.learnt for text in self._texts]
            lessons = replay(lessons, np.array(new, np.bool_))
        return self._heads(self._own(tier, lessons, start), lessons)

    def _own(self, tier: SpecialistTier, lessons: Lessons | None, start: Path | None = None) -> Encoder:
        """An encoder of the tier's own, from the weights in `start` or the shared ones; one that was made before from the same is
        opened again."""
        from rung.models.building import build_own

        begun = (start / ENCODER_FILES[0]).read_text(encoding="utf-8") if start else self._encoder.name
        made_of = [BUILD, begun, lessons.digest() if lessons else None]
        courses = self._cache / "courses" / _digest(made_of)
        folder = self._cache / "encoders" / _digest([*made_of, tier.recipe, tier.precision, tier.layers, tier.keep])
        try:
            return open_own(folder, self._encoder)
        except EncoderError:
            pass  # not made yet, or damaged
        weights = read_weights(start)
        if lessons:
            from rung.training.recipes import RECIPES, count_windows

            with self._progress(f"training the encoder ({tier.recipe})", count_windows(tier.recipe, lessons)) as advance:
                weights = RECIPES[tier.recipe](lessons, weights, tier, courses, advance)
        with self._progress(f"exporting the encoder ({tier.precision})"):
            return build_own(weights, tier.precision, self._texts, folder, self._encoder)

    def _heads(self, encoder: Encoder, lessons: Lessons | None) -> Trained:
        unseen = lessons.held if lessons else None
        embeddings, words = self._read if encoder is self._encoder else self._read_by(encoder)
        copies: Copies | None = None
        if words is not None:
            pages = self._pages(words)
            with self._progress("learning what to copy", passes(words, unseen)) as advance:
                copies = train_copies(pages, self._extractions, advance, self._marks, unseen)
        with self._progress("training the heads"):
            reading = Reading(encoder, self._texts, embeddings, unseen)
            return train_heads(reading, self._expected, self._workload.fields, copies)

    @cached_property
    def _read(self) -> tuple[Embeddings, list[Words] | None]:
        return self._read_by(self._encoder)

    def _read_by(self, encoder: Encoder) -> tuple[Embeddings, list[Words] | None]:
        """The embeddings, and the words where something is learnt to be copied."""
        if self._extractions:
            with self._progress("reading the gold", len(self._texts)) as advance:
                return encoder.read(self._texts, steps(advance))
        with self._progress("embedding the gold", len(self._texts)) as advance:
            return embed_gold(encoder, self._texts, self._cache, steps(advance)), None

    def _pages(self, words: Sequence[Words]) -> list[Page]:
        return [Page(each.case.text, found, each.expected, each.spans) for each, found in zip(self._examples, words, strict=True)]

    @cached_property
    def _marks(self) -> Marks | None:
        _, words = self._read
        if words is None:
            return None
        with self._progress("finding the values in the texts"):
            return mark(self._pages(words), self._extractions)

    @cached_property
    def _lessons(self) -> Lessons:
        marks = self._marks if self._extractions else None
        tags = (marks.tags, len(kinds_of(self._extractions))) if marks else None
        return prepare(self._texts, self._expected, self._workload.fields, self._encoder, tags)


def _digest(made_of: object) -> str:
    return sha256(json.dumps(made_of).encode()).hexdigest()[:16]
