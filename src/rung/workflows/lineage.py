"""What the encoders of a release have learnt from, and what it takes to go on from there. Knows nothing about recipes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from rung.core import Fields
from rung.gold import Example, digest_of, read_texts
from rung.models.encoder import ENCODER_FILES
from rung.release.frozen import TIERS, Release, learnt_by, load_workload, unlabelled_files
from rung.training.heads import Trained
from rung.workload import SpecialistTier, Workload


@dataclass(frozen=True, slots=True)
class Origin:
    """A release to go on from: its id, its specialists' tiers with their folders, and what their encoders were taught, as
    `Parts.learnt`."""

    release: str
    tiers: Mapping[str, tuple[SpecialistTier, Path]]
    learnt: Mapping[str, str]

    def start_of(self, tier: SpecialistTier) -> Path | None:
        """The folder of the encoder that this tier can go on from: one of the same recipe and shape, or None."""
        made, folder = self.tiers.get(tier.name, (None, Path()))
        same_shape = made is not None and (made.recipe, made.layers, made.keep) == (tier.recipe, tier.layers, tier.keep)
        return folder if same_shape and (folder / ENCODER_FILES[0]).exists() else None

    def is_new(self, text: str, expected: Fields) -> bool:
        """Whether a case, or its answer, is not what was taught."""
        return self.learnt.get(digest_of(text)) != answer_digest(expected)


def origin_of(release: Release) -> Origin:
    """What a release leaves to one that goes on from it."""
    tiers = [tier for tier in load_workload(release).tiers if isinstance(tier, SpecialistTier)]
    return Origin(release.id, {tier.name: (tier, release.folder / TIERS / tier.name) for tier in tiers}, learnt_by(release))


def answer_digest(expected: Fields) -> str:
    """What stands for an answer where the answer itself must not be kept."""
    return sha256(json.dumps(dict(expected), sort_keys=True).encode()).hexdigest()[:24]


def taught(
    workload: Workload, examples: Sequence[Example], trained: Mapping[str, Trained], origin: Origin | None
) -> dict[str, str]:
    """What the encoders of these specialists, and those they go on from, were taught: the digest of each text with its answer's;
    an empty one where the text had none. A case that a specialist cannot rehearse is one that its encoder was taught."""
    found = dict(origin.learnt) if origin else {}
    for file in unlabelled_files(workload):
        found |= {digest_of(text): "" for text in read_texts(file)}
    own = (one for at, one in enumerate(examples) if any(at not in each.rehearsal for each in trained.values()))
    found |= {digest_of(one.case.text): answer_digest(one.expected) for one in own}
    return found
