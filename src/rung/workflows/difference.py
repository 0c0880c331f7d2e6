"""Turns two releases into what changed between them, and which test cases they decide differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rung.core import Decision, Fields, same
from rung.evaluation import ask_all, right
from rung.gold import Example, Gold, digest_of, read_gold, split
from rung.models.encoder import open_encoder
from rung.release.changes import changed_files, changed_parts
from rung.release.frozen import Release, learnt_by, seen_by
from rung.release.opening import close_models, open_release
from rung.workflows.judging import distinct, shares_of
from rung.workflows.progress import Progress, silent
from rung.workflows.waiting import finish
from rung.workload import Workload

# worst first
KINDS = "broken", "wrong now", "left to a person", "mended", "gained", "wrong no more", "still wrong", "still right"


@dataclass(frozen=True, slots=True)
class Said:
    """What a release did with a case: the answer it gave without a person or None, the tier, how sure it was, and whether that
    answer is right (None where a person decides)."""

    answer: Fields | None
    tier: str
    confidence: float
    right: bool | None


@dataclass(frozen=True, slots=True)
class Flip:
    """A test case that two releases decide differently: its line in the gold, what was agreed, and what each did."""

    line: int
    text: str
    expected: Fields
    before: Said
    after: Said

    @property
    def kind(self) -> str:
        """What the second release did to it."""
        match self.before.right, self.after.right:
            case ((False | None), True):
                return "gained" if self.before.right is None else "mended"
            case True, (False | None):
                return "broken" if self.after.right is False else "left to a person"
            case None, False:
                return "wrong now"
            case False, None:
                return "wrong no more"
            case _:
                return "still wrong" if self.after.right is False else "still right"

    def apart(self) -> tuple[Fields | None, Fields | None, Fields]:
        """What the two say, and what was agreed, in the fields in which they part; whole answers where a person decides one."""
        one, other = self.before.answer, self.after.answer
        if one is None or other is None:
            return one, other, self.expected
        names = [name for name in {**one, **other} if not same(one.get(name), other.get(name))]
        return _only(names, one), _only(names, other), _only(names, self.expected)


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed from release `before` to `after`. `files`: each changed file of the workload with its unified diff; `parts`:
    what else differs, by name, before and after; `flips` among `cases` test cases."""

    before: str
    after: str
    files: Mapping[str, str]
    parts: Mapping[str, tuple[Any, Any]]
    cases: int
    flips: Sequence[Flip]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        flips = [{"kind": flip.kind, **asdict(flip)} for flip in self.flips]
        parts = {name: {"before": before, "after": after} for name, (before, after) in self.parts.items()}
        return {**asdict(self), "parts": parts, "flips": flips}


def compare_releases(workload: Workload, before: Release, after: Release, progress: Progress = silent) -> Difference:
    """Both releases on the test cases of the gold as it is now that neither was made from."""
    cases = held_out(read_gold(workload), before, after)
    decisions = [finish(decide_all(release, cases, progress)) for release in (before, after)]
    found = (_flip(example, *pair) for example, *pair in zip(cases, *decisions, strict=True))
    flips = sorted((flip for flip in found if flip), key=lambda flip: (KINDS.index(flip.kind), flip.line))
    return Difference(before.id, after.id, changed_files(before, after), changed_parts(before, after), len(cases), flips)


async def decide_all(release: Release, cases: Sequence[Example], progress: Progress) -> list[Decision]:
    """What a release decides about cases, from its own files."""
    _, cascade = open_release(release, open_encoder())
    try:
        with progress(f"asking release {release.id[:12]}", len(cases)) as advance:
            return await ask_all(cascade, [each.case for each in cases], advance)
    finally:
        await close_models(cascade)


def held_out(gold: Gold, *releases: Release) -> list[Example]:
    """The test cases of the gold as it is now that none of the releases was made from."""
    taught = {text for release in releases for text in learnt_by(release)}
    return unseen(distinct(gold, split(gold, shares_of(gold), taught=taught).test), *releases)


def unseen(cases: Sequence[Example], *releases: Release) -> list[Example]:
    """The cases that none of the releases was made from."""
    seen = frozenset[str]().union(*map(seen_by, releases))
    return [one for one in cases if digest_of(one.case.text) not in seen]


def _only(names: Sequence[str], fields: Fields) -> Fields:
    return {name: fields[name] for name in names if name in fields}


def _flip(example: Example, before: Decision, after: Decision) -> Flip | None:
    one, other = _said(example, before), _said(example, after)
    if (one.answer is None) == (other.answer is None) and same(one.answer, other.answer):
        return None
    return Flip(example.line, example.case.text, example.expected, one, other)


def _said(example: Example, decision: Decision) -> Said:
    answer = decision.answer
    return Said(answer, decision.tier, decision.confidence, None if answer is None else right(answer, example.expected))
