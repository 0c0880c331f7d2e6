"""From counts and cases to bounds, tests and intervals, against scipy, published values and simulation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from rung.statistics.binomial import interval, lower_bound, quantile_cases, quantile_interval
from rung.statistics.paired import detectable, difference, holm, mcnemar, non_inferior, provable_margin

RUNS = 2000
ALPHA = 0.05

counts = st.integers(0, 3000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@st.composite
def outcomes(draw: st.DrawFn, most: int = 400) -> tuple[int, int, int]:
    """(gained, lost, cases)"""
    cases = draw(st.integers(1, most))
    gained = draw(st.integers(0, cases))
    return gained, draw(st.integers(0, cases - gained)), cases


def holds(false: int, runs: int, alpha: float = ALPHA) -> bool:
    """Whether this many false results are no proof, at 99.9%, that their chance is above alpha."""
    return lower_bound(false, runs, 0.999) <= alpha


@given(counts, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_interval_of_a_share_is_the_exact_one(count: tuple[int, int], confidence: float) -> None:
    seen, of = count
    assume(of > 0)
    exact = stats.binomtest(seen, of).proportion_ci(confidence, method="exact")
    assert interval(seen, of, confidence) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_the_interval_of_a_share_of_many_cases_is_the_exact_one_at_either_end() -> None:
    for seen in (0, 7, 50_000, 99_990, 100_000):
        exact = stats.binomtest(seen, 100_000).proportion_ci(0.95, method="exact")
        assert interval(seen, 100_000) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_of_no_cases_nothing_is_known() -> None:
    assert interval(0, 0) == (0.0, 1.0)
    assert difference(0, 0, 0) == (-1.0, 1.0)
    assert mcnemar(0, 0) == 1.0
    assert non_inferior(0, 0, 0, 0.5) == 1.0
    assert provable_margin(0, 0, 0) == 1.0
    assert detectable(0, 0.1) == 1.0
    assert holm([]) == []


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("cases", [20, 100, 500])
def test_the_interval_of_a_quantile_covers_it_whatever_the_distribution(share: float, cases: int) -> None:
    rng = np.random.default_rng(cases)
    for drawn, truth in (
        (rng.lognormal(size=(RUNS, cases)), float(stats.lognorm(1).ppf(share))),
        (rng.geometric(0.3, size=(RUNS, cases)).astype(float), float(stats.geom(0.3).ppf(share))),  # many alike
    ):
        ends = [quantile_interval(row, share) for row in np.sort(drawn).tolist()]
        above = sum(low is not None and low > truth for low, _ in ends)
        below = sum(high is not None and high < truth for _, high in ends)
        assert holds(above, RUNS, ALPHA / 2) and holds(below, RUNS, ALPHA / 2)


def test_the_interval_of_a_median_is_that_of_the_sign_test() -> None:
    """Whose critical value at 5 % is 5 for 20 figures."""
    assert quantile_interval(range(1, 21), 0.5) == (6, 15)


@given(st.sampled_from([0.5, 0.9, 0.95, 0.99]), st.integers(0, 400))
def test_too_few_figures_leave_the_interval_of_a_quantile_open(share: float, cases: int) -> None:
    low, high = quantile_interval(range(cases), share)
    assert (high is None) == (cases < quantile_cases(share))
    assert (low is None) == (cases == 0 or stats.binom(cases, share).cdf(0) > ALPHA / 2)
    assert quantile_cases(0.99) == 368


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemars_test_is_the_exact_two_sided_binomial_test(gained: int, lost: int) -> None:
    exact = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(exact, abs=1e-9)
    assert mcnemar(gained, lost) == mcnemar(lost, gained)


def test_holms_adjustment_multiplies_the_smallest_most_and_never_turns_an_order_round() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_adjusted_p_values_keep_their_order_and_never_fall(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    assert [q for _, q in sorted(zip(p_values, adjusted, strict=True))] == sorted(adjusted)


def test_the_interval_of_a_paired_difference_is_the_published_one() -> None:
    """Against R's PropCIs::scoreci.mp, which gives the second count less the first."""
    assert difference(28, 25, 618, 0.90) == pytest.approx((-0.0148, 0.0247), abs=5e-5)
    assert difference(20, 60, 1000) == pytest.approx((-0.0584, -0.0231), abs=5e-5)


@given(outcomes())
def test_the_interval_of_a_paired_difference_holds_it_and_is_mirrored_when_the_candidates_change_places(
    outcome: tuple[int, int, int],
) -> None:
    gained, lost, cases = outcome
    low, high = difference(gained, lost, cases)
    assert -1 <= low <= (gained - lost) / cases + 1e-9
    assert (gained - lost) / cases - 1e-9 <= high <= 1
    assert difference(lost, gained, cases) == pytest.approx((-high, -low), abs=1e-7)


def test_the_interval_of_a_paired_difference_covers_it_about_as_often_as_it_says() -> None:
    chance, covers = np.random.default_rng(5), lru_cache(None)(difference)
    for cases, gain, loss in ((100, 0.05, 0.10), (300, 0.01, 0.01), (1000, 0.04, 0.01)):
        drawn = chance.multinomial(cases, [gain, loss, 1 - gain - loss], RUNS)
        ends = np.array([covers(int(gained), int(lost), cases) for gained, lost, _ in drawn])
        missed = int(((ends[:, 0] > gain - loss) | (ends[:, 1] < gain - loss)).sum())
        assert holds(missed, RUNS, 0.06)


@pytest.mark.parametrize(("cases", "margin"), [(40, 0.02), (40, 0.10), (25, 0.25)])
def test_non_inferiority_is_never_proven_too_often_whatever_the_truth_is(cases: int, margin: float) -> None:
    """Exactly: every outcome counted, over a grid of truths at the margin and beyond it."""
    gained, lost = np.array([(g, k) for g in range(cases + 1) for k in range(cases + 1 - g)]).T
    p = np.array([non_inferior(int(g), int(k), cases, margin) for g, k in zip(gained, lost, strict=True)])
    for worse in (margin, 1.5 * margin):
        for share in np.linspace(worse, 1, 60):
            gain, loss = (share - worse) / 2, (share + worse) / 2
            truth = [gain, loss, max(0.0, 1 - gain - loss)]
            weight = stats.multinomial.pmf(np.stack([gained, lost, cases - gained - lost], axis=1), cases, truth)
            for alpha in (0.01, 0.05, 0.1):
                assert weight[p <= alpha].sum() <= alpha


def false_proofs(cases: int, discordant: float, margin: float, runs: int) -> int:
    """How often a second candidate that is worse by just the margin is proven not to be."""
    chance, proof = np.random.default_rng(cases), lru_cache(None)(non_inferior)
    truth = [(discordant - margin) / 2, (discordant + margin) / 2, 1 - discordant]
    drawn = chance.multinomial(cases, truth, runs)
    return sum(proof(int(gained), int(lost), cases, margin) <= ALPHA for gained, lost, _ in drawn)


@pytest.mark.parametrize(
    ("cases", "discordant", "margin"), [(100, 0.05, 0.01), (200, 0.03, 0.03), (300, 0.02, 0.02), (1000, 0.05, 0.02)]
)
def test_a_candidate_worse_by_the_margin_passes_no_oftener_than_the_level(cases: int, discordant: float, margin: float) -> None:
    assert holds(false_proofs(cases, discordant, margin, RUNS), RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("cases", [100, 200, 300, 1000, 3000])
@pytest.mark.parametrize("discordant", [0.02, 0.05, 0.10, 0.20])
def test_a_candidate_worse_by_any_margin_passes_no_oftener_than_the_level(cases: int, discordant: float) -> None:
    for margin in (0.01, 0.02, 0.03, 0.05):
        if margin <= discordant:
            assert holds(false_proofs(cases, discordant, margin, RUNS), RUNS)


def test_an_equal_candidate_passes_nearly_as_often_as_the_normal_distribution_promises() -> None:
    chance, proof = np.random.default_rng(3), lru_cache(None)(non_inferior)
    drawn = chance.multinomial(1000, [0.025, 0.025, 0.95], RUNS)
    passed = sum(proof(int(gained), int(lost), 1000, 0.02) <= ALPHA for gained, lost, _ in drawn)
    expected = stats.norm.cdf(0.02 / np.sqrt(0.05 / 1000) - stats.norm.ppf(1 - ALPHA))
    assert passed / RUNS == pytest.approx(expected, abs=0.04)


@settings(max_examples=25, deadline=None)
@given(outcomes(300), st.sampled_from([0.9, 0.95]))
def test_the_provable_margin_is_where_the_proof_begins(outcome: tuple[int, int, int], confidence: float) -> None:
    gained, lost, cases = outcome
    margin = provable_margin(gained, lost, cases, confidence)
    assert margin == 1 or non_inferior(gained, lost, cases, margin) <= 1 - confidence
    assert margin < 1e-5 or non_inferior(gained, lost, cases, margin - 1e-5) > 1 - confidence
    if cases >= 100 and margin > 1e-5:
        assert margin == pytest.approx(-difference(gained, lost, cases, 2 * confidence - 1)[0], abs=0.03)


def test_more_lost_cases_need_a_wider_margin_and_more_gained_ones_a_narrower() -> None:
    margins = [provable_margin(20, lost, 500) for lost in range(10, 40, 5)]
    assert margins == sorted(margins)
    margins = [provable_margin(gained, 20, 500) for gained in range(10, 40, 5)]
    assert margins == sorted(margins, reverse=True)


@pytest.mark.parametrize(("cases", "discordant"), [(300, 0.1), (1000, 0.05), (3000, 0.2)])
def test_a_detectable_difference_is_detected_with_its_power(cases: int, discordant: float) -> None:
    true = detectable(cases, discordant)
    gain, loss = (discordant + true) / 2, (discordant - true) / 2
    drawn = np.random.default_rng(1).multinomial(cases, [gain, loss, 1 - discordant], 20_000)
    gained, lost = drawn[:, 0], drawn[:, 1]
    found = (gained - lost) ** 2 > stats.norm.ppf(0.975) ** 2 * (gained + lost)
    assert found.mean() == pytest.approx(0.8, abs=0.04)


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_more_cases_or_fewer_discordant_ones_show_smaller_differences(cases: int, few: float, many: float) -> None:
    few, many = sorted((few, many))
    assert detectable(cases, few) <= detectable(cases, many) + 1e-12
    assert detectable(4 * cases, many) <= detectable(cases, many) + 1e-12
    assert 0 < detectable(cases, few) <= 1
