"""Turns training cases into every specialist that a workload's tiers name, each by its recipe. Knows nothing of cascades.

What takes long is kept by content under `.rung/cache`: embeddings of gold, courses by epoch, and encoders. The states that
learnt copy fields need are too large to keep: those are read again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from importlib.util import find_spec
from math import prod
from pathlib import Path

import numpy as np

from rung.core import RungError
from rung.gold import Example, digest_of, near_groups, read_gold, read_texts
from rung.models.encoder import ENCODER_FILES, Embeddings, Encoder, EncoderError, Words, open_own, read_weights
from rung.models.extraction import Extraction, kinds_of, learnt
from rung.training.copies import Copies, Marks, Page, mark, mark_plainly, passes, train_copies
from rung.training.embeddings import embed_gold
from rung.training.heads import Reading, Trained, train_heads
from rung.training.lessons import Lessons, Opinion, believe, prepare, replay
from rung.training.static import train_static
from rung.workflows.budget import Meter
from rung.workflows.lineage import Origin
from rung.workflows.progress import Progress, silent, steps
from rung.workflows.teaching import consult
from rung.workflows.waiting import finish
from rung.workload import EndpointTier, SpecialistTier, Workload

AT_ONCE = 200  # texts whose words are held in memory together
BELIEVED = 0.5  # a teacher's spans are learnt where all of them are more probably right than not
FEWEST = 20  # training cases of which some can be held out
BUILD = 3  # raise it when a recipe would lead to other weights


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
    trainer = Trainer(workload, examples, encoder, progress, origin)
    for tier in tiers:
        trainer.require(tier)
    if origin and not any(map(origin.start_of, tiers)):
        raise RecipeError(
            f"Release {origin.release[:12]} has no encoder of its own that a tier of this workload could go on from: that takes "
            "the same recipe, layers and keep. What `heads` and `static` learn they learn from all gold in seconds: run `rung "
            "train` without --from."
        )
    return {tier.name: trainer.train(tier) for tier in tiers}


class Trainer:
    """Trains specialists on the same cases, which the shared encoder reads once for all of them."""

    def __init__(
        self,
        workload: Workload,
        examples: Sequence[Example],
        encoder: Encoder,
        progress: Progress,
        origin: Origin | None = None,
        meter: Meter | None = None,
    ) -> None:
        """Nothing is read yet. A `meter` stands before endpoints that teach."""
        self._origin, self._meter = origin, meter
        self._workload, self._examples, self._encoder, self._progress = workload, examples, encoder, progress
        self._texts = [example.case.text for example in examples]
        self._expected = [example.expected for example in examples]
        self._extractions = [Extraction(field) for field in workload.fields if learnt(field)]
        self._cache = workload.state / "cache"

    def require(self, tier: SpecialistTier) -> None:
        """Raise RecipeError where the tier's recipe cannot be followed."""
        if tier.recipe in ("heads", "static"):
            return
        needed = ("torch", "peft") if tier.recipe == "lora" else ("torch",)
        if missing := [name for name in needed if find_spec(name) is None]:
            raise RecipeError(
                f"The recipe {tier.recipe} needs {' and '.join(missing)}: pip install 'rung[train]'. It is needed to train, not "
                "to serve."
            )
        if len(self._texts) < FEWEST:
            raise RecipeError(
                f"The recipe {tier.recipe} needs at least {FEWEST} training cases, and there are {len(self._texts)}. Collect "
                "more gold, or use `heads`."
            )

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
        start = self._origin.start_of(tier) if self._origin else None
        lessons = self.lessons(tier, None if start else tier.teacher)
        if start and self._origin:
            pairs = zip(self._texts, self._expected, strict=True)
            known = [digest_of(text) in self._origin.learnt for text in self._texts]
            new = [self._origin.is_new(text, expected) for text, expected in pairs]
            lessons = replay(lessons, np.array(new), np.array(known))
        return self._heads(self._own(tier, lessons, start), lessons)

    def _own(self, tier: SpecialistTier, lessons: Lessons | None, start: Path | None = None) -> Encoder:
        """An encoder of the tier's own, from the weights in `start` or the shared ones; one that was made before from the same is
        opened again."""
        from rung.models.building import build_own

        begun = (start / ENCODER_FILES[0]).read_text(encoding="utf-8") if start else self._encoder.name
        made_of = [BUILD, begun, lessons.digest() if lessons else _digest(self._texts)]
        courses = self._cache / "courses" / _digest([BUILD, begun, lessons.labelled().digest() if lessons else ""])
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
        unseen = lessons.held[: len(self._texts)] if lessons else None
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

    def lessons(self, tier: SpecialistTier, teacher: EndpointTier | None) -> Lessons:
        """What an encoder learns from. Of the texts without an answer those in gold and their near-duplicates are left out:
        they may be what judges it."""
        marks = self._marks if self._extractions else None
        tags = (marks.tags, len(kinds_of(self._extractions))) if marks else None
        further: list[str] = []
        if tier.unlabelled is not None:
            gold = [example.case.text for example in read_gold(self._workload).examples]
            texts = read_texts(tier.unlabelled)
            groups = near_groups([*gold, *texts])
            known = set(groups[: len(gold)])
            further = [text for text, group in zip(texts, groups[len(gold) :], strict=True) if group not in known]
        lessons = prepare(self._texts, self._expected, self._workload.fields, self._encoder, tags, further)
        if teacher is None or not further:
            return lessons
        examples = [each for each, held in zip(self._examples, lessons.held, strict=False) if not held]
        opinions = finish(consult(self._workload, teacher, examples, further, self._progress, self._meter))
        said = {at: opinion for at, opinion in enumerate(opinions) if opinion is not None}
        if self._extractions:
            said = self._spanned(said, further)
        return believe(lessons, self._workload.fields, {len(self._texts) + at: opinion for at, opinion in said.items()})

    def _spanned(self, opinions: Mapping[int, Opinion], texts: Sequence[str]) -> dict[int, Opinion]:
        """The opinions with the tags of their texts' words, of those whose copied values are more probably right than not. What
        the encoder reads is forgotten again: only where words stand is needed."""
        names = [extraction.name for extraction in self._extractions]
        sure = [at for at, one in opinions.items() if prod(one.probability[name] for name in names) > BELIEVED]
        found = dict(opinions)
        for start in range(0, len(sure), AT_ONCE):
            some = sure[start : start + AT_ONCE]
            _, words = self._encoder.read([texts[at] for at in some])
            pages = [Page(texts[at], each, opinions[at].fields, {}) for at, each in zip(some, words, strict=True)]
            marked = zip(some, mark_plainly(pages, self._extractions), strict=True)
            found |= {at: replace(found[at], tags=tags) for at, tags in marked}
        return found


def _digest(made_of: object) -> str:
    return sha256(json.dumps(made_of).encode()).hexdigest()[:16]
