"""From two people's words to Cohen's kappa and its interval, against scikit-learn and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from rung.statistics.agreement import Agreement, kappa
from rung.statistics.binomial import interval, upper_bound

said = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=80)


@given(said)
def test_kappa_is_what_scikit_learn_says_and_lies_in_its_interval(pairs: list[tuple[int, int]]) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    assume(len({*first, *second}) > 1)
    found = kappa(first, second)
    assert found.kappa is not None
    assert found.kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    assert -1 <= found.low <= found.kappa + 1e-9
    assert found.kappa - 1e-9 <= found.high <= 1


@given(said)
def test_kappa_knows_no_first_and_second_and_no_names(pairs: list[tuple[int, int]]) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    assert kappa(first, second) == kappa(second, first)
    assert kappa(first, second) == kappa([("value", one) for one in first], [("value", one) for one in second])


def test_cohens_interval_is_around_the_published_example() -> None:
    """Cohen 1960, table 1, as 200 cases: 0.492, chance 0.41 of agreement 0.70."""
    table = {(0, 0): 88, (0, 1): 14, (0, 2): 18, (1, 0): 10, (1, 1): 40, (1, 2): 10, (2, 0): 2, (2, 1): 6, (2, 2): 12}
    pairs = [pair for pair, count in table.items() for _ in range(count)]
    found = kappa([one for one, _ in pairs], [other for _, other in pairs])
    assert (found.n, found.agreed) == (200, 140)
    assert found.kappa == pytest.approx(0.492, abs=5e-4)
    low, high = interval(140, 200)
    assert (found.low, found.high) == pytest.approx(((low - 0.41) / 0.59, (high - 0.41) / 0.59))


def test_what_has_no_meaning_has_no_kappa() -> None:
    assert kappa([], []) == Agreement(0, 0, None, -1.0, 1.0)
    assert kappa(["yes"] * 9, ["yes"] * 9) == Agreement(9, 9, None, -1.0, 1.0)


def test_full_agreement_is_not_certainty() -> None:
    found = kappa(["yes", "no"] * 10, ["yes", "no"] * 10)
    assert found.kappa == found.high == 1.0
    assert 0.5 < found.low < 0.9


def test_one_who_always_says_the_same_agrees_by_chance_alone() -> None:
    found = kappa(["yes"] * 20, ["yes"] * 15 + ["no"] * 5)
    assert found.kappa == pytest.approx(0.0)
    assert found.low < 0 < found.high


def test_two_who_never_agree_of_two_values_are_at_the_least() -> None:
    found = kappa(["yes", "no"] * 10, ["no", "yes"] * 10)
    assert found.kappa == found.low == -1.0


def test_each_must_have_named_a_value_for_every_case() -> None:
    with pytest.raises(ValueError, match="shorter"):
        kappa(["yes", "no"], ["yes"])


@pytest.mark.parametrize("cases", [30, 100, 400])
@pytest.mark.parametrize("true", [0.4, 0.9])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.6, 0.2, 0.1, 0.06, 0.04)])
def test_the_interval_holds_kappa_as_often_as_it_says(cases: int, true: float, shares: tuple[float, ...]) -> None:
    chance, values, runs, held = np.random.default_rng(7), len(shares), 400, 0
    table = true * np.diag(shares) + (1 - true) * np.outer(shares, shares)
    for _ in range(runs):
        pairs = chance.choice(values * values, cases, p=table.ravel())
        found = kappa((pairs // values).tolist(), (pairs % values).tolist())
        held += found.low <= true <= found.high
    assert upper_bound(held, runs, 0.999) >= 0.95


def test_the_interval_holds_where_one_errs_to_one_side_alone() -> None:
    chance, runs, held = np.random.default_rng(7), 400, 0
    table = np.array([[0.6, 0.1, 0.0], [0.0, 0.2, 0.05], [0.0, 0.0, 0.05]])
    by_chance = float(table.sum(axis=0) @ table.sum(axis=1))
    true = (table.trace() - by_chance) / (1 - by_chance)
    for _ in range(runs):
        pairs = chance.choice(9, 120, p=table.ravel())
        found = kappa((pairs // 3).tolist(), (pairs % 3).tolist())
        held += found.low <= true <= found.high
    assert upper_bound(held, runs, 0.999) >= 0.95
