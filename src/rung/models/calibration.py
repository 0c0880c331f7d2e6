"""Turns raw signals into one calibrated probability. Knows nothing about what the signals mean.

Platt scaling over several signals (Platt 1999): a logistic function of standardised signals. Fields use it, and tiers: all
tiers share its scale, so one acceptance level orders the whole cascade. It is fitted elsewhere, by `rung.training`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, isfinite, log


@dataclass(frozen=True, slots=True)
class Calibration:
    """`weights` holds, per signal, its weight and the mean and scale it is standardised by."""

    weights: Mapping[str, tuple[float, float, float]]
    bias: float

    def __call__(self, signals: Mapping[str, float]) -> float:
        """The probability in 0..1; 0.0 where a signal is missing or no finite number: what cannot be judged is not trusted."""
        total = self.bias
        for name, (weight, mean, scale) in self.weights.items():
            value = signals.get(name)
            if value is None or not isfinite(value):
                return 0.0
            total += weight * (value - mean) / scale
        if not isfinite(total):
            return 0.0
        return 1 / (1 + exp(-max(-50.0, min(50.0, total))))


def logit(probability: float) -> float:
    """Log-odds, with the probability kept away from 0 and 1 so that the result is within about -14..14."""
    kept = min(max(probability, 1e-6), 1 - 1e-6)
    return log(kept / (1 - kept))
