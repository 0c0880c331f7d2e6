"""One case in, one decision out, whatever the models do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rung.cascade import LONGEST, PERSON, Cascade, Tier, decide
from rung.core import Answer, Attempt, Case, CostlyFailure, Decision, Fields, Outcome, Problem
from rung.evaluation import Agreed, ask_all, climb, judge, right
from rung.testing import FakeModel

Script = Callable[[Case, tuple[Problem, ...]], Any]

OBJECTION = Problem("order", "there is no such order")


def says(confidence: float = 0.95, label: str = "a", **numbers: float) -> Answer:
    return Answer({"label": label}, signals={"p": confidence}, **numbers)


def confidence_of(signals: Mapping[str, float]) -> float:
    return signals["p"]


def objecting(case: Case, fields: Fields) -> tuple[Problem, ...]:
    return (OBJECTION,) if fields.get("label") == "bad" else ()


def tier(name: str, script: Script, timeout: float = 5.0, repairs: bool = False) -> Tier:
    return Tier(name, FakeModel(script), confidence_of, timeout, repairs)


def always(answer: Any, name: str = "specialist") -> Tier:
    return tier(name, lambda case, objections: answer)


def cascade_of(*tiers: Tier, level: float = 0.9) -> Cascade:
    return Cascade(tiers, level, "r1", lambda fields: fields, objecting)


def decided(*tiers: Tier, level: float = 0.9) -> Decision:
    return asyncio.run(decide(Case("hello"), cascade_of(*tiers, level=level)))


def asked(tier: Tier) -> int:
    assert isinstance(tier.model, FakeModel)
    return len(tier.model.asked)


def failure(attempt: Attempt) -> str:
    assert (attempt.answer, attempt.trusted, attempt.confidence, attempt.cost) == (None, False, 0.0, 0.0)
    (problem,) = attempt.problems
    assert problem.check == "model"
    return problem.message


def test_an_answer_that_reaches_the_level_is_accepted_and_no_other_tier_is_asked() -> None:
    second = always(says(), "frontier")
    decision = decided(always(says(0.9)), second)
    assert (decision.outcome, decision.tier, decision.answer) == (Outcome.ACCEPTED, "specialist", {"label": "a"})
    assert (decision.confidence, decision.release, asked(second)) == (0.9, "r1", 0)


def test_below_the_level_the_next_tier_is_asked() -> None:
    decision = decided(always(says(0.8999)), always(says(0.93, "b"), "frontier"), always(says(), "last"))
    assert (decision.outcome, decision.tier, decision.answer) == (Outcome.ESCALATED, "frontier", {"label": "b"})
    assert [(attempt.tier, attempt.trusted) for attempt in decision.attempts] == [("specialist", False), ("frontier", True)]


def test_what_no_tier_may_be_trusted_with_goes_to_a_person() -> None:
    decision = decided(always(says(0.2)), always(says(0.99, "bad"), "frontier"))
    assert (decision.outcome, decision.tier, decision.answer) == (Outcome.REVIEW, PERSON, None)
    assert decision.problems == (OBJECTION,)


def test_no_confidence_outweighs_an_objection() -> None:
    assert decided(always(says(1.0, "bad"))).outcome == Outcome.REVIEW


def test_what_is_checked_and_answered_is_the_completed_answer() -> None:
    cascade = Cascade((always(says()),), 0.9, "r1", lambda fields: {**fields, "reply": "Hello"}, lambda case, fields: ())
    decision = asyncio.run(decide(Case("hello"), cascade))
    assert decision.answer == {"label": "a", "reply": "Hello"}
    spoiled = Cascade(cascade.tiers, 0.9, "r1", lambda fields: {"label": "bad"}, objecting)
    assert asyncio.run(decide(Case("hello"), spoiled)).outcome == Outcome.REVIEW


def corrigible(case: Case, objections: tuple[Problem, ...]) -> Answer:
    return says(0.95, "a", cost=0.02, seconds=2.0) if objections else says(0.99, "bad", cost=0.01, seconds=1.0)


def test_a_tier_that_repairs_is_told_the_objections_and_its_second_answer_counts() -> None:
    repairing = tier("frontier", corrigible, repairs=True)
    decision = decided(always(says(0.1)), repairing)
    assert (decision.outcome, decision.tier, decision.answer) == (Outcome.CORRECTED, "frontier", {"label": "a"})
    assert isinstance(repairing.model, FakeModel)
    assert [objections for _, objections in repairing.model.asked] == [(), (OBJECTION,)]


def test_a_tier_that_does_not_repair_is_asked_once() -> None:
    once = tier("frontier", corrigible)
    assert (decided(once).outcome, asked(once)) == (Outcome.REVIEW, 1)


def test_a_doubtful_answer_and_a_failure_are_not_repaired() -> None:
    doubtful = tier("frontier", lambda case, objections: says(0.5), repairs=True)
    failing = tier("frontier", lambda case, objections: OSError("no route"), repairs=True)
    decided(doubtful), decided(failing)
    assert (asked(doubtful), asked(failing)) == (1, 1)


def test_a_repair_that_fails_leaves_the_case_to_the_next_tier() -> None:
    stubborn = tier("frontier", lambda case, objections: ValueError("again?") if objections else says(label="bad"), repairs=True)
    decision = decided(stubborn, always(says(), "last"))
    assert (decision.outcome, decision.tier, len(decision.attempts)) == (Outcome.ESCALATED, "last", 3)


def test_cost_and_seconds_are_those_of_all_attempts() -> None:
    first = always(says(0.1, cost=0.5, seconds=0.25))
    decision = decided(first, tier("frontier", corrigible, repairs=True))
    assert decision.cost == pytest.approx(0.5 + 0.01 + 0.02)
    assert decision.seconds == pytest.approx(0.25 + 1.0 + 2.0)


def test_a_failure_that_was_paid_for_counts_in_the_cost() -> None:
    paid = CostlyFailure("half an answer")
    paid.cost = 0.25
    decision = decided(always(paid), always(says(cost=0.5), "last"))
    assert ([attempt.cost for attempt in decision.attempts], decision.cost) == ([0.25, 0.5], 0.75)


class Slow(FakeModel):
    """Answers as scripted, after 20 ms."""

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        await asyncio.sleep(0.02)
        return await super().answer(case, objections)


def test_a_model_that_does_not_measure_itself_is_measured() -> None:
    slow = Tier("specialist", Slow(lambda case, objections: says()), confidence_of)
    assert 0.015 < decided(slow).seconds < 2.0


def test_a_later_tier_sees_how_sure_the_earlier_was_and_whether_they_agree() -> None:
    seen: list[Mapping[str, float]] = []

    def watched(signals: Mapping[str, float]) -> float:
        seen.append(signals)
        return 0.1

    def watching(name: str, fields: Fields) -> Tier:
        return Tier(name, FakeModel(lambda case, objections: Answer(fields, signals={"p": 0.3})), watched)

    failing = always(OSError("no route"), "away")
    decided(watching("one", {"label": "a", "order": 1}), failing, watching("two", {"label": "a", "order": 2}))
    assert seen == [{"p": 0.3, "agrees": 0.0, "before": 0.0}, {"p": 0.3, "agrees": 0.5, "before": 0.1}]


class Panic(BaseException):
    """What an extension written in Rust raises when it panics."""


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (ValueError("no such label"), "ValueError: no such label"),
        (TimeoutError("the server's, not the tier's"), "TimeoutError: the server's, not the tier's"),
        (asyncio.CancelledError("a stray one"), "CancelledError: a stray one"),
        (SystemExit(3), "SystemExit: 3"),
        (Panic("index out of bounds"), "Panic: index out of bounds"),
        (ExceptionGroup("two", [ValueError("x"), OSError("y")]), "ExceptionGroup: two (2 sub-exceptions)"),
        (MemoryError(), "MemoryError"),
        (Unspeakable(), "Unspeakable: <exception str() failed>"),
        (ValueError("half a pair: \ud800"), r"ValueError: half a pair: \ud800"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_model_raises_costs_one_attempt(raised: BaseException, message: str) -> None:
    def script(case: Case, objections: tuple[Problem, ...]) -> Answer:
        raise raised

    decision = decided(tier("specialist", script), always(says(), "last"))
    assert decision.outcome == Outcome.ESCALATED
    assert failure(decision.attempts[0]) == message


def test_a_failure_that_repeats_the_whole_request_is_cut() -> None:
    decision = decided(always(ValueError("x" * 10_000_000)))
    assert len(failure(decision.attempts[0])) == LONGEST + len(" ...")


def test_a_model_that_hangs_is_given_up_in_its_time() -> None:
    decision = decided(tier("specialist", lambda case, objections: None, timeout=0.02), always(says(), "last"))
    assert decision.outcome == Outcome.ESCALATED
    assert failure(decision.attempts[0]) == "no answer within 0.02 s"
    assert 0.015 < decision.attempts[0].seconds < 2.0


class Disguising(FakeModel):
    """Says something else when its time is up."""

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        try:
            return await super().answer(case, objections)
        except asyncio.CancelledError:
            raise OSError("connection lost") from None


def test_a_model_that_calls_its_timeout_something_else_is_still_said_to_be_late() -> None:
    late = Tier("specialist", Disguising(lambda case, objections: None), confidence_of, timeout=0.02)
    assert failure(decided(late).attempts[0]) == "no answer within 0.02 s"


NONSENSE: dict[str, Any] = {
    "text": "refund",
    "a number": 7,
    "a list": [says()],
    "the class": Answer,
    "fields that are text": Answer("refund", signals={"p": 1.0}),  # type: ignore[arg-type]
    "fields that are nothing": Answer(None, signals={"p": 1.0}),  # type: ignore[arg-type]
    "fields that are pairs": Answer([("label", "a")], signals={"p": 1.0}),  # type: ignore[arg-type]
    "no signals": Answer({"label": "a"}),
    "signals that are text": Answer({"label": "a"}, signals="p"),  # type: ignore[arg-type]
    "a confidence in words": Answer({"label": "a"}, signals={"p": "high"}),  # type: ignore[dict-item]
    "a cost in words": says(cost="cheap"),  # type: ignore[arg-type]
    "no cost": says(cost=None),  # type: ignore[arg-type]
    "a cost that is no number": says(cost=nan),
    "an endless cost": says(cost=inf),
    "a negative cost": says(cost=-1.0),
    "a time that is no number": says(seconds=nan),
    "a time in words": says(seconds="soon"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_costs_one_attempt(nonsense: str) -> None:
    decision = decided(always(NONSENSE[nonsense]), always(says(cost=0.5), "last"))
    assert (decision.outcome, decision.tier, decision.cost) == (Outcome.ESCALATED, "last", 0.5)
    assert failure(decision.attempts[0])
    assert decision.document()["answer"] == {"label": "a"}


def test_a_confidence_that_is_no_number_is_not_trusted() -> None:
    assert decided(always(says(nan))).outcome == Outcome.REVIEW


def test_a_huge_answer_is_an_answer() -> None:
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"in": nested}
    huge = Answer({"label": "x" * 10_000_000, "list": list(range(100_000)), "nested": nested}, signals={"p": 0.5})
    decision = decided(always(huge), always(huge, "second"), always(says(), "last"))
    assert decision.tier == "last"


def test_a_check_that_raises_costs_one_attempt() -> None:
    def failing(case: Case, fields: Fields) -> tuple[Problem, ...]:
        raise KeyError("order")

    cascade = Cascade((always(says()),), 0.9, "r1", lambda fields: fields, failing)
    decision = asyncio.run(decide(Case("hello"), cascade))
    assert (decision.outcome, failure(decision.attempts[0])) == (Outcome.REVIEW, "KeyError: 'order'")


def test_a_caller_that_gives_up_is_not_kept_waiting() -> None:
    second = always(says(), "last")

    async def give_up() -> None:
        deciding = asyncio.create_task(decide(Case("hello"), cascade_of(always(None), second)))
        await asyncio.sleep(0.01)
        deciding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deciding

    asyncio.run(give_up())
    assert asked(second) == 0


def test_a_callers_own_deadline_is_the_callers() -> None:
    async def hurry() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await decide(Case("hello"), cascade_of(always(None), always(says(), "last")))

    asyncio.run(hurry())


def test_an_interrupt_from_the_keyboard_ends_the_program() -> None:
    def script(case: Case, objections: tuple[Problem, ...]) -> Answer:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decided(tier("specialist", script))


@st.composite
def scripted(draw: st.DrawFn) -> tuple[Cascade, list[Agreed], float]:
    """Up to three tiers that answer, object, repair and fail at random on a few cases, and a level among their confidences."""
    cases = draw(st.integers(1, 6))
    steps = st.sampled_from([0.2, 0.5, 0.5000001, 0.9, 1.0])
    answer = st.builds(says, steps, st.sampled_from(["a", "b", "bad"]))
    tiers: list[Tier] = []
    for name in ("one", "two", "three")[: draw(st.integers(1, 3))]:
        first = draw(st.lists(answer | st.just(ValueError("no")), min_size=cases, max_size=cases))
        second = draw(st.lists(answer | st.just(ValueError("no")), min_size=cases, max_size=cases))

        def script(case: Case, objections: tuple[Problem, ...], first: Any = first, second: Any = second) -> Any:
            return (second if objections else first)[int(case.text)]

        tiers.append(tier(name, script, repairs=draw(st.booleans())))
    agreed = [Agreed(Case(str(at)), {"label": "a"}) for at in range(cases)]
    return cascade_of(*tiers), agreed, draw(steps | st.floats(0.01, 1.1))


@settings(max_examples=200)
@given(scripted())
def test_what_calibration_counts_is_what_decide_does(given: tuple[Cascade, list[Agreed], float]) -> None:
    cascade, agreed, level = given
    cases = [each.case for each in agreed]
    served = Cascade(cascade.tiers, level, cascade.release, cascade.complete, cascade.check)

    async def both() -> tuple[list[Decision], list[Decision]]:
        return await climb(cascade, cases), await ask_all(served, cases)

    climbed, decisions = asyncio.run(both())
    judged = judge(cascade, climbed, agreed)
    names = [tier.name for tier in cascade.tiers]
    stops = [names[stop] if stop >= 0 else PERSON for stop in judged.stops(level)]
    assert [decision.tier for decision in decisions] == stops
    answers = [(decision.answer, each.expected) for decision, each in zip(decisions, agreed, strict=True)]
    wrong = sum(answer is not None and not right(answer, expected) for answer, expected in answers)
    assert judged.tally(level) == (sum(answer is not None for answer, _ in answers), wrong)


@settings(max_examples=200)
@given(scripted())
def test_what_is_answered_reached_the_level_and_nothing_objects_to_it(given: tuple[Cascade, list[Agreed], float]) -> None:
    cascade, agreed, level = given
    served = Cascade(cascade.tiers, level, cascade.release, cascade.complete, cascade.check)
    for decision in asyncio.run(ask_all(served, [each.case for each in agreed])):
        *earlier, last = decision.attempts
        assert not any(attempt.trusted for attempt in earlier)
        names = [attempt.tier for attempt in decision.attempts]
        assert names == sorted(names, key=[tier.name for tier in cascade.tiers].index)
        if decision.outcome == Outcome.REVIEW:
            assert (decision.answer, decision.tier, last.trusted, last.tier) == (None, PERSON, False, cascade.tiers[-1].name)
            continue
        assert last.trusted and not last.problems and not decision.problems and last.confidence >= level
        assert last.answer is not None and decision.answer == last.answer.fields
        repaired, first = names.count(last.tier) == 2, last.tier == cascade.tiers[0].name
        expected = Outcome.CORRECTED if repaired else Outcome.ACCEPTED if first else Outcome.ESCALATED
        assert decision.outcome == expected
