"""From judged answers to the acceptance level that keeps a promise, or to a refusal that says what is missing."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from rung.cascade.promise import (
    Judged,
    PromiseError,
    Threshold,
    cases_needed,
    contradiction,
    derive,
    levels,
)
from rung.statistics.binomial import binomial_tail, lower_bound, upper_bound
from rung.workload import Promise

PROMISE = Promise(0.05, 0.95)
SHARE = 0.2

rates = st.floats(1e-6, 1 - 1e-6)
confidences = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])


@st.composite
def counts(draw: st.DrawFn, most: int = 3000) -> tuple[int, int]:
    """(wrong, answered)"""
    answered = draw(st.integers(0, most))
    return draw(st.integers(0, answered)), answered


@st.composite
def judged(draw: st.DrawFn, fewest: int = 0) -> Judged:
    """A few cases on one to three tiers, with ties and objections."""
    cases, tiers = draw(st.integers(fewest, 40)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    confidence = rng.integers(-2, 12, (cases, tiers)) / 10
    return Judged(confidence.clip(-1, 1), rng.random((cases, tiers)) < draw(st.sampled_from([0.5, 0.9, 1.0])))


def sure(answered: int, wrong: int, cases: int | None = None) -> Judged:
    """One tier that is sure of `answered` of the cases and wrong in `wrong` of those."""
    confidence = np.full((cases or answered, 1), -1.0)
    confidence[:answered] = 0.9
    right = np.ones(confidence.shape, np.bool_)
    right[:wrong] = False
    return Judged(confidence, right)


def refusal(calibration: Judged, promise: Promise = PROMISE, share: float = SHARE) -> str:
    with pytest.raises(PromiseError) as caught:
        derive(calibration, promise, [0.9], share)
    return str(caught.value)


@given(counts(), rates)
def test_the_tail_is_the_binomial_distribution(count: tuple[int, int], rate: float) -> None:
    wrong, answered = count
    assert binomial_tail(wrong, answered, rate) == pytest.approx(binom.cdf(wrong, answered, rate), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(
    ("wrong", "answered", "rate"),
    [(0, 10**6, 3e-6), (19_800, 10**6, 0.02), (20_300, 10**6, 0.02), (500_000, 10**6, 0.5), (10**6 - 1, 10**6, 1 - 1e-6)],
)
def test_the_tail_stays_exact_for_a_million_cases(wrong: int, answered: int, rate: float) -> None:
    assert binomial_tail(wrong, answered, rate) == pytest.approx(binom.cdf(wrong, answered, rate), rel=1e-7)


def test_the_tail_at_the_edges() -> None:
    assert binomial_tail(0, 0, 0.5) == 1.0
    assert binomial_tail(7, 7, 0.5) == 1.0
    assert binomial_tail(0, 7, 0.0) == 1.0
    assert binomial_tail(6, 7, 1.0) == 0.0
    assert binomial_tail(1, 10**6, 0.5) == 0.0


@given(counts(), confidences)
def test_the_bounds_are_those_of_clopper_and_pearson(count: tuple[int, int], confidence: float) -> None:
    wrong, answered = count
    upper = beta.ppf(confidence, wrong + 1, answered - wrong) if wrong < answered else 1.0
    lower = beta.ppf(1 - confidence, wrong, answered - wrong + 1) if wrong else 0.0
    assert upper_bound(wrong, answered, confidence) == pytest.approx(upper, abs=1e-9)
    assert lower_bound(wrong, answered, confidence) == pytest.approx(lower, abs=1e-9)


def test_where_nothing_was_answered_the_bounds_say_nothing() -> None:
    assert (lower_bound(0, 0, 0.95), upper_bound(0, 0, 0.95)) == (0.0, 1.0)


def test_the_bounds_of_a_million_cases_are_exact_and_fast() -> None:
    began = time.perf_counter()
    assert upper_bound(20_000, 10**6, 0.95) == pytest.approx(beta.ppf(0.95, 20_001, 980_000), abs=1e-9)
    assert lower_bound(20_000, 10**6, 0.95) == pytest.approx(beta.ppf(0.05, 20_000, 980_001), abs=1e-9)
    assert time.perf_counter() - began < 0.5


@given(counts(), confidences)
def test_more_wrong_answers_or_more_confidence_never_lower_the_upper_bound(count: tuple[int, int], confidence: float) -> None:
    wrong, answered = count
    bound = upper_bound(wrong, answered, confidence)
    assert upper_bound(wrong + 1, answered + 1, confidence) >= bound - 1e-12
    assert upper_bound(wrong, answered + 1, confidence) <= bound + 1e-12
    assert upper_bound(wrong, answered, (1 + confidence) / 2) >= bound
    assert lower_bound(wrong, answered, confidence) <= bound


def test_a_case_stops_at_the_first_tier_that_reaches_the_level() -> None:
    three = Judged(np.array([[0.5, 0.9, 0.99], [0.95, 0.2, 0.1], [-1.0, -1.0, 0.8], [0.9, 0.9, -1.0]]), np.ones((4, 3), np.bool_))
    assert three.stops(0.9).tolist() == [1, 0, -1, 0]
    assert three.tally(0.9) == (3, 0)
    assert three.tally(0.8) == (4, 0)


def test_a_wrong_answer_counts_at_the_tier_where_the_case_stops() -> None:
    two = Judged(np.array([[0.5, 0.9], [0.9, 0.9]]), np.array([[False, True], [True, False]]))
    assert two.tally(0.9) == (2, 0)
    assert two.tally(0.5) == (2, 1)


@given(judged(), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_bolder_level_never_answers_less(cases: Judged, one: float, other: float) -> None:
    assert cases.tally(min(one, other))[0] >= cases.tally(max(one, other))[0]


@given(judged(), st.integers(0, 1000), st.floats(0.01, 0.5))
def test_levels_fall_and_every_one_is_above_zero(rehearsal: Judged, cases: int, error: float) -> None:
    walk = levels(rehearsal, cases, Promise(error, 0.95))
    assert walk == sorted(set(walk), reverse=True)
    assert all(level > 0 and rehearsal.tally(level)[0] > 0 for level in walk)


def test_a_rehearsal_without_a_usable_answer_gives_no_levels() -> None:
    assert levels(Judged(np.empty((0, 2)), np.empty((0, 2), np.bool_)), 100, PROMISE) == []
    assert levels(sure(0, 0, cases=20), 100, PROMISE) == []
    assert levels(Judged(np.zeros((20, 1)), np.ones((20, 1), np.bool_)), 100, PROMISE) == []


def test_the_walk_starts_where_the_rehearsal_gives_it_a_chance() -> None:
    confidence = np.linspace(0.01, 0.99, 1000)[:, None]
    walk = levels(Judged(confidence, confidence > 0.3), 300, PROMISE)
    assert 0.25 < walk[0] < 0.35
    assert walk[-1] == pytest.approx(0.01)


@given(judged(), judged(fewest=1), st.floats(0.02, 0.6), confidences)
def test_no_level_is_returned_whose_test_failed(calibration: Judged, rehearsal: Judged, error: float, confidence: float) -> None:
    promise = Promise(error, confidence)
    walk = levels(rehearsal, len(calibration), promise)
    assume(calibration.confidence.shape[1] == rehearsal.confidence.shape[1])
    try:
        threshold = derive(calibration, promise, walk, SHARE)
    except PromiseError:
        passed = []
    else:
        passed = walk[: walk.index(threshold.level) + 1]
        answered, wrong = calibration.tally(threshold.level)
        assert (threshold.cases, threshold.answered, threshold.wrong) == (len(calibration), answered, wrong)
        assert threshold.bound <= error + 1e-9
    for level in passed:
        answered, wrong = calibration.tally(level)
        assert binom.cdf(wrong, answered, error) <= 1 - confidence + 1e-9
    for level in walk[len(passed) : len(passed) + 1]:
        answered, wrong = calibration.tally(level)
        assert binom.cdf(wrong, answered, error) > 1 - confidence - 1e-9


def test_the_walk_does_not_climb_over_a_level_that_failed() -> None:
    confidence = np.concatenate([np.full(100, 0.9), np.full(20, 0.8), np.full(1000, 0.7)])[:, None]
    calibration = Judged(confidence, np.where(confidence == 0.8, False, True))
    threshold = derive(calibration, PROMISE, [0.9, 0.8, 0.7], SHARE)
    assert calibration.tally(0.7) == (1120, 20)
    assert threshold == Threshold(0.9, 1120, 100, 0, upper_bound(0, 100, 0.95))


def test_a_refusal_says_what_could_be_promised_and_how_much_gold_is_missing() -> None:
    assert refusal(sure(40, 0, cases=50)) == (
        "calibration cannot support the promise of at most 5% wrong with 95% confidence: where its chance is best, 40 of the "
        "50 calibration cases are answered, 0 of them wrongly. That could support a promise of about 7.3%. About 335 further "
        "gold cases would be needed at this error, or a better model."
    )


def test_the_promise_that_a_refusal_offers_is_kept_by_the_same_calibration() -> None:
    assert "about 7.3%" in refusal(sure(40, 0))
    assert derive(sure(40, 0), Promise(0.073, 0.95), [0.9], SHARE).answered == 40


def test_where_a_smaller_share_of_gold_calibrates_more_gold_is_needed() -> None:
    assert "About 335 further gold" in refusal(sure(40, 0, cases=50), share=0.2)
    assert "About 670 further gold" in refusal(sure(40, 0, cases=50), share=0.1)


def test_where_the_error_is_above_the_promise_the_model_must_get_better() -> None:
    said = refusal(sure(200, 30))
    assert said.endswith("More gold alone would not be enough: the model must get better, or the promise must be weaker.")
    assert "That could support a promise of about 19.8%." in said


def test_where_nothing_is_answered_nothing_is_offered() -> None:
    said = refusal(sure(0, 0, cases=80))
    assert "0 of the 80 calibration cases are answered, 0 of them wrongly. More gold alone" in said


def test_without_a_calibration_case_a_refusal_still_names_a_number() -> None:
    said = refusal(Judged(np.empty((0, 1)), np.empty((0, 1), np.bool_)))
    assert "0 of the 0 calibration cases" in said and "further gold cases would be needed" in said


def test_without_a_level_to_try_there_is_a_refusal() -> None:
    with pytest.raises(PromiseError):
        derive(sure(100, 0), PROMISE, [], SHARE)


def test_a_refusal_ends_a_command_with_status_one() -> None:
    assert (PromiseError.exit_status, PromiseError.code) == (1, "promise_not_kept")


def test_without_errors_the_cases_needed_are_those_of_the_exact_bound() -> None:
    assert cases_needed(1.0, 0.0, Promise(0.02, 0.95)) == 149
    assert cases_needed(1.0, 0.0, Promise(0.05, 0.95)) == 59
    assert cases_needed(0.5, 0.0, Promise(0.05, 0.95)) == 118


@pytest.mark.parametrize(("share", "error"), [(1.0, 0.02), (0.7, 0.01), (0.3, 0.03), (0.9, 0.001)])
def test_at_the_cases_needed_the_test_passes_most_of_the_time(share: float, error: float) -> None:
    cases = cases_needed(share, error, PROMISE)
    assert cases is not None
    answered = int(cases * share)
    most = max((k for k in range(answered) if binom.cdf(k, answered, PROMISE.error) <= 0.05), default=-1)
    assert 0.65 < binom.cdf(most, answered, error) < 0.98


def test_no_number_of_cases_helps_an_error_at_or_above_the_promise() -> None:
    assert cases_needed(0.9, 0.05, PROMISE) is None
    assert cases_needed(0.0, 0.0, PROMISE) is None
    assert cases_needed(0.9, 0.0499999, PROMISE) is None


@pytest.mark.parametrize(("error", "promise"), [(0.0, 0.0001), (0.0199, 0.02), (0.0195, 0.02), (0.29, 0.3), (0.299999, 0.3)])
def test_the_cases_needed_are_found_within_fifty_milliseconds(error: float, promise: float) -> None:
    began = time.perf_counter()
    cases_needed(0.8, error, Promise(promise, 0.95))
    assert time.perf_counter() - began < 0.05


def test_a_test_split_contradicts_the_promise_only_beyond_chance() -> None:
    assert contradiction(0, 0, PROMISE) is None
    assert contradiction(9, 100, PROMISE) is None
    assert contradiction(10, 100, PROMISE) == (
        "the test split contradicts the promise: 10 of 100 answers are wrong, so the error is at least 5.53% with 95% "
        "confidence, and 5% was promised. Check the gold for label errors and for cases that differ between the splits."
    )
