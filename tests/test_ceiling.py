"""A mean cost is found above its ceiling no oftener than is said, whenever one looks, and soon where it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rung.statistics.binomial import lower_bound
from rung.statistics.ceiling import Ceiling

RUNS, ALPHA = 500, 0.05


def holds(false: int) -> bool:
    """Whether this many false results in RUNS are no proof, at 99.9 %, that their chance is above ALPHA."""
    return lower_bound(false, RUNS, 0.999) <= ALPHA


def over(draw: Callable[[np.random.Generator], NDArray[np.float64]]) -> int:
    """How often a mean is found to be above a ceiling of 1, at any time."""
    chance, found = np.random.default_rng(4), 0
    for _ in range(RUNS):
        test = Ceiling(1.0, ALPHA)
        test.update(draw(chance))
        found += test.proven()
    return found


@pytest.mark.parametrize("dear", [1, 20])
def test_costs_exactly_at_a_ceiling_are_found_above_it_no_oftener_than_the_level_however_few_make_them_up(dear: int) -> None:
    assert holds(over(lambda chance: chance.exponential(dear, 1_000) * (chance.random(1_000) < 1 / dear)))


def test_costs_of_twice_the_ceiling_are_found_above_it_within_a_few_hundred() -> None:
    assert over(lambda chance: chance.exponential(2.0, 300)) == RUNS


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_what_is_no_cost_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="from 0 on"):
        Ceiling(1.0).update([value])


def test_any_cost_is_above_a_ceiling_of_nothing() -> None:
    test = Ceiling(0.0)
    test.update([0.0, 0.0])
    assert not test.proven()
    test.update([1e-9])
    assert test.proven()


@given(st.lists(st.floats(0, 1e6), max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_costs_replayed_in_any_portions_prove_the_same(values: list[float], cuts: list[int]) -> None:
    whole, parts = Ceiling(1.0), Ceiling(1.0)
    whole.update(values)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(values)], strict=True):
        parts.update(values[start:end])
    assert whole.proven() == parts.proven()
