"""Which answers people look at besides what is left to them: drawn before anything is known, with a chance that is kept."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from math import sqrt
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records import accepted, for_review
from rung.cascade import Cascade, Tier
from rung.core import Answer, Case, Decision, new_id
from rung.ledger import Ledger
from rung.release.frozen import Parts, freeze, load_workload
from rung.release.live import Live
from rung.review import draw, looks_again
from rung.workload import ReviewPolicy
from small_workload import write_workload

MANY = 1_000


def answered(confidence: float, count: int = MANY) -> list[Decision]:
    one = accepted(confidence=confidence)
    return [replace(one, id=new_id()) for _ in range(count)]


def close(share: float, expected: float, count: int) -> bool:
    """Whether a share is one that chance gives, but once in some billions of times."""
    return abs(share - expected) <= 6 * sqrt(expected * (1 - expected) / count) + 1e-12


@settings(max_examples=30, deadline=None)
@given(sample=st.floats(0, 1), informative=st.floats(0, 1), level=st.floats(0.3, 1), sure=st.floats(0, 1, allow_subnormal=False))
def test_the_share_that_is_drawn_is_the_chance_that_is_kept(sample: float, informative: float, level: float, sure: float) -> None:
    confidence = level + (1 - level) * sure
    drawn = [draw(each, ReviewPolicy(sample, informative), level) for each in answered(confidence)]
    unsure = (1 - confidence) / (1 - level) if level < 1 else 0.0
    share = 1 - (1 - sample) * (1 - informative * unsure)
    assert {round(each, 9) for each in drawn if each is not None} <= {round(share, 9)}
    assert close(sum(each is not None for each in drawn) / MANY, min(share, 1.0), MANY)


def test_an_answer_that_was_only_just_trusted_is_drawn_most_and_a_certain_one_as_one_of_the_sample() -> None:
    policy = ReviewPolicy(sample=0.5, informative=0.5)
    for confidence, share in ((0.8, 0.75), (0.9, 0.625), (1.0, 0.5)):
        (kept,) = {draw(each, policy, 0.8) for each in answered(confidence, 300)} - {None}
        assert kept == pytest.approx(share)


def test_an_estimate_from_what_was_drawn_is_unbiased_though_the_unsure_are_drawn_more() -> None:
    """Of the answers at 0.9 one in ten is wrong, of those at 0.99 one in a hundred: weighted, that is what is found."""
    policy, weight, wrong = ReviewPolicy(sample=0.2, informative=0.7), 0.0, 0.0
    for confidence in (0.9, 0.99):
        for number, each in enumerate(answered(confidence, 10_000)):
            if share := draw(each, policy, 0.9):
                weight += 1 / share
                wrong += (number % 100 < (1 - confidence) * 100 - 1e-9) / share
    assert weight == pytest.approx(20_000, rel=0.05)
    assert wrong / weight == pytest.approx(0.055, rel=0.15)


def test_what_is_left_to_people_is_not_drawn() -> None:
    assert draw(for_review(), ReviewPolicy(sample=1), 0.5) is None


def test_a_share_of_what_is_settled_is_looked_at_again_whether_or_not_it_was_drawn() -> None:
    policy = ReviewPolicy(sample=0.5, second=0.25)
    every = answered(0.9)
    for drawn in (True, False):
        those = [each for each in every if (draw(each, policy, 0.5) is not None) == drawn]
        assert close(sum(looks_again(each.id, policy) for each in those) / len(those), 0.25, len(those))


class Sure:
    async def answer(self, case: Case, objections: object = ()) -> Answer:
        return Answer({"intent": "refund"})

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_a_release_at_work_puts_its_share_into_the_queue_unmarked(ledger: Ledger, tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 6, review={"sample": 0.3})
    cascade = Cascade((Tier("sure", Sure(), lambda signals: 0.95),), 0.9, "r1", lambda answer: answer, lambda case, answer: ())
    live = Live(workload, cascade, ledger)

    async def decide_all() -> None:
        await asyncio.gather(*(live.decide(Case(f"message {n}")) for n in range(200)))

    asyncio.run(decide_all())
    waiting = ledger.queue.list("small")
    assert 0 < len(waiting) < 200 and {each.look for each in waiting} == {"sample"}
    assert all(each.record.drawn == pytest.approx(0.3) for each in waiting)
    assert ledger.count_waiting("small") == 0  # nobody's answer waits for it


def test_the_guidelines_of_a_release_are_those_beside_the_living_file(tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 6, review={"lease": "90s"})
    release = freeze(workload, Parts({}, {}, 0.5), "inputs", {}, "")
    assert load_workload(release).review == workload.review
    assert workload.review.guidelines == tmp_path / "GUIDE.md" and workload.review.lease == timedelta(seconds=90)
