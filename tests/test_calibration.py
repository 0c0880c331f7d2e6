"""Signals become one probability: the function, and how it is fitted."""

from __future__ import annotations

from math import inf, log, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from rung.models.calibration import Calibration, logit
from rung.training.fitting import fit_calibration

TWO = Calibration({"margin": (2.0, 0.5, 0.1), "energy": (-1.0, 3.0, 2.0)}, 0.25)


def drawn(cases: int, seed: int = 0) -> tuple[list[dict[str, float]], list[bool]]:
    """Two signals that speak for being right, one that says nothing, one that never varies."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(cases, 3)) * [1.0, 20.0, 3.0] + [0.0, 7.0, -2.0]
    right = rng.random(cases) < 1 / (1 + np.exp(-(1 + 1.5 * values[:, 0] + 0.1 * (values[:, 1] - 7))))
    return [{"a": a, "b": b, "c": c, "same": 4.0} for a, b, c in values.tolist()], right.tolist()


def test_a_probability_is_the_logistic_function_of_standardised_signals() -> None:
    expected = 1 / (1 + np.exp(-(0.25 + 2.0 * (0.6 - 0.5) / 0.1 - 1.0 * (4.0 - 3.0) / 2.0)))
    assert TWO({"margin": 0.6, "energy": 4.0, "unused": nan}) == pytest.approx(expected)


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True))
def test_whatever_the_signals_are_the_result_is_a_probability(margin: float, energy: float) -> None:
    assert 0.0 <= TWO({"margin": margin, "energy": energy}) <= 1.0


@pytest.mark.parametrize("signals", [{}, {"margin": 0.6}, {"margin": nan, "energy": 3.0}, {"margin": inf, "energy": 3.0}])
def test_what_cannot_be_judged_is_not_trusted(signals: dict[str, float]) -> None:
    assert TWO(signals) == 0.0


def test_signals_whose_sum_is_no_number_are_not_trusted() -> None:
    opposed = Calibration({"margin": (2.0, 0.5, 0.1), "energy": (-1.0, 3.0, 0.1)}, 0.25)
    assert opposed({"margin": 1.7e308, "energy": 1.7e308}) == 0.0


@given(st.floats(0, 1))
def test_log_odds_are_finite_and_rise(probability: float) -> None:
    assert -14 < logit(probability) < 14
    assert logit(probability) <= logit(min(probability + 0.01, 1.0))


def test_log_odds_of_a_probability() -> None:
    assert logit(0.9) == pytest.approx(log(9))


def test_the_fit_is_logistic_regression_on_standardised_signals() -> None:
    signals, right = drawn(500)
    fitted = fit_calibration(signals, right, rising=False)
    values = np.array([[row["a"], row["b"], row["c"]] for row in signals])
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    reference = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(standard, right)
    assert [fitted(row) for row in signals] == pytest.approx(reference.predict_proba(standard)[:, 1].tolist(), abs=1e-4)


def test_of_all_answers_at_a_probability_about_that_share_is_right() -> None:
    fitted = fit_calibration(*drawn(2000))
    signals, right = drawn(20_000, seed=1)
    said, happened = np.array([fitted(row) for row in signals]), np.array(right)
    for low in (0.2, 0.5, 0.8, 0.9):
        band = (said >= low) & (said < low + 0.1)
        assert happened[band].mean() == pytest.approx(said[band].mean(), abs=0.04)


def test_a_signal_that_never_varies_is_left_out() -> None:
    assert "same" not in fit_calibration(*drawn(200), rising=False).weights


def test_a_signal_made_to_rise_never_gets_a_falling_weight() -> None:
    signals, right = drawn(300)
    turned = [{**row, "a": -row["a"]} for row in signals]
    assert fit_calibration(turned, right, rising=False).weights["a"][0] < 0
    rising = fit_calibration(turned, right)
    assert "a" not in rising.weights and rising.weights["b"][0] > 0


@pytest.mark.parametrize(("right", "expected"), [([True] * 8, 0.9), ([False] * 8, 0.1), ([], 0.5)])
def test_with_one_outcome_or_none_the_probability_is_a_constant_short_of_certainty(right: list[bool], expected: float) -> None:
    fitted = fit_calibration([{"a": float(at)} for at in range(len(right))], right, rising=False)
    assert fitted({}) == pytest.approx(expected)


def test_gold_on_which_a_model_never_fails_does_not_make_it_sure_of_what_is_unlike_the_gold() -> None:
    fitted = fit_calibration([{"a": 10.0 + at} for at in range(40)], [True] * 40)
    assert fitted({"a": -200.0}) < 0.1 < 0.9 < fitted({"a": 50.0})


def test_a_perfect_signal_does_not_run_away() -> None:
    fitted = fit_calibration([{"a": float(at)} for at in range(100)], [at >= 50 for at in range(100)])
    assert 0.95 < fitted({"a": 99.0}) < 1.0
    assert fitted({"a": 49.5}) == pytest.approx(0.5, abs=0.02)


def test_cases_whose_signals_are_no_numbers_do_not_spoil_the_fit() -> None:
    signals, right = drawn(200)
    odd = [{**signals[0], "a": nan}, {**signals[0], "b": inf}, {"a": 1.0}]
    assert fit_calibration([*signals, *odd], [*right, True, False, True]) == fit_calibration(signals, right)
