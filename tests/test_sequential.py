"""Intervals and decisions that hold while one looks after every observation; RUNS seeded runs each."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rung.statistics.binomial import interval, lower_bound, upper_bound
from rung.statistics.sequential import MEANS, Difference, Excess, Mean, Share, Turn

RUNS = 2000
ALPHA = 0.05

scores = st.lists(st.floats(0, 1), max_size=150)
arms = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=150)


def holds(false: int) -> bool:
    """Whether this many false results in RUNS are no proof, at 99.9%, that their chance is above ALPHA."""
    return lower_bound(false, RUNS, 0.999) <= ALPHA


def misses(draw: Callable[[np.random.Generator], NDArray[np.float64]], mean: float) -> int:
    """How often an interval has left out the mean at any time; an end that did stays, so one look at the end will do."""
    chance, missed = np.random.default_rng(1), 0
    candidates = np.sort(np.append(MEANS[abs(MEANS - mean) > 0.01][::25], mean))
    for _ in range(RUNS):
        watched = Mean(1 - ALPHA, candidates)
        watched.update(draw(chance))
        low, high = watched.interval()
        missed += low >= mean or high <= mean
    return missed


def informative(chance: np.random.Generator, reviews: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Reviews of which 8% are wrong in truth; cases in doubt, a fifth, are drawn five times as often and weigh a fifth.

    Hits among the sure 3.5%, among those in doubt 26%: of what is drawn, 16%.
    """
    doubt = chance.random(reviews) < 0.2 * 5 / (0.2 * 5 + 0.8)
    return chance.random(reviews) < np.where(doubt, 0.26, 0.035), np.where(doubt, 0.2, 1.0)


def misses_when_weighted(weighted: bool) -> int:
    """How often an interval has left out the true 8% at any time, when cases in doubt are drawn oftener."""
    chance, missed = np.random.default_rng(5), 0
    for _ in range(RUNS):
        hits, weights = informative(chance, 300)
        watched = Mean(1 - ALPHA, [0.01, 0.04, 0.08, 0.15, 0.3])
        watched.update(hits.astype(float), weights if weighted else None)
        low, high = watched.interval()
        missed += low >= 0.08 or high <= 0.08
    return missed


def false_decisions(rate: float, share: float, observations: int) -> int:
    """How often two arms with the same rate are found different."""
    chance, decided = np.random.default_rng(2), 0
    for _ in range(RUNS):
        compared = Difference(1 - ALPHA, [-0.1, -0.01, 0.0, 0.01, 0.1])
        compared.update(chance.random(observations) < share, (chance.random(observations) < rate).astype(float))
        decided += compared.decision() != "undecided"
    return decided


def halts(rate: float, excess: float, margin: float, share: float, observations: int) -> NDArray[np.bool_]:
    """Whether a canary with this much more bad events is halted, for each run."""
    chance, halted = np.random.default_rng(3), np.zeros(RUNS, bool)
    for run in range(RUNS):
        second = chance.random(observations) < share
        test = Excess(margin, ALPHA)
        test.update(second, (chance.random(observations) < rate + excess * second).astype(float))
        halted[run] = test.proven()
    return halted


@pytest.mark.parametrize("rate", [0.02, 0.5])
def test_looking_after_every_observation_an_interval_leaves_out_the_rate_no_oftener_than_it_says(rate: float) -> None:
    assert holds(misses(lambda chance: (chance.random(200) < rate).astype(float), rate))


def test_looking_after_every_observation_an_interval_of_scores_leaves_out_their_mean_no_oftener_than_it_says() -> None:
    assert holds(misses(lambda chance: chance.beta(2, 1, 200), 2 / 3))


def test_looking_after_every_observation_a_weighted_interval_is_right_though_what_is_in_doubt_is_drawn_oftener() -> None:
    assert holds(misses_when_weighted(True))


def test_without_the_weights_the_same_draws_would_mislead_most_of_the_time() -> None:
    assert misses_when_weighted(False) > RUNS / 2


def test_looking_after_every_observation_the_bounds_of_a_moving_share_leave_out_its_average_no_oftener_than_they_say() -> None:
    chance, left_out = np.random.default_rng(8), np.zeros(2, int)
    for _ in range(RUNS // 4):
        rates = np.repeat([0.0, 0.12, 0.06], 100)  # on average 6% or more from the 200th on, 6% at the end
        watched, wrong = Share(0.06), np.zeros(2, bool)
        hits = chance.random(300) < rates
        for at in range(0, 300, 20):
            watched.update(hits[at : at + 20])
            low, high = watched.bounds()
            average = rates[: at + 20].mean()
            wrong |= [low >= 0.06 > average - 1e-9, high <= 0.06 < average + 1e-9]
        left_out += wrong
    assert max(lower_bound(int(count), RUNS // 4, 0.999) for count in left_out) <= ALPHA


def test_equal_weights_are_no_weights() -> None:
    values = np.random.default_rng(9).random(500) ** 4
    plain, weighted = Mean(), Mean()
    plain.update(values)
    weighted.update(values, np.ones(500))
    assert plain.interval() == weighted.interval()


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, 1.1], [1.0, float("nan")]])
def test_what_is_no_weight_or_not_one_each_is_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="one weight for each"):
        Mean().update([0.0, 1.0], weights)
    with pytest.raises(ValueError, match="one weight for each"):
        Share(0.1).update([False, True], weights)


def test_bounds_of_a_share_are_near_the_exact_ones_and_no_tighter() -> None:
    wrong = np.random.default_rng(6).random(2000) < 0.02
    watched = Share(0.02)
    watched.update(wrong)
    low, high = watched.bounds()
    exact = lower_bound(int(wrong.sum()), 2000, 0.95), upper_bound(int(wrong.sum()), 2000, 0.95)
    assert low <= exact[0] < exact[1] <= high
    assert high - low < 2 * (exact[1] - exact[0])


def test_a_share_that_rises_late_is_found_and_where_it_began() -> None:
    hits = np.random.default_rng(10).random(4000) < np.repeat([0.01, 0.2], [3000, 1000])
    turn = Turn(0.02)
    taken = turn.until(hits, np.ones(4000))
    wrong, reviewed = turn.stretch()
    assert turn.proven
    assert 3000 < taken < 3150
    assert abs(taken - reviewed - 3000) < 50
    assert wrong == hits[taken - reviewed : taken].sum()


@pytest.mark.parametrize(("rate", "share"), [(0.8, 0.5), (0.05, 0.05)])
def test_looking_after_every_observation_equal_arms_are_found_different_no_oftener_than_the_level(
    rate: float, share: float
) -> None:
    assert holds(false_decisions(rate, share, 600))


@pytest.mark.parametrize(("rate", "margin"), [(0.05, 0.02), (0.0, 0.05)])
def test_looking_after_every_observation_a_canary_at_the_margin_is_halted_no_oftener_than_the_level(
    rate: float, margin: float
) -> None:
    assert holds(int(halts(rate, margin, margin, 0.1, 1000).sum()))


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.02, 0.5, 0.9])
def test_a_long_watch_leaves_out_the_rate_no_oftener_than_it_says(rate: float) -> None:
    assert holds(misses(lambda chance: (chance.random(3000) < rate).astype(float), rate))


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "share"), [(0.8, 0.5), (0.05, 0.5), (0.05, 0.05)])
def test_a_long_comparison_finds_equal_arms_different_no_oftener_than_the_level(rate: float, share: float) -> None:
    assert holds(false_decisions(rate, share, 5000))


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "margin", "share"), [(0.05, 0.02, 0.05), (0.05, 0.02, 0.5), (0.05, 0.0, 0.05)])
def test_a_long_canary_at_the_margin_is_halted_no_oftener_than_the_level(rate: float, margin: float, share: float) -> None:
    assert holds(int(halts(rate, margin, margin, share, 10_000).sum()))


def test_a_canary_that_breaks_everything_is_halted_within_a_few_hundred_requests() -> None:
    assert halts(0.05, 0.85, 0.02, 0.05, 400).mean() > 0.99


def test_a_better_second_arm_is_found_better_and_the_same_arms_changed_over_worse() -> None:
    chance = np.random.default_rng(4)
    second = chance.random(4000) < 0.5
    right = chance.random(4000) < np.where(second, 0.9, 0.8)
    compared, changed = Difference(), Difference()
    compared.update(second, right.astype(float))
    changed.update(~second, right.astype(float))
    assert (compared.decision(), changed.decision()) == ("better", "worse")
    low, high = compared.interval()
    assert 0 < low < 0.1 < high
    assert changed.interval() == pytest.approx((-high, -low), abs=1e-9)


def test_before_anything_is_observed_nothing_is_decided() -> None:
    assert Mean().interval() == (0.0, 1.0)
    assert Difference().interval() == (-1.0, 1.0)
    assert Difference().decision() == "undecided"
    assert not Excess(0.01).proven()


def test_one_arm_alone_decides_nothing() -> None:
    compared = Difference()
    compared.update([True] * 500, [1.0] * 500)
    assert compared.interval() == (-1.0, 1.0)


@settings(deadline=None)
@given(arms, st.lists(st.integers(0, 150), max_size=5))
def test_observations_replayed_in_any_portions_give_the_same_state(seen: list[tuple[bool, float]], cuts: list[int]) -> None:
    states = []
    for edges in ([0, 150], [0, *sorted(cuts), 150]):
        mean, compared, test = Mean(0.8), Difference(0.8), Excess(0.1, 0.2)
        for start, end in pairwise(edges):
            second, values = [arm for arm, _ in seen[start:end]], [value for _, value in seen[start:end]]
            mean.update(values)
            compared.update(second, values)
            test.update(second, values)
        states.append((mean.interval(), compared.interval(), compared.decision(), test.proven()))
    assert states[0] == states[1]


@settings(deadline=None)
@given(scores)
def test_an_interval_only_ever_narrows_and_is_mirrored_for_the_opposite_observations(values: list[float]) -> None:
    watched, opposite = Mean(0.8), Mean(0.8)
    before = 0.0, 1.0
    for value in values:
        watched.update([value])
        opposite.update([1 - value])
        low, high = watched.interval()
        assert low >= before[0]
        assert high <= before[1]
        assert opposite.interval() == pytest.approx((1 - high, 1 - low), abs=1e-9)
        before = low, high


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.3])
def test_an_interval_that_holds_at_all_times_is_wider_than_the_exact_one_for_one_time_but_not_twice(rate: float) -> None:
    wrong = (np.random.default_rng(6).random(2000) < rate).astype(float)
    watched = Mean()
    watched.update(wrong)
    low, high = watched.interval()
    least, most = interval(int(wrong.sum()), len(wrong))
    assert low <= least < most <= high
    assert high - low < 2 * (most - least)


def test_observations_that_vary_little_give_a_narrower_interval_than_rare_and_extreme_ones() -> None:
    chance, steady, extreme = np.random.default_rng(7), Mean(), Mean()
    steady.update(0.5 + (chance.random(1000) - 0.5) / 10)
    extreme.update((chance.random(1000) < 0.5).astype(float))
    assert np.diff(steady.interval()) < np.diff(extreme.interval()) / 4


def test_a_mean_that_has_moved_leaves_no_mean_that_fits() -> None:
    watched = Mean()
    watched.update([0.0] * 300 + [1.0] * 3000)
    low, high = watched.interval()
    assert low > high


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_what_is_not_between_0_and_1_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        Mean().update([value])
    with pytest.raises(ValueError, match="from 0 to 1"):
        Difference().update([True], [value])
