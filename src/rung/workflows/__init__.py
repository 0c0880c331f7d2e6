"""Stages in the order in which they run: gold, training, calibration, evaluation, the gate, the release."""

from rung.workflows.inspection import Inspection, inspect_gold
from rung.workflows.progress import Progress
from rung.workflows.training import evaluate_release, train

__all__ = ["Inspection", "Progress", "evaluate_release", "inspect_gold", "train"]
