"""Stages in the order in which they run: gold, training, calibration, evaluation, the gate, the release."""

from rung.workflows.training import Progress, evaluate_release, train

__all__ = ["Progress", "evaluate_release", "train"]
