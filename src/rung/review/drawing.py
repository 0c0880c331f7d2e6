"""Turns a decision into whether a person looks at its answer too, and with which probability that was so.

Knows nothing about whether answers are right, and must not: what is drawn is drawn when the answer is given.
"""

from __future__ import annotations

from hashlib import sha256

from rung.core import Decision
from rung.workload import ReviewPolicy


def draw(decision: Decision, policy: ReviewPolicy, level: float) -> float | None:
    """The probability (0..1] with which the decision's answer was drawn for review, None where it was not or there is none.

    `level` is the acceptance level that it was trusted at. Two draws, independent of each other: one from all answers alike, one
    likelier the less sure the answer was, so 1 - (1 - sample)(1 - informative * unsure). Weighting each drawn answer by the
    inverse keeps estimates over all answers unbiased (Horvitz and Thompson 1952). It depends on the decision's id and on nothing
    that a customer or a model says.
    """
    if decision.answer is None:
        return None
    share = 1 - (1 - policy.sample) * (1 - policy.informative * _unsure(decision.confidence, level))
    return share if _chance(decision.id, "drawn") < share else None


def looks_again(decision_id: str, policy: ReviewPolicy) -> bool:
    """Whether somebody else looks at the decision too once it is settled."""
    return _chance(decision_id, "second") < policy.second


def _unsure(confidence: float, level: float) -> float:
    """1 at the acceptance level, 0 where the answer is certain."""
    return 0.0 if level >= 1 else min(max((1 - confidence) / (1 - level), 0.0), 1.0)


def _chance(decision_id: str, what: str) -> float:
    """A number in [0, 1) from the id's 64 random bits: the same at every look, and nobody's to foresee before the id is made."""
    return int.from_bytes(sha256(f"{what} {decision_id}".encode()).digest()[:7]) / 2**56
