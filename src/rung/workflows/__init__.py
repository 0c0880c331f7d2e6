"""Stages in the order in which they run: gold, training, calibration, evaluation, the gate, the release."""

from rung.workflows.difference import Difference, compare_releases
from rung.workflows.evaluating import Evaluation, Load, evaluate_release, measure_load
from rung.workflows.gating import promote_gated
from rung.workflows.inspection import Inspection, inspect_gold
from rung.workflows.progress import Progress
from rung.workflows.training import train

__all__ = [
    "Difference",
    "Evaluation",
    "Inspection",
    "Load",
    "Progress",
    "compare_releases",
    "evaluate_release",
    "inspect_gold",
    "measure_load",
    "promote_gated",
    "train",
]
