"""What a case costs with everything in it, what it would cost on the large model alone, and from when on own hardware pays."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from records import accepted
from rung.core import Answer, Attempt, Case, Outcome
from rung.ledger import Effort, Latency, Record, Reviewed, Tally
from rung.monitor.history import begin, by_step, error, quantile, split, steps
from rung.monitor.money import Tokens, assume, crossover, large, measure, price, revise, sentences, tokens
from rung.statistics.binomial import interval
from rung.workload import Boundary, Costs, Endpoint, EndpointTier, Limits, Price, Promise, SpecialistTier, Workload

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def endpoint(name: str, size: str, **changes: object) -> EndpointTier:
    place = Endpoint(name, "http://127.0.0.1:1/v1", size, "closed", "outside", Price(2.0, 8.0))  # type: ignore[arg-type]
    return EndpointTier(name, replace(place, **changes), name)  # type: ignore[arg-type]


WORKLOAD = Workload(
    name="support",
    task="Name the intent.",
    file=Path("workload.yaml"),
    schema={},
    fields=(),
    gold=Path("gold.jsonl"),
    checks=(),
    tiers=(SpecialistTier(), endpoint("large", "frontier")),
    promise=Promise(0.05, 0.95),
    limits=Limits(),
    boundary=Boundary(),
    costs=Costs(machine_hour=0.5, person_hour=36.0, review_seconds=100.0),
)
TALLIES = [
    Tally(NOON, "r1", "specialist", Outcome.ACCEPTED, 80, 0.0, 1.6),  # 20 ms each
    Tally(NOON, "r1", "large", Outcome.ESCALATED, 15, 0.3, 15.0),
    Tally(NOON, "r1", "person", Outcome.REVIEW, 5, 0.1, 5.0),
]
NOBODY = Effort(0, 0, 0.0)


def reviewed(n: int, wrong: bool = False, share: float = 0.1, tier: str = "specialist") -> Reviewed:
    return Reviewed(seq=n, release="r1", tier=tier, share=share, wrong=wrong, at=NOON + timedelta(minutes=n), confidence=0.9)


def test_a_case_costs_tokens_the_machine_round_the_clock_and_peoples_minutes() -> None:
    usage = measure(WORKLOAD, TALLIES, [reviewed(1), reviewed(2)], hours=2)
    money = price(usage, assume(WORKLOAD, usage, NOBODY, None))
    assert money.cost.endpoints == pytest.approx(0.4)
    assert money.cost.machine == pytest.approx(2 * 0.5)  # whether or not it was busy
    assert money.cost.people == pytest.approx((5 + 2) * 1.0)  # 100 s at 36 $ an hour: those left, and those checked
    assert money.cost.each == pytest.approx(8.4 / 100)
    assert sum(cost.total for cost in money.tiers.values()) == pytest.approx(money.cost.total)
    assert {name: cost.decisions for name, cost in money.tiers.items()} == {"specialist": 80, "large": 15, "person": 5}
    assert money.tiers["specialist"].people == pytest.approx(2.0)


def test_waiting_for_an_endpoint_keeps_no_machine_of_ones_own_busy() -> None:
    usage = measure(WORKLOAD, TALLIES, [], hours=2)
    assert usage.busy == pytest.approx(100 * 0.02)  # every case passed the specialist
    money = price(usage, assume(WORKLOAD, usage, NOBODY, None))
    assert money.utilisation == pytest.approx(2.0 / 7200)
    assert money.joules == pytest.approx(0.02 * 15)


def test_a_large_model_inside_without_a_price_is_own_hardware() -> None:
    inside = replace(WORKLOAD, tiers=(SpecialistTier(), endpoint("large", "frontier", boundary="inside", price=Price())))
    assert measure(inside, TALLIES, [], hours=2).busy == pytest.approx(1.6 + 15 + 5)


def test_more_machines_are_assumed_where_one_could_not_take_the_load() -> None:
    usage = measure(WORKLOAD, [Tally(NOON, "r1", "specialist", Outcome.ACCEPTED, 10, 0.0, 5400.0)], [], hours=1)
    assert assume(WORKLOAD, usage, NOBODY, None)["machines"].value == 3  # busy for 1.5 hours an hour, half of each planned for
    endpoints = replace(WORKLOAD, tiers=(endpoint("large", "frontier"),))
    nothing = measure(endpoints, TALLIES, [], hours=1)
    assert assume(endpoints, nothing, NOBODY, None)["machines"].value == 0


def test_what_is_measured_comes_before_what_is_stated_and_says_so() -> None:
    usage = measure(WORKLOAD, TALLIES, [], hours=2)
    stated = assume(WORKLOAD, usage, NOBODY, None)
    assert (stated["review_seconds"].value, stated["review_seconds"].source) == (100.0, "the workload file")
    assert stated["tokens_in"].source.startswith("assumed")
    assert (stated["price_in"].value, stated["price_in"].source) == (2.0, "the price of large")
    measured = assume(WORKLOAD, usage, Effort(40, 30, 360.0), Tokens(310.0, 20.0, 0.8, 12))
    assert (measured["review_seconds"].value, measured["review_seconds"].source) == (12.0, "measured, 30 reviews")
    few = assume(WORKLOAD, usage, Effort(40, 29, 10.0), None)
    assert few["review_seconds"].source == "the workload file"
    assert (measured["tokens_in"].value, measured["tokens_in"].source) == (310.0, "measured, 12 answers")


def test_the_large_model_alone_pays_for_every_case_and_leaves_as_many_to_people() -> None:
    usage = measure(WORKLOAD, TALLIES, [reviewed(1)], hours=2)
    assumed = assume(WORKLOAD, usage, NOBODY, Tokens(1000.0, 100.0, 0.8, 12))
    money = price(usage, assumed)
    each = (1000 * 2.0 + 100 * 8.0) / 1e6
    assert money.alone == pytest.approx(100 * each + 5 + 1)
    assert money.saved == pytest.approx(money.alone - money.cost.total)
    assert price(usage, revise(assumed, {"left": 0.0})).alone == pytest.approx(100 * each + 1)


def test_what_a_person_types_replaces_an_assumption_and_is_marked() -> None:
    usage = measure(WORKLOAD, TALLIES, [], hours=2)
    assumed = assume(WORKLOAD, usage, NOBODY, None)
    typed = revise(assumed, {"machine_hour": 2.0, "person_hour": 36.0, "nothing": 1.0})
    assert (typed["machine_hour"].value, typed["machine_hour"].source) == (2.0, "typed in")
    assert typed["person_hour"] == assumed["person_hour"] and "nothing" not in typed
    assert price(usage, typed).cost.machine == pytest.approx(4.0)


def test_own_hardware_pays_from_where_the_saved_tokens_reach_the_machines_rent() -> None:
    turn = crossover(saved=0.002, busy=0.02, machine_hour=0.5)
    assert turn.volume == pytest.approx(730 * 0.5 / 0.002)
    assert turn.capacity == pytest.approx(730 * 3600 * 0.5 / 0.02)
    assert crossover(saved=0.0, busy=0.02, machine_hour=0.5).volume is None
    assert crossover(saved=1e-7, busy=0.02, machine_hour=0.5).volume is None  # even full
    usage = measure(WORKLOAD, TALLIES, [], hours=2)
    said = " ".join(sentences(price(usage, assume(WORKLOAD, usage, NOBODY, Tokens(5000.0, 100.0, 0.8, 12)))))
    assert "a month on; these came at 36,500 a month" in said and "not metered" in said
    assert "does not pay" in " ".join(sentences(price(usage, assume(WORKLOAD, usage, NOBODY, Tokens(1.0, 1.0, 0.8, 12)))))


def test_of_equally_large_endpoints_the_last_is_the_large_model() -> None:
    several = endpoint("small", "core"), endpoint("first", "frontier"), endpoint("last", "frontier"), endpoint("late", "upper")
    assert large(replace(WORKLOAD, tiers=several)).name == "last"  # type: ignore[union-attr]
    assert large(replace(WORKLOAD, tiers=(SpecialistTier(),))) is None


def test_tokens_are_those_of_the_large_models_answers_alone() -> None:
    mine = Attempt("large", Answer({}, tokens=(100, 10), seconds=0.5), (), 0.9, 0.6, 0.0, True)
    records = [
        Record("support", Case("hello", id=decision.id), decision, NOON)
        for decision in (accepted(), accepted(attempts=(mine,)), accepted(attempts=(replace(mine, answer=None),)))
    ]
    assert tokens(WORKLOAD, records) == Tokens(100.0, 10.0, 0.5, 1)
    assert tokens(WORKLOAD, []) is None


def test_nothing_decided_costs_nothing_and_is_not_told() -> None:
    usage = measure(WORKLOAD, [], [], hours=0)
    money = price(usage, assume(WORKLOAD, usage, NOBODY, None))
    assert (money.cost.total, money.cost.each, sentences(money)) == (0.0, None, [])
    assert money.document()["usd_per_case"] is None


def test_time_is_cut_at_midnight_and_nothing_is_lost() -> None:
    day = timedelta(days=1)
    assert steps(NOON - day, NOON, day) == [begin(NOON - day, day), begin(NOON, day)]
    assert begin(NOON, day).hour == 0
    grouped = by_step(TALLIES, lambda each: each.hour, day)
    assert split(grouped[begin(NOON, day)]) == {"specialist": 80, "large": 15, "person": 5}


def test_a_quantile_is_the_nearest_rank_over_all_hours() -> None:
    times = [Latency(NOON, 0.1, 98), Latency(NOON, 2.0, 1), Latency(NOON - timedelta(hours=1), 1.0, 1)]
    assert [quantile(times, share) for share in (0.5, 0.98, 0.99, 1.0)] == [0.1, 0.1, 1.0, 2.0]
    assert quantile([], 0.5) is None


def test_an_error_comes_with_its_interval_and_likelier_draws_weigh_less() -> None:
    alike = error([reviewed(n, wrong=n < 3) for n in range(50)])
    assert alike is not None and (alike.wrong, alike.n, alike.share) == (3, 50, pytest.approx(0.06))
    assert (alike.low, alike.high) == pytest.approx(interval(3, 50))
    mixed = error([reviewed(n, wrong=True, share=0.8) for n in range(8)] + [reviewed(n, share=0.1) for n in range(9)])
    assert mixed is not None and mixed.share == pytest.approx(8 / 8 / (8 / 8 + 9))
    assert mixed.low < mixed.share < mixed.high
    assert error([]) is None
