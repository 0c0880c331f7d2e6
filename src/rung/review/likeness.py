"""Turns texts into those that are like them: settled cases beside an open one, and open ones that could be settled together.

Knows nothing about answers' meaning. Two texts are as like as the mean of the cosines between their counts of words, and of
characters, in short runs (`rung.models.ngrams`): from 0 to 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rung.ledger import Ledger, Settled
from rung.models.ngrams import BUCKETS, Sparse, ngrams
from rung.review.questions import Question
from rung.workload import Workload

READ = 2_000  # characters of a text that are compared
KEPT = 1_000  # texts whose counts are kept: those settled last are compared with again and again
LEAST = 0.15  # likeness below which a case tells nothing about another
NEAR = 0.7  # and from which two texts are the same but for details


@dataclass(frozen=True, slots=True)
class Like:
    """A settled case and how like the one in question its text is (0..1)."""

    settled: Settled
    likeness: float


def similar(ledger: Ledger, workload: Workload, question: Question, by: str, limit: int = 3) -> Sequence[Like]:
    """Of the cases settled last those that are most like this one, the likest first; never the case itself, nor one that this
    person may be asked about yet. What few of them say counts more there than what they all say."""
    settled = [each for each in ledger.queue.latest(workload.name, by=by) if each.record.decision.id != question.decision]
    texts = [each.record.case.text for each in settled]
    likest = sorted(zip(likeness(question.text, texts, rare=True), range(len(settled)), strict=True), reverse=True)[:limit]
    scores = likeness(question.text, [texts[at] for _, at in likest])
    return [Like(settled[at], score) for score, (_, at) in zip(scores, likest, strict=True) if score >= LEAST]


def lookalikes(questions: Sequence[Question]) -> Sequence[Sequence[Question]]:
    """Groups of at least two questions that one answer may settle: the same suggestion, and each text nearly that of the group's
    first. The largest group first; a question is in one group at most."""
    alike: dict[str, list[Question]] = {}
    for each in questions:
        if each.suggestion is not None:
            alike.setdefault(json.dumps(dict(each.suggestion), sort_keys=True, default=repr), []).append(each)
    groups = [group for each in alike.values() for group in _near(each) if len(group) > 1]
    return sorted(groups, key=lambda group: -len(group))


def _near(rest: list[Question]) -> Iterator[list[Question]]:
    """The questions in groups, each with the first one left and those near it."""
    while rest:
        first = rest[0]
        scores = likeness(first.text, [each.text for each in rest])
        near = [each is first or score >= NEAR for each, score in zip(rest, scores, strict=True)]
        yield [each for each, is_near in zip(rest, near, strict=True) if is_near]
        rest = [each for each, is_near in zip(rest, near, strict=True) if not is_near]


def likeness(text: str, others: Sequence[str], rare: bool = False) -> Sequence[float]:
    """How like the text each of the others is (0..1). With `rare`, a run weighs more the fewer of the others have it, by their
    logarithm (Sparck Jones 1972): that orders the others, and is no likeness."""
    each = [_counts(other[:READ]) for other in others]
    buckets, weights = _counts(text[:READ])
    if rare:
        having = np.zeros(BUCKETS, np.float32)
        for theirs, _ in each:
            having[theirs] += 1
        weights = weights * np.log((len(each) + 1) / (having[buckets] + 0.5))
    wanted = np.zeros(BUCKETS, np.float32)
    wanted[buckets] = weights
    return [float(wanted[theirs] @ weighed) / 2 for theirs, weighed in each]


@lru_cache(maxsize=KEPT)
def _counts(text: str) -> Sparse:
    return ngrams(text)
