"""The live promise while one looks after every review: what it says, how seldom it errs, and how soon it knows.

A watch that says "broken" begins anew, so a look at the end tells whether it ever did: fewer answers count as reviewed.
"""

from __future__ import annotations

from itertools import pairwise
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rung.monitor.promise import LivePromise, Standing
from rung.statistics.binomial import lower_bound
from rung.statistics.sequential import Turn
from rung.workload import Promise

RUNS = 2000
PROMISE = Promise(0.02, 0.95)

reviews = st.lists(st.tuples(st.booleans(), st.floats(0.1, 1)), max_size=200)


def standing(wrong: NDArray[np.bool_], weights: NDArray[np.float64] | None = None, promise: Promise = PROMISE) -> Standing:
    watch = LivePromise(promise)
    watch.update(wrong, weights)
    return watch.standing()


def drawn(chance: np.random.Generator, error: float, count: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Reviews of cases of which a tenth is in doubt, three times as often wrong as the rest and drawn five times as often."""
    doubt = chance.random(count) < 0.1 * 5 / (0.1 * 5 + 0.9)
    return chance.random(count) < np.where(doubt, 3, 1) * error / 1.2, np.where(doubt, 0.2, 1.0)


def false_alarms(error: float, count: int, weighted: bool) -> int:
    """In how many of RUNS streams a promise that is just kept is ever called broken."""
    chance, alarms = np.random.default_rng(1), 0
    for _ in range(RUNS):
        wrong, weights = drawn(chance, error, count) if weighted else (chance.random(count) < error, None)
        alarms += standing(wrong, weights, Promise(error, 0.95)).reviewed < count
    return alarms


def oracle(wrong: NDArray[np.bool_], error: float) -> int:
    """After how many reviews a bettor who knows that the error has doubled, and that it was so from the first, is sure."""
    capital = np.cumsum(np.where(wrong, log(2), log((1 - 2 * error) / (1 - error))))
    return int((capital >= log(20)).argmax()) + 1


@pytest.mark.parametrize(("error", "count", "weighted"), [(0.02, 800, False), (0.05, 600, False), (0.05, 600, True)])
def test_looking_after_every_review_a_promise_just_kept_is_called_broken_no_oftener_than_it_says(
    error: float, count: int, weighted: bool
) -> None:
    assert lower_bound(false_alarms(error, count, weighted), RUNS, 0.999) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("error", "weighted"), [(0.02, False), (0.05, False), (0.02, True)])
def test_over_a_long_watch_a_promise_just_kept_is_called_broken_no_oftener_than_it_says(error: float, weighted: bool) -> None:
    assert lower_bound(false_alarms(error, 5000, weighted), RUNS, 0.999) <= 0.05


def test_without_the_weights_oversampled_doubt_would_break_a_promise_that_is_kept() -> None:
    wrong, weights = drawn(np.random.default_rng(2), 0.02, 4000)
    assert standing(wrong, weights).proof is None
    assert standing(wrong).proof is not None


@pytest.mark.parametrize("error", [0.02, 0.05])
def test_a_doubled_error_is_found_within_a_fifth_more_reviews_than_one_needs_who_knows_of_it(error: float) -> None:
    chance = np.random.default_rng(3)
    streams = chance.random((400, 6000)) < 2 * error
    needed = np.mean([oracle(wrong, error) for wrong in streams])
    took = [Turn(error, 0.05).until(wrong, np.ones(6000)) for wrong in streams]
    assert max(took) < 6000
    assert np.mean(took) <= 1.2 * needed


def test_an_error_that_doubles_after_a_long_good_time_is_found_and_proven_by_what_came_after() -> None:
    chance = np.random.default_rng(4)
    watch = LivePromise(PROMISE)
    watch.update(chance.random(3000) < 0.01)
    assert watch.standing().state == "kept"
    watch.update(chance.random(2500) < 0.06)
    seen = watch.standing()
    assert seen.state == "broken"
    assert seen.proof is not None
    assert seen.proof[0] / seen.proof[1] > 0.02


def test_after_an_alarm_the_all_clear_comes_from_later_reviews_alone_and_stays_while_they_carry_it() -> None:
    chance = np.random.default_rng(5)
    watch = LivePromise(PROMISE)
    watch.update(chance.random(600) < 0.1)
    assert watch.standing().state == "broken"
    watch.update(chance.random(100) < 0.005)
    assert watch.standing().state == "broken"
    watch.update(chance.random(1200) < 0.005)
    assert (watch.standing().state, watch.standing().proof) == ("kept", None)
    assert watch.standing().sentence.startswith("Kept: ")
    watch.update([True] * 10 + [False] * 90)
    assert watch.standing().state != "kept"


def test_before_any_review_nothing_is_known_but_how_many_would_probably_tell() -> None:
    seen = LivePromise(PROMISE).standing()
    assert (seen.state, seen.share, seen.at_least, seen.at_most) == ("unknown", None, 0.0, 1.0)
    assert seen.more is not None
    assert standing(np.zeros(seen.more, bool)).state == "kept"
    assert seen.sentence == (
        "Not known yet: no answer has been reviewed; at most 2% were promised, with 95% confidence. "
        f"If half as many are wrong, about {seen.more:,} reviews will tell."
    )


def test_as_many_further_reviews_as_it_says_tell_if_they_are_like_those_so_far() -> None:
    some = np.arange(1, 301) % 100 == 0
    ahead = standing(some).more
    assert ahead is not None
    assert standing(np.resize(some, 300 + round(1.1 * ahead))).state == "kept"
    assert standing(np.resize(some, 300 + round(0.8 * ahead))).state == "unknown"


def test_an_error_at_the_promise_is_never_known_and_the_sentence_says_so() -> None:
    seen = standing(np.arange(1, 10_001) % 50 == 0)
    assert (seen.state, seen.more) == ("unknown", None)
    assert "even 100,000 more would not tell" in seen.sentence
    assert seen.at_least < 0.02 < seen.at_most
    assert seen.share == 0.02


def test_known_promises_need_no_more_reviews_and_say_their_numbers() -> None:
    kept, broken = standing(np.zeros(500, bool)), standing(np.array([False] * 6 + [True] * 4 + [False]))
    assert (kept.more, broken.more) == (0, 0)
    assert kept.sentence.startswith("Kept: 0 of 500 reviewed answers were wrong, which proves at least 0.00% and at most ")
    assert broken.proof is not None
    assert f"Broken: of {broken.proof[1]} sampled answers in a row {broken.proof[0]} were wrong" in broken.sentence
    assert broken.document()["proof"] == {"wrong": broken.proof[0], "reviewed": broken.proof[1]}


def test_the_share_is_that_among_all_answers_not_among_those_reviewed() -> None:
    seen = standing(np.array([True, True, False]), np.array([0.2, 0.2, 1.0]))
    assert (seen.wrong, seen.reviewed) == (2, 3)
    assert seen.share == pytest.approx(0.4 / 1.4)


def test_what_nobody_judged_speaks_for_no_claim() -> None:
    right, unjudged = np.zeros(400), np.full(400, np.nan)
    assert standing(right).state == "kept"
    some = np.where(np.arange(400) % 20 == 0, unjudged, right)  # a twentieth might be wrong
    seen = standing(some)
    assert (seen.state, seen.reviewed, seen.unjudged, seen.share) == ("unknown", 380, 20, 0.0)
    assert seen.at_most > 0.05 and seen.at_least == 0.0
    assert "nobody judged 20 more" in seen.sentence
    broken = np.where(np.arange(60) % 4 == 0, 1.0, np.nan)
    assert standing(broken).proof is not None  # a quarter is wrong whatever the others are
    assert standing(np.where(np.arange(400) % 100 == 0, 1.0, np.nan)).proof is None


@settings(deadline=None)
@given(reviews, st.lists(st.integers(0, 200), max_size=5))
def test_the_same_reviews_in_any_portions_give_the_same_standing(seen: list[tuple[bool, float]], cuts: list[int]) -> None:
    found: list[Standing] = []
    for edges in ([0, 200], [0, *sorted(cuts), 200]):
        watch = LivePromise(Promise(0.2, 0.8))
        for start, end in pairwise(edges):
            watch.update([wrong for wrong, _ in seen[start:end]], [weight for _, weight in seen[start:end]])
        found.append(watch.standing())
    assert found[0].document() | {"share": None} == found[1].document() | {"share": None}
    assert found[0].share == pytest.approx(found[1].share)


def test_weights_that_are_none_are_refused_before_anything_is_taken() -> None:
    watch = LivePromise(PROMISE)
    with pytest.raises(ValueError, match="one weight for each"):
        watch.update([True] * 2000, [1.0] * 1999 + [0.0])
    assert watch.standing().reviewed == 0
