"""The report says what was decided by whom, how wrong it may be, how long it took, what it cost, and what is not known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from scipy.stats import beta

from records import NOON, accepted, for_review, record
from records import settle as from_queue
from rung.core import Decision, Outcome, Verdict
from rung.ledger import Ledger, Promotion
from rung.monitor import report
from rung.workload import Boundary, Endpoint, EndpointTier, Limits, Price, Promise, SpecialistTier, Workload

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)

FRONTIER = Endpoint("frontier", "http://127.0.0.1:1/v1", "frontier", "closed", "inside", Price())
WORKLOAD = Workload(
    name="support",
    task="Name the intent.",
    file=Path("workload.yaml"),
    schema={},
    fields=(),
    gold=Path("gold.jsonl"),
    checks=(),
    tiers=(SpecialistTier(), EndpointTier("frontier/large", FRONTIER, "large")),
    promise=Promise(0.05, 0.95),
    limits=Limits(),
    boundary=Boundary(),
    volume=1_000_000,
)


def settle(ledger: Ledger, decisions: list[Decision], wrong: int = 0) -> None:
    for n, decision in enumerate(decisions):
        verdict = Verdict(decision.id, {"intent": "fee" if n < wrong else "refund"}, "ann")
        if ledger.queue.open_on(decision.id, "ann"):
            from_queue(ledger, verdict, NOON)
        else:
            ledger.settle(verdict, NOON)


def busy(ledger: Ledger) -> tuple[list[Decision], list[Decision], list[Decision]]:
    """What the specialist, the frontier and people got: 90, 8 and 2 cases."""
    quick = [accepted(seconds=0.001 * n, cost=0.0) for n in range(1, 91)]
    slow = [accepted(tier="frontier/large", outcome=Outcome.ESCALATED, seconds=0.9, cost=0.0125) for _ in range(8)]
    people = [for_review(seconds=2.0, cost=0.0125) for _ in range(2)]
    record(ledger, *quick, *slow, *people)
    return quick, slow, people


def test_the_text_is_what_a_manager_was_promised(ledger: Ledger) -> None:
    quick, slow, people = busy(ledger)
    settle(ledger, quick[:60], wrong=1)
    settle(ledger, slow[:5])
    settle(ledger, people[:1])
    golden = Path(__file__).parent / "golden" / "report.txt"
    said = report(ledger, WORKLOAD, NOON - timedelta(days=1), NOON + timedelta(days=1)).text()
    assert said + "\n" == golden.read_text()


def test_the_document_has_the_same_numbers_with_their_units(ledger: Ledger) -> None:
    quick, _, _ = busy(ledger)
    settle(ledger, quick[:60], wrong=1)
    document = json.loads(json.dumps(report(ledger, WORKLOAD).document()))
    assert document["since"] is None
    assert document["promise"] == {"error_share_at_most": 0.05, "confidence": 0.95}
    assert (document["cases"], document["waiting_cases"]) == (100, 2)
    assert (document["p50_seconds"], document["p99_seconds"]) == (0.05, 2.0)
    assert document["cost_usd"] == pytest.approx(0.125)
    assert document["cost_usd_per_case"] == pytest.approx(0.00125)
    assert document["cost_usd_per_month"] == pytest.approx(1250)
    specialist, frontier, person = document["tiers"]
    assert [specialist["tier"], frontier["tier"], person["tier"]] == ["specialist", "frontier/large", "person"]
    assert (specialist["settled_cases"], specialist["error"]["cases"], specialist["error"]["of_cases"]) == (60, 1, 60)
    assert specialist["error"] == document["error"]
    assert (frontier["settled_cases"], frontier["error"], frontier["cost_usd"]) == (0, None, pytest.approx(0.1))
    assert (person["decided"]["cases"], person["decided"]["of_cases"], person["decided"]["share"]) == (2, 100, 0.02)


def test_the_document_and_the_text_tell_the_promise_and_the_money_alike(ledger: Ledger) -> None:
    ledger.promote(Promotion("support", "r1", NOON, "ann", ""), None, {})
    record(ledger, *(drawn := [accepted() for _ in range(40)]), drawn=0.02)
    settle(ledger, drawn, wrong=20)
    said = report(ledger, WORKLOAD, now=NOON + timedelta(hours=10))
    document = json.loads(json.dumps(said.document()))
    assert said.standing.state == "broken" and said.standing.sentence in said.text()
    assert document["live_promise"] == said.standing.document()
    money = document["money"]
    assert money["machine_usd"] == pytest.approx(10 * 0.10)  # one machine for ten hours
    assert money["people_usd"] == pytest.approx(40 * 30 / 60)  # forty answers checked in a minute each
    assert money["total_usd"] == pytest.approx(money["endpoints_usd"] + money["machine_usd"] + money["people_usd"])
    assert money["assumptions"]["review_seconds"] == {"value": 60.0, "unit": "s", "source": "the workload file"}
    assert "Money: A case cost $0.526 with everything in it" in said.text()


@pytest.mark.parametrize("wrong", [0, 1, 5, 6, 10])
def test_bounds_are_exact_on_either_side_of_half(ledger: Ledger, wrong: int) -> None:
    decisions = [accepted() for _ in range(10)]
    record(ledger, *decisions)
    settle(ledger, decisions, wrong)
    error = report(ledger, WORKLOAD).error
    assert error is not None
    assert error.at_most == pytest.approx(beta.ppf(0.95, wrong + 1, 10 - wrong) if wrong < 10 else 1.0)
    assert error.at_least == pytest.approx(beta.ppf(0.05, wrong, 11 - wrong) if wrong else 0.0)


def test_nothing_decided_is_said_plainly(ledger: Ledger) -> None:
    record(ledger, accepted(), workload="sales")
    empty = report(ledger, WORKLOAD)
    assert empty.text() == "support: nothing decided yet. Next: `rung decide`."
    assert (empty.rungs, empty.error, empty.p99, empty.cost_per_case, empty.cost_per_month) == ((), None, None, None, None)
    assert empty.document()["tiers"] == []
    assert report(ledger, WORKLOAD, NOON).text().startswith("support: nothing decided yet since 2026-11-20 12:00 UTC.")


def test_an_error_nobody_looked_for_is_not_known(ledger: Ledger) -> None:
    _, _, people = busy(ledger)
    settle(ledger, people)  # where a person decides there is no answer to be wrong
    said = report(ledger, WORKLOAD)
    assert said.error is None
    assert "the live error is not known yet: of 98 cases answered without a person none is settled" in said.text()
    assert "settle some with `rung review`; 59 drawn at random" in said.text()  # 0.95^59 < 5%
    assert "2 cases went to a person; 0 still to be decided" in said.text()


def test_where_people_decided_everything_there_is_no_error(ledger: Ledger) -> None:
    record(ledger, for_review())
    assert "Error: no case was answered without a person" in report(ledger, WORKLOAD).text()


@pytest.mark.parametrize(("wrong", "says"), [(0, "this supports the promise"), (3, "too few to judge"), (14, "this breaks the")])
def test_the_promise_is_judged_by_the_bounds(ledger: Ledger, wrong: int, says: str) -> None:
    quick, _, _ = busy(ledger)
    settle(ledger, quick, wrong)
    assert says in report(ledger, WORKLOAD).text()


def test_a_tier_that_the_file_no_longer_has_stays_in_the_report(ledger: Ledger) -> None:
    record(ledger, accepted(tier="former"), accepted())
    assert [rung.tier for rung in report(ledger, WORKLOAD).rungs] == ["specialist", "frontier/large", "former", "person"]


def test_without_a_volume_there_is_no_cost_a_month(ledger: Ledger) -> None:
    record(ledger, accepted())
    said = report(ledger, replace(WORKLOAD, volume=None))
    assert said.cost_per_month is None
    assert "Cost: 0.001000 US dollars a case.\n" in said.text()


def test_only_what_was_decided_since_then_is_reported(ledger: Ledger) -> None:
    record(ledger, accepted(), accepted(), for_review())
    assert report(ledger, WORKLOAD, NOON + timedelta(seconds=1)).decisions == 2
