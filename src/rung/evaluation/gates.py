"""Turns evidence and limits into leave to release, or into every number that does not hold. Knows nothing about releases."""

from __future__ import annotations

from rung.cascade.promise import contradiction
from rung.core import RungError
from rung.evaluation.evidence import Evidence
from rung.workload import Limits


class GateError(RungError):
    """The evidence does not allow this release: each failed limit with its number."""

    code = "gate_failed"
    exit_status = 1


def gate(evidence: Evidence, limits: Limits) -> None:
    """Raise `GateError` naming every number that does not hold, by how much, and what would help."""
    failures: list[str] = []
    if not evidence.cases:
        failures.append("the test split is empty, so nothing is shown. More gold, or fewer lines pinned to train, would help.")
    against = contradiction(evidence.wrong, evidence.answered, evidence.promise)
    if against is not None:
        failures.append(against)
    if limits.p99 is not None and evidence.p99 > limits.p99:
        failures.append(
            f"p99 is {evidence.p99 * 1000:.0f} ms, {(evidence.p99 - limits.p99) * 1000:.0f} ms over limits.p99 of "
            f"{limits.p99 * 1000:.0f} ms (n={evidence.timed}). Shorter texts, fewer tiers or a faster machine would help."
        )
    if limits.cost_per_case is not None and evidence.cost > limits.cost_per_case:
        failures.append(
            f"a case costs ${evidence.cost:.6f}, ${evidence.cost - limits.cost_per_case:.6f} over limits.cost_per_case of "
            f"${limits.cost_per_case:g} (n={evidence.cases}). A cheaper endpoint, or more gold for the specialist, would help."
        )
    if limits.escalated is not None and evidence.escalated > limits.escalated:
        failures.append(
            f"{evidence.escalated:.1%} of the cases leave the specialists, {(evidence.escalated - limits.escalated) * 100:.1f} "
            f"points over limits.escalated of {limits.escalated:.0%} (n={evidence.cases}). More gold for the labels it confuses, "
            "or a promise that allows more error, would help."
        )
    if failures:
        raise GateError("this release is refused:\n" + "\n".join(f"  {failure}" for failure in failures))
