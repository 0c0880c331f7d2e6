"""A cascade over agreed answers: what it shows, what a gate makes of it, and how a manager reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rung.cascade import Cascade, Tier
from rung.cascade.promise import Threshold
from rung.core import Answer, Case, Decision, Fields, Problem
from rung.evaluation import (
    Agreed,
    Drop,
    Evidence,
    GateError,
    TierEvidence,
    ask_all,
    climb,
    describe,
    doubts,
    evaluate,
    gate,
    judge,
    measure,
    right,
    rulings,
    times_of,
)
from rung.evaluation.asking import AT_ONCE
from rung.evaluation.rates import Estimate
from rung.evaluation.times import BLOCKS, FEWEST, arrive, energy_of
from rung.statistics.binomial import lower_bound, upper_bound
from rung.testing import FakeModel
from rung.workload import Boundary, Field, Limits, Promise, Workload

PROMISE = Promise(0.02, 0.95)
SMALL = Workload(
    name="small",
    task="Name the letter.",
    file=Path("workload.yaml"),
    schema={"properties": {"label": {"enum": ["a", "b", "c"]}}},
    fields=(Field("label", "label", {"enum": ["a", "b", "c"]}, ("a", "b", "c")),),
    gold=Path("gold.jsonl"),
    checks=(),
    tiers=(),
    promise=PROMISE,
    limits=Limits(),
    boundary=Boundary(),
)
THRESHOLD = Threshold(0.9, 400, 330, 2, 0.0189)
EVIDENCE = Evidence(
    promise=PROMISE,
    threshold=THRESHOLD,
    cases=1200,
    tiers=(
        TierEvidence("specialist", 1000, 9, 0.0157),
        TierEvidence("local-slm", 80, 0, 0.0368),
        TierEvidence("idle", 0, 0, 1.0),
    ),
    people=120,
    escalated=1 - 1000 / 1200,
    times=times_of([0.0042] * 490 + [0.29] * 4 + [0.31] * 6),
    metrics=replace(measure(SMALL, [], []), cost=Estimate(0.000125, 0.000101, 0.00015, 1200)),
)


def model(answers: Mapping[str, Any]) -> FakeModel:
    """Answers a text with what the mapping has for it, after an objection with what it has for the text and a "!"."""
    return FakeModel(lambda case, objections: answers[case.text + "!" if objections else case.text])


def says(label: str, confidence: float, **numbers: float) -> Answer:
    return Answer({"label": label}, signals={"p": confidence}, **numbers)


def objecting(case: Case, fields: Fields) -> tuple[Problem, ...]:
    return (Problem("label", "there is no such label"),) if fields["label"] == "bad" else ()


def cascade_of(*models: FakeModel, level: float = 0.9) -> Cascade:
    names = ["small", "vendor/large"]
    tiers = tuple(
        Tier(name, model, lambda signals: signals["p"], repairs="/" in name) for name, model in zip(names, models, strict=False)
    )
    return Cascade(tiers, level, "r1", lambda fields: fields, objecting)


def agreed(*labels: str) -> list[Agreed]:
    """Cases "0", "1", ... with these labels."""
    return [Agreed(Case(str(at)), {"label": label}) for at, label in enumerate(labels)]


def refused(evidence: Evidence, **limits: float) -> str:
    with pytest.raises(GateError) as caught:
        gate(evidence, Limits(**limits))
    first, *failures = str(caught.value).splitlines()
    assert first == "this release is refused:"
    return "\n".join(failures)


@pytest.mark.parametrize(
    ("answer", "expected", "agrees"),
    [
        ({"label": "a"}, {"label": "a"}, True),
        ({"label": "b"}, {"label": "a"}, False),
        ({"label": "a", "reply": "written from a template"}, {"label": "a"}, True),
        ({"label": "a"}, {"label": "a", "order": None}, True),
        ({}, {"label": "a"}, False),
        ({"amount": 1}, {"amount": 1.0}, True),
        ({"amount": True}, {"amount": 1}, False),
        ({"urgent": 0}, {"urgent": False}, False),
        ({"urgent": True}, {"urgent": True}, True),
        ({"amount": "1"}, {"amount": 1}, False),
        ({"label": "A"}, {"label": "a"}, False),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, False),
    ],
)
def test_an_answer_is_right_if_it_agrees_in_every_field_of_gold(answer: Fields, expected: Fields, agrees: bool) -> None:
    assert right(answer, expected) is agrees


def test_many_cases_are_decided_in_order_a_limited_number_at_a_time() -> None:
    under_way = most = 0

    class Counting(FakeModel):
        async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.0001 * (int(case.text) % 3))
            under_way -= 1
            return says(case.text, 1.0)

    ticks: list[int] = []
    cases = [Case(str(at)) for at in range(3 * AT_ONCE)]
    decisions = asyncio.run(ask_all(cascade_of(Counting(lambda case, objections: None)), cases, ticks.append))
    assert [decision.id for decision in decisions] == [case.id for case in cases]
    assert [decision.answer for decision in decisions] == [{"label": case.text} for case in cases]
    assert (most, sum(ticks)) == (AT_ONCE, len(cases))


def test_a_climb_asks_every_tier_and_trusts_none() -> None:
    cascade = cascade_of(model({"0": says("a", 1.0)}), model({"0": says("b", 1.0)}))
    (decision,) = asyncio.run(climb(cascade, [Case("0")]))
    assert [(attempt.tier, attempt.confidence, attempt.trusted) for attempt in decision.attempts] == [
        ("small", 1.0, False),
        ("vendor/large", 1.0, False),
    ]


def judged(cascade: Cascade, gold: list[Agreed]) -> tuple[list[list[float]], list[list[bool]]]:
    async def climbed() -> list[Decision]:
        return await climb(cascade, [each.case for each in gold])

    judged = judge(cascade, asyncio.run(climbed()), gold)
    return judged.confidence.tolist(), judged.right.tolist()


def test_judging_sees_every_tier_and_only_usable_answers() -> None:
    small = model({"0": says("a", 0.8), "1": says("bad", 0.99), "2": OSError("no route")})
    large = model({"0": says("b", 0.7), "1": says("b", 0.6), "2": says("c", 0.5)})
    confidence, correct = judged(cascade_of(small, large), agreed("a", "b", "c"))
    assert confidence == [[0.8, 0.7], [-1.0, 0.6], [-1.0, 0.5]]
    assert correct == [[True, False], [False, True], [False, True]]


def test_of_two_attempts_by_one_tier_the_second_is_judged() -> None:
    small = model({text: says("a", 0.1) for text in "012"})
    bad = says("bad", 0.99)
    repairs = {"0!": says("b", 0.7), "1!": says("bad", 0.6), "2!": OSError("no route")}
    confidence, correct = judged(cascade_of(small, model({"0": bad, "1": bad, "2": bad, **repairs})), agreed("b", "bad", "b"))
    assert [row[1] for row in confidence] == [0.7, -1.0, -1.0]
    assert [row[1] for row in correct] == [True, True, False]


def test_evidence_counts_each_tier_the_people_and_the_money() -> None:
    small = model({"0": says("a", 0.95, cost=0.25), "1": says("x", 0.95), "2": says("c", 0.1), "3": says("d", 0.1, seconds=3.0)})
    large = model({"2": says("c", 0.92, cost=0.75), "3": says("e", 0.2, seconds=1.0)})
    ticks: list[int] = []
    gold = agreed("a", "b", "c", "e")
    evidence, decisions = asyncio.run(evaluate(SMALL, cascade_of(small, large), gold, THRESHOLD, ticks.append))
    assert [decision.id for decision in decisions] == [each.case.id for each in gold]
    assert evidence.metrics.answered.count == evidence.answered
    assert evidence.tiers == (
        TierEvidence("small", 2, 1, upper_bound(1, 2, 0.95)),
        TierEvidence("vendor/large", 1, 0, upper_bound(0, 1, 0.95)),
    )
    assert (evidence.cases, evidence.answered, evidence.wrong, evidence.people, sum(ticks)) == (4, 3, 1, 1, 4)
    assert (evidence.escalated, evidence.left.count, evidence.document()["cost"]) == (0.5, 2, 0.25)
    assert (len(evidence.times), evidence.times.rate, evidence.times["p99"].seconds) == (4, None, pytest.approx(4.0))
    assert [(one.accuracy.count, one.accuracy.of) for one in evidence.metrics.fields] == [(3, 4)]


def test_evidence_in_json_carries_exact_bounds() -> None:
    document = EVIDENCE.document()
    assert (document["answered"], document["wrong"], document["error"]) == (1080, 9, 9 / 1080)
    assert (document["error_at_least"], document["error_at_most"]) == (lower_bound(9, 1080, 0.95), upper_bound(9, 1080, 0.95))
    assert document["tiers"][0] == {"tier": "specialist", "cases": 1000, "wrong": 9, "bound": 0.0157}
    assert Threshold(**document["threshold"]) == THRESHOLD


def test_evidence_without_an_answer_has_no_error_rate() -> None:
    document = replace(EVIDENCE, tiers=(TierEvidence("specialist", 0, 0, 1.0),), people=1200).document()
    assert (document["error"], document["error_at_least"], document["error_at_most"]) == (None, 0.0, 1.0)


def test_a_release_within_its_limits_passes_the_gate() -> None:
    gate(EVIDENCE, Limits())
    within = Limits(p99=0.31, cost_per_case=0.000125, escalated=0.2)
    gate(EVIDENCE, within)
    assert doubts(EVIDENCE, within) == []


def test_what_chance_may_do_refuses_nothing_and_is_said() -> None:
    over = Limits(p99=0.3, cost_per_case=0.00011, escalated=0.15)
    gate(EVIDENCE, over)
    assert doubts(EVIDENCE, over) == [
        "p99 is 310.0 ms (n=500, one at a time; 95% interval 4.2 to 310.0 ms), over limits.p99 of 300.0 ms. That may be chance, "
        "so nothing is refused; more test cases would tell. Shorter texts, fewer tiers or a faster machine would help.",
        "a case costs $0.000125 ($0.000101 to $0.000150, 95% interval, n=1,200), over limits.cost_per_case of $0.00011. That "
        "may be chance, so nothing is refused; more test cases would tell. A cheaper endpoint, or more gold for the specialist, "
        "would help.",
        "200 of 1,200 cases leave the specialists: 16.67% (95% interval 14.60% to 18.90%), over limits.escalated of 15.00%. That "
        "may be chance, so nothing is refused; more test cases would tell. More gold for the labels it confuses, or a promise "
        "that allows more error, would help.",
    ]


def test_a_gate_names_the_figure_its_interval_what_is_asked_and_what_would_help() -> None:
    slow = replace(EVIDENCE, times=times_of([0.0042] * 290 + [0.31] * 10, 3.858))
    assert refused(slow, p99=0.3) == (
        "  p99 is 310.0 ms (n=300, arriving at 3.86 a second, whether or not others are answered; 95% interval 310.0 ms or more: "
        "an upper end takes 368 cases), at least 310.0 ms with 95% confidence, over limits.p99 of 300.0 ms. Shorter texts, fewer "
        "tiers or a faster machine would help."
    )
    assert refused(EVIDENCE, cost_per_case=0.0001) == (
        "  a case costs $0.000125 ($0.000101 to $0.000150, 95% interval, n=1,200), at least $0.000101 by that interval, over "
        "limits.cost_per_case of $0.0001. A cheaper endpoint, or more gold for the specialist, would help."
    )
    assert refused(EVIDENCE, escalated=0.14) == (
        "  200 of 1,200 cases leave the specialists: 16.67% (95% interval 14.60% to 18.90%), at least 14.92% with 95% "
        "confidence, over limits.escalated of 14.00%. More gold for the labels it confuses, or a promise that allows more error, "
        "would help."
    )


def test_a_gate_says_of_every_limit_what_it_was_asked_and_what_it_saw() -> None:
    limits = Limits(p99=0.4, cost_per_case=0.00011, escalated=0.14, dropped=0.02)
    found = rulings(EVIDENCE, limits, Drop("f" * 64, 1000, 5, 5, 0.95))
    assert [(one.limit, one.verdict) for one in found] == [
        ("promise", "proven"),
        ("p99", "within"),
        ("cost_per_case", "doubtful"),
        ("escalated", "refused"),
        ("dropped", "proven"),
    ]
    assert found[0].sentence == ("9 of 1,080 answers are wrong, 0.83%, at most 1.45% with 95% confidence, and 2% was promised.")
    assert found[1].sentence.startswith("p99 is 310.0 ms (n=500, one at a time; 95% interval 4.2 to 310.0 ms), at least ")
    assert found[1].sentence.endswith(" with 95% confidence, within limits.p99 of 400.0 ms.")
    assert "of 1,000 cases" in found[4].sentence and found[4].sentence.endswith("limits.dropped asks for less than 2.")
    assert refused(EVIDENCE, escalated=0.14) == f"  {found[3].sentence}"


def test_a_gate_names_everything_that_fails_at_once() -> None:
    bad = replace(EVIDENCE, tiers=(TierEvidence("specialist", 1000, 60, 0.07),))
    failures = refused(bad, p99=0.001, cost_per_case=0.0, escalated=0.1).splitlines()
    assert [failure.split()[0] for failure in failures] == ["the", "p99", "a", "200"]
    assert "60 of 1000 answers are wrong, so the error is at least 4.81% with 95% confidence" in failures[0]


def test_bad_luck_on_the_test_split_is_no_contradiction() -> None:
    gate(replace(EVIDENCE, tiers=(TierEvidence("specialist", 1000, 25, 0.035),)), Limits())


@pytest.mark.parametrize(
    ("wrong", "answered", "verdict", "says"),
    [
        (0, 0, "doubtful", "no test case is answered"),
        (1, 3, "doubtful", "33.33%, at most 86.46% with 95% confidence, and 2% was promised. That may be chance"),
        (5, 100, "doubtful", "nothing is refused"),
        (0, 100, "within", "0.00%, at most 2.95% with 95% confidence, and 2% was promised. These cases are too few to prove it"),
        (2, 100, "within", "too few to prove it"),
        (0, 200, "proven", "at most 1.49% with 95% confidence"),
        (10, 100, "refused", "the test split contradicts the promise"),
    ],
)
def test_a_promise_is_called_proven_only_where_the_test_cases_prove_it(
    wrong: int, answered: int, verdict: str, says: str
) -> None:
    evidence = replace(EVIDENCE, tiers=(TierEvidence("specialist", answered, wrong, 1.0),))
    ruling = rulings(evidence, Limits())[0]
    assert ruling.verdict == verdict and says in ruling.sentence
    assert (ruling.sentence in doubts(evidence, Limits())) is (verdict == "doubtful")


def test_an_empty_test_split_shows_nothing_and_passes_nothing() -> None:
    evidence, _ = asyncio.run(evaluate(SMALL, cascade_of(model({}), model({})), [], THRESHOLD))
    assert "the test split is empty, so nothing is shown." in refused(evidence)


def test_the_report_reads_as_it_should() -> None:
    assert describe(EVIDENCE, "support", 1_000_000) == REPORT
    *before, month, brackets = REPORT.splitlines()
    assert describe(EVIDENCE, "support", None).splitlines() == [*before, brackets] and month.startswith("At 1,000,000")


TIMES = "p50 4.2 ms (4.2 to 4.2 ms), p95 4.2 ms (4.2 to 4.2 ms), p99 310.0 ms (4.2 to 310.0 ms)"
REPORT = f"""\
support. Promise: of the cases answered without a person at most 2% are wrong, with 95% confidence.
Kept on 400 calibration cases: 330 answered, 2 wrong, at most 1.89% at this level.

On 1,200 test cases that neither training nor calibration has seen:
  who answers                    cases   share   wrong   error  at most (95% confidence)
  specialist                     1,000   83.3%       9   0.90%  1.57%
  local-slm                         80    6.7%       0   0.00%  3.68%
  idle                               0    0.0%       0       -  -
  a person                         120   10.0%

Time per case: {TIMES}; n=500, one at a time.
Cost per case: $0.000125 ($0.000101 to $0.000150); n=1,200, without people's time.
At 1,000,000 cases a month: about 900,000 (881,617 to 916,394) answered, 100,000 (83,606 to 118,383) for people.
In brackets: 95% intervals."""


def test_a_promise_is_printed_as_it_was_stated() -> None:
    exact = replace(EVIDENCE, promise=Promise(0.0025, 0.995))
    assert "at most 0.25% are wrong, with 99.5% confidence." in describe(exact, "support", None)


def test_times_are_the_slowest_seen_not_between_two() -> None:
    answers = {str(at): says("a", 1.0, seconds=float(at)) for at in range(1, 101)}
    gold = [Agreed(Case(text), {"label": "a"}) for text in answers]
    evidence, _ = asyncio.run(evaluate(SMALL, cascade_of(model(answers)), gold, THRESHOLD))
    seconds = np.arange(1, 101)
    assert evidence.times["p50"].seconds == np.quantile(seconds, 0.5, method="higher")
    assert (evidence.times["p99"].seconds, evidence.times["p99"].high) == (100.0, None)


def test_what_static_leaves_to_the_encoder_has_not_left_the_specialists() -> None:
    static, encoder = model({"0": says("a", 0.95), "1": says("b", 0.1)}), model({"1": says("b", 0.95)})
    cascade = cascade_of(static, encoder)
    both = replace(
        cascade, tiers=tuple(replace(tier, name=name) for tier, name in zip(cascade.tiers, ("static", "specialist"), strict=True))
    )
    evidence, _ = asyncio.run(evaluate(SMALL, both, agreed("a", "b"), THRESHOLD))
    assert evidence.escalated == 0.0


# Arrivals


def arriving(cascade: Cascade, cases: int, rate: float) -> list[float]:
    return asyncio.run(arrive(cascade, [Case(str(at)) for at in range(cases)], rate))


class Serving(FakeModel):
    """One case after the other, each for 2 ms, as a single core would; `most` were there at once."""

    def __init__(self) -> None:
        super().__init__(lambda case, objections: None)
        self.core, self.here, self.most = asyncio.Lock(), 0, 0

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        self.here += 1
        self.most = max(self.most, self.here)
        async with self.core:
            await asyncio.sleep(0.002)
        self.here -= 1
        return says(case.text, 1.0)


def test_cases_that_come_faster_than_they_are_answered_wait_and_those_that_come_rarely_do_not() -> None:
    rarely = arriving(cascade_of(seldom := Serving()), 50, 0.001)  # on average a case in a quarter of an hour
    assert seldom.most == 1 and min(rarely) >= 0.002
    often = arriving(cascade_of(rush := Serving()), 50, 10_000.0)
    assert rush.most > 1 and often[-1] > 25 * 0.002


def test_an_answer_that_is_remembered_counts_with_the_seconds_it_took() -> None:
    seconds = arriving(cascade_of(FakeModel(lambda case, objections: says("a", 1.0, seconds=3.0))), 5, 100.0)
    assert all(3.0 <= one < 4.0 for one in seconds)


def test_evidence_is_timed_under_the_busy_hour_of_the_volume_where_cases_would_meet() -> None:
    def timed(volume: int | None, seconds: float) -> Evidence:
        small = FakeModel(lambda case, objections: says("a", 0.1, seconds=seconds))
        large = FakeModel(lambda case, objections: says("a", 1.0, seconds=3.0))
        workload = replace(SMALL, volume=volume)
        evidence, _ = asyncio.run(evaluate(workload, cascade_of(small, large), agreed(*"aaaa"), THRESHOLD))
        assert (len(small.asked), len(large.asked)) == (4 if evidence.times.alone else 8, 4)  # what costs is asked once
        return evidence

    a_second = 2_592_000
    loaded = timed(a_second, 1.0)
    assert loaded.document()["times"].items() >= {"cases": 4, "arrivals_per_second": 10.0, "one_at_a_time": False}.items()
    assert 4.0 <= loaded.times["p50"].seconds < 5.0
    assert loaded.times["p99"].high is None and "upper end takes 368 cases" in loaded.times.sentence
    calm = timed(a_second // 10, 0.0009)
    assert calm.times.seconds == (pytest.approx(3.0009),) * 4
    assert calm.times.how == "one at a time, for at 1 arrivals a second hardly any would meet"
    assert timed(None, 1.0).times.how == "one at a time"


def test_energy_is_that_of_a_case_with_an_interval_from_enough_blocks() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        spent = np.maximum(rng.gamma(2.0, 0.002, 500), 1e-6)
        energy = energy_of([0.0, *np.cumsum(spent).tolist()])
        assert (energy.cases, energy.blocks) == (500, BLOCKS)
        assert energy.low is not None and energy.high is not None and energy.cpu == pytest.approx(spent.mean(), rel=1e-4)
        covered += energy.low <= 0.004 <= energy.high
    assert covered >= 51  # of 60 intervals at 95 %
    few = energy_of([0.1 * at for at in range(FEWEST)])
    assert (few.low, few.high, few.cpu) == (None, None, pytest.approx(0.1)) and "no interval" in few.between


# Limits beside the promise


def served(expected: list[str], said: list[str | None], **context: list[str]) -> Evidence:
    """The evidence of a cascade that said this about these cases; None: no tier answered."""
    gold = [
        Agreed(Case(str(at), {name: values[at] for name, values in context.items()}), {"label": label})
        for at, label in enumerate(expected)
    ]
    answers = {str(at): says(label, 1.0) if label else OSError("down") for at, label in enumerate(said)}
    evidence, _ = asyncio.run(evaluate(SMALL, cascade_of(model(answers)), gold, THRESHOLD))
    return replace(evidence, tiers=())  # the promise is not what these are about


def test_a_slice_over_its_ceiling_is_named_and_chance_alone_does_not_refuse() -> None:
    channels = ["web", "call"] * 200
    said = ["b" if channel == "web" and at % 4 == 0 else "a" for at, channel in enumerate(channels)]
    evidence = served(["a"] * 400, said, channel=channels)
    failure = refused(evidence, slices={"channel": 0.3})
    assert "among the cases with channel web 100 of 200 answers are wrong (95% interval 42.87% to 57.13%), at least 42" in failure
    assert "over limits.slices.channel of 30.00%" in failure and "call" not in failure
    gate(evidence, Limits(slices={"channel": 0.48}))
    chance, wide = (rulings(evidence, Limits(slices={"channel": most}))[-1] for most in (0.48, 0.6))
    assert chance.verdict == "doubtful" and "channel web 100 of 200 answers are wrong" in chance.sentence
    assert "the most of any, within limits.slices.channel of 48.00%. That may be chance" in chance.sentence
    assert wide.verdict == "within" and wide.sentence.endswith("the most of any, within limits.slices.channel of 60.00%.")


def test_a_ceiling_on_slices_that_no_case_has_is_refused_with_those_there_are() -> None:
    evidence = served(["a", "b"] * 20, ["a", "b"] * 20)
    assert "limits.slices names tongue, and the test cases have no such slices (they have: label" in refused(
        evidence, slices={"tongue": 0.1}
    )


def test_cases_without_any_answer_have_a_ceiling() -> None:
    evidence = served(["a"] * 50, [None] * 10 + ["a"] * 40)
    assert (
        "10 of 50 cases get no answer from any tier: 20.00% (95% interval 10.03% to 33.72%), at least 11.27% with 95% "
        "confidence, over limits.refused of 5.00%" in refused(evidence, refused=0.05)
    )
    gate(evidence, Limits(refused=0.15))


@pytest.mark.parametrize(
    ("gained", "lost", "passes"), [(5, 5, True), (0, 0, True), (40, 20, True), (10, 25, False), (0, 30, False)]
)
def test_a_release_must_be_proven_to_drop_less_than_allowed(gained: int, lost: int, passes: bool) -> None:
    drop = Drop("f" * 64, 1000, gained, lost, 0.95)
    if passes:
        gate(EVIDENCE, Limits(dropped=0.02), drop)
        return
    with pytest.raises(
        GateError, match=f"{gained} of 1,000 cases are answered rightly by the new one alone and {lost} by the old"
    ):
        gate(EVIDENCE, Limits(dropped=0.02), drop)
    gate(EVIDENCE, Limits(), drop)


def test_too_few_cases_prove_nothing_and_the_gate_says_what_they_could() -> None:
    with pytest.raises(GateError, match=r"loses less than 1\d\.\d points.*More test cases, or a wider limit, would help"):
        gate(EVIDENCE, Limits(dropped=0.02), Drop("f" * 64, 20, 0, 0, 0.95))
    with pytest.raises(GateError, match=r"loses less than 0\.\d+ points, and limits\.dropped asks for less than 0\.01\."):
        gate(EVIDENCE, Limits(dropped=0.0001), Drop("f" * 64, 10_000, 0, 0, 0.95))


def test_what_callers_send_along_is_not_kept_as_evidence_unless_the_file_asks_for_it() -> None:
    customers = [f"jane{at % 4}@example.com" for at in range(40)]
    evidence = served(["a", "b"] * 20, ["a", "b"] * 20, customer=customers)
    assert "jane" in str(evidence.metrics.document())
    assert "jane" not in str(evidence.document()) and "customer" not in str(evidence.document())
    assert {one["by"] for one in evidence.document(["customer"])["metrics"]["slices"]} >= {"label", "customer"}
