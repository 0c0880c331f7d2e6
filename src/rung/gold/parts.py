"""Turns gold into train, calibration and test. Knows nothing about files or models."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rung.gold.examples import Example, Gold
from rung.gold.similarity import fold, near_groups

Part = Literal["train", "calibration", "test"]


def digest_of(text: str) -> str:
    """What stands for a text where the text itself must not be kept; the same whatever its case and white space."""
    return hashlib.blake2b(fold(text).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of the gold goes where; the three add up to 1."""

    train: float = 0.6
    calibration: float = 0.2
    test: float = 0.2

    def without_test(self) -> Shares:
        """The same proportion of train to calibration, and nothing else."""
        both = self.train + self.calibration
        return Shares(self.train / both, self.calibration / both, 0.0)


@dataclass(frozen=True, slots=True)
class Split:
    """Positions in `Gold.examples`, ascending; every example is in exactly one part.

    `leaked` are those pinned to test that have a near-duplicate outside test: only pins can bring that about.
    """

    train: NDArray[np.int64]
    calibration: NDArray[np.int64]
    test: NDArray[np.int64]
    leaked: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Group:
    """Examples that are near-duplicates and move together: positions, a number from their texts and the seed, a stratum."""

    members: tuple[int, ...]
    draw: int
    stratum: str


def split(gold: Gold, shares: Shares | None = None, seed: int = 0, taught: Collection[str] = ()) -> Split:
    """Divide the examples, stratified by all labels where they are frequent enough together, else by the first label field.

    Near-duplicates stay on one side. What goes where follows from the texts and the seed, not from the order of lines, and
    each stratum is cut along a fixed random order, so that a few new examples move few old ones. Lines pinned to test are
    the test part, if there are any; what is pinned to train stays there, and so do its near-duplicates. A label that has an
    example outside the pinned test lines has one in train. Texts whose digests are `taught` (`digest_of`) go to train with their
    near-duplicates, wherever they were placed: something has learnt from them already. The others stay where they are.
    """
    examples = gold.examples
    group_of = near_groups([example.case.text for example in examples])
    parts: list[Part | None] = [example.pinned for example in examples]
    shares = shares or Shares()
    shares = shares.without_test() if "test" in parts else shares
    trained = {group for group, part in zip(group_of, parts, strict=True) if part == "train"}
    parts = ["train" if part is None and group in trained else part for group, part in zip(group_of, parts, strict=True)]

    groups = _groups(gold, group_of, [at for at, part in enumerate(parts) if part is None], shares, seed)
    for group, part in _placed(groups, shares, seed):
        for member in group.members:
            parts[member] = part
    for member in _missing_labels(gold, groups, parts):
        parts[member] = "train"

    known = {
        group for group, example in zip(group_of, examples, strict=True) if taught and digest_of(example.case.text) in taught
    }
    parts = [
        "train" if group in known and example.pinned != "test" else part
        for group, example, part in zip(group_of, examples, parts, strict=True)
    ]
    outside = {group for group, part in zip(group_of, parts, strict=True) if part != "test"}
    leaked = [at for at, part in enumerate(parts) if part == "test" and group_of[at] in outside]
    positions = {name: [at for at, part in enumerate(parts) if part == name] for name in ("train", "calibration", "test")}
    return Split(**{name: np.array(found, dtype=np.int64) for name, found in {**positions, "leaked": leaked}.items()})


def _groups(gold: Gold, group_of: Sequence[int], free: Sequence[int], shares: Shares, seed: int) -> list[_Group]:
    """The groups of the free positions, in the order of their draws."""
    joint = {at: json.dumps([gold.examples[at].expected[name] for name in gold.label_fields]) for at in free}
    leading = gold.label_fields[:1]  # none where every field is copied
    first = {at: json.dumps(next((gold.examples[at].expected[name] for name in leading), None)) for at in free}
    frequency = Counter(joint.values())
    least = min(share for share in (shares.train, shares.calibration, shares.test) if share)
    draws = {at: _draw(seed, fold(gold.examples[at].case.text)) for at in free}
    members: defaultdict[int, list[int]] = defaultdict(list)
    for at in free:
        members[group_of[at]].append(at)
    found: list[_Group] = []
    for together in members.values():
        leader = min(together, key=lambda at: (draws[at], joint[at]))
        frequent = frequency[joint[leader]] * least >= 1  # then every part can have one
        found.append(_Group(tuple(together), draws[leader], joint[leader] if frequent else first[leader]))
    return sorted(found, key=lambda group: group.draw)


def _draw(seed: int, text: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}\n{text}".encode(), digest_size=8).digest())


def _placed(groups: Iterable[_Group], shares: Shares, seed: int) -> Iterable[tuple[_Group, Part]]:
    """Systematic sampling: each stratum's groups in the order of their draws, cut at the shares, with a random start so that
    rounding in many small strata does not add up against one part."""
    strata: defaultdict[str, list[_Group]] = defaultdict(list)
    for group in groups:
        strata[group.stratum].append(group)
    for stratum, inside in strata.items():
        total, before = sum(len(group.members) for group in inside), 0
        start = _draw(seed, stratum) / 2**64
        for group in inside:
            place = (before + start * len(group.members)) / total
            before += len(group.members)
            yield group, _part(place, shares)


def _part(place: float, shares: Shares) -> Part:
    if place < shares.train:
        return "train"
    return "calibration" if place < shares.train + shares.calibration or not shares.test else "test"


def _missing_labels(gold: Gold, groups: Iterable[_Group], parts: Sequence[Part | None]) -> set[int]:
    """Members of the groups that must move to train so that each label has an example there."""
    moved: set[int] = set()
    for name in gold.label_fields:
        train = moved.union(at for at, part in enumerate(parts) if part == "train")
        trained = {_label(gold.examples[at], name) for at in train}
        for group in groups:
            labels = {_label(gold.examples[member], name) for member in group.members}
            if labels - trained:
                trained |= labels
                moved |= set(group.members)
    return moved


def _label(example: Example, name: str) -> str:
    return json.dumps(example.expected[name])
