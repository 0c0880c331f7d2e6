"""Turns findings into how far their confidence can be believed: calibration, and the error at each share answered.

Knows nothing about how a confidence is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray

from rung.evaluation.findings import Finding
from rung.evaluation.rates import Draws, Estimate, Ints, Rate, estimate, over, rate, totals

BINS, LEAST = 15, 20  # bins at most, and cases in each at least
POINTS = 200  # of a curve, at most


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of about the same confidence, from `start` to `end`: its mean, and how many are right."""

    start: float
    end: float
    confidence: float
    right: Rate


@dataclass(frozen=True, slots=True)
class Calibration:
    """`error` is the expected calibration error (Naeini, Cooper and Hauskrecht 2015) over bins with about as many answers each
    (Nixon et al. 2019): the mean distance between confidence and share right. With few answers it is too high (Roelofs et al.
    2022), and so is the lower end of its interval: `noise` is what perfect calibration would show on average with these bins (a
    normal approximation)."""

    error: Estimate
    noise: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """Where every answer of at least this `confidence` is accepted: the share of all cases, and the share wrong among them."""

    confidence: float
    coverage: float
    risk: float


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """The error at each share answered (Geifman and El-Yaniv 2017), over the answers that no check objects to: no other may be
    accepted. `area` under it (AURC, Geifman, Uziel and El-Yaniv 2019): the mean, over these answers, of the share wrong among
    those at least as confident; where several are equally confident no threshold parts them. `points` are thinned evenly."""

    area: Estimate
    points: tuple[Point, ...]


def calibrate(findings: Sequence[Finding], draws: Draws) -> Calibration | None:
    """How the confidence of the last answers compares with how often they are right; None where there is no answer."""
    at, sure, right = _columns(findings, [one.said is not None for one in findings])
    group = _bins(sure)

    def error(drawn: Draws) -> NDArray[np.float64]:
        drawn = drawn[:, at]
        return over(np.abs(totals(drawn, group, BINS, sure - right)).sum(axis=1), drawn.sum(axis=1))

    found = estimate(error, draws, len(at))
    if found is None:
        return None
    inside = [group == number for number in np.unique(group)]
    noise = sum(float(np.sqrt(2 / pi * (sure[one] * (1 - sure[one])).sum())) for one in inside) / len(at)
    bins = [
        Bin(float(sure[one].min()), float(sure[one].max()), float(sure[one].mean()), rate(int(right[one].sum()), int(one.sum())))
        for one in inside
    ]
    return Calibration(found, noise, tuple(bins))


def trace(findings: Sequence[Finding], draws: Draws) -> RiskCoverage | None:
    """The risk-coverage curve and the area under it; None where there is no answer that may be accepted."""
    at, sure, right = _columns(findings, [one.said is not None and not one.objected for one in findings])
    order = np.argsort(-sure, kind="stable")  # the most confident first
    at, sure, wrong = at[order], sure[order], (1 - right[order]).astype(np.float32)
    last = np.searchsorted(-sure, -sure, "right") - 1  # of those equally confident, whom no threshold parts

    def area(drawn: Draws) -> NDArray[np.float64]:
        drawn = drawn[:, at]
        answered, failed = np.cumsum(drawn, axis=1), np.cumsum(drawn * wrong, axis=1)
        risk = np.divide(failed, np.maximum(answered, 1), dtype=np.float64)
        return over(np.einsum("ij,ij->i", drawn, risk[:, last]), drawn.sum(axis=1))

    found = estimate(area, draws, len(at))
    if found is None:
        return None
    failed = np.cumsum(wrong, dtype=np.float64)
    kept: list[int] = np.unique(last[np.linspace(0, len(at) - 1, POINTS).astype(np.int64)]).tolist()
    points = [Point(float(sure[one]), (one + 1) / len(findings), float(failed[one] / (one + 1))) for one in kept]
    return RiskCoverage(found, tuple(points))


def _columns(findings: Sequence[Finding], wanted: Sequence[bool]) -> tuple[Ints, NDArray[np.float64], NDArray[np.float64]]:
    """The places of those wanted, their confidence, and 1.0 where they are right."""
    chosen = [one for one, is_wanted in zip(findings, wanted, strict=True) if is_wanted]
    sure, right = np.array([one.confidence for one in chosen]), np.array([float(one.right) for one in chosen])
    return np.flatnonzero(wanted).astype(np.int64), sure, right


def _bins(sure: NDArray[np.float64]) -> Ints:
    """The bin of each answer: about as many in each, and those of one confidence in one."""
    bins = min(BINS, max(len(sure) // LEAST, 1))
    before = np.searchsorted(np.sort(sure), sure)
    return before * bins // max(len(sure), 1)
