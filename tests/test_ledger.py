"""The ledger keeps what it acknowledged, whatever happens, in SQLite and PostgreSQL alike."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, inspect, text

from records import NOON, accepted, for_review, ids, record
from rung.core import Answer, Attempt, Case, Outcome, Problem, Verdict
from rung.ledger import (
    KeyRefused,
    Ledger,
    LedgerError,
    PersonRefused,
    PointerMoved,
    Promotion,
    Record,
    RecordRefused,
    UnknownDecision,
    open_ledger,
)

# What is kept


def test_a_record_is_found_as_it_was_written(ledger: Ledger) -> None:
    case = Case("Where is my money?\n", {"channel": "chat", "turns": [1, 2]}, "key:web")
    written = Record("support", case, accepted(id=case.id), NOON + timedelta(microseconds=123_457))
    asyncio.run(ledger.record(written))
    assert ledger.find(written.decision.id) == written
    assert ledger.find("never-recorded") is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(words=st.text(st.characters()), fields=st.dictionaries(st.text(st.characters()), json_values, max_size=4))
def test_any_text_and_any_answer_survive_exactly(ledger: Ledger, words: str, fields: dict[str, object]) -> None:
    attempt = Attempt("specialist", Answer(fields), (Problem("check", words),))
    decision = accepted(answer=fields, tier=words, attempts=(attempt,))
    written = Record("support", Case(words, fields, words, decision.id), decision, NOON)
    asyncio.run(ledger.record(written))
    assert ledger.find(decision.id) == written
    assert ledger.list("support", limit=1) == [written]


def test_nonsense_from_a_model_is_kept_as_evidence(ledger: Ledger) -> None:
    nonsense = Attempt("frontier", Answer({"a": object(), "b": "\ud800\0", "c": 10**40}, signals={"energy": math.nan}))
    (written,) = record(ledger, for_review(attempts=(nonsense,)))
    kept = ledger.find(written.decision.id).decision.attempts[0].answer
    assert kept.fields["a"].startswith("<object object")
    assert (kept.fields["b"], kept.fields["c"]) == ("\ud800\0", 10**40)
    assert math.isnan(kept.signals["energy"])


def test_a_refused_record_takes_no_other_with_it(ledger: Ledger) -> None:
    (taken,) = record(ledger, accepted())
    fresh = [accepted() for _ in range(9)]

    async def all_at_once() -> list[object]:
        decisions = [*fresh[:5], taken.decision, accepted(confidence=math.nan), *fresh[5:]]
        return await asyncio.gather(
            *(ledger.record(Record("support", Case("x", id=d.id), d, NOON)) for d in decisions), return_exceptions=True
        )

    outcomes = asyncio.run(all_at_once())
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [RecordRefused, RecordRefused]
    assert all(ledger.find(each.id) for each in fresh)
    assert ledger.find(taken.decision.id) == taken


def test_a_case_with_another_id_than_its_decision_is_refused(ledger: Ledger) -> None:
    with pytest.raises(RecordRefused, match="its case is elsewhere"):
        asyncio.run(ledger.record(Record("support", Case("x", id="elsewhere"), accepted(), NOON)))


def test_the_list_is_newest_first_and_pages_without_gaps(ledger: Ledger) -> None:
    written = record(ledger, *(accepted() if n % 3 else for_review() for n in range(10)))
    record(ledger, accepted(), workload="other")
    newest_first = ids(written)[::-1]
    first = ledger.list("support", limit=4)
    second = ledger.list("support", limit=4, before=first[-1].decision.id)
    third = ledger.list("support", limit=4, before=second[-1].decision.id)
    assert [*ids(first), *ids(second), *ids(third)] == newest_first
    assert ids(ledger.list("support", since=NOON + timedelta(seconds=7))) == newest_first[:3]
    assert ids(ledger.list("support", outcome=Outcome.REVIEW)) == ids(written)[::-3]
    with pytest.raises(UnknownDecision):
        ledger.list("support", before="never-recorded")


def test_decisions_of_the_same_moment_page_without_gaps(ledger: Ledger) -> None:
    for _ in range(5):
        record(ledger, accepted())
    first = ledger.list("support", limit=2)
    rest = ledger.list("support", before=first[-1].decision.id)
    assert len({*ids(first), *ids(rest)}) == 5


# Verdicts


def test_the_latest_verdict_counts_and_ends_the_waiting(ledger: Ledger) -> None:
    first, second = record(ledger, for_review(), for_review())
    record(ledger, accepted())
    assert ids(ledger.waiting("support", 10)) == [first.decision.id, second.decision.id]
    assert ledger.verdict(first.decision.id) is None
    ledger.settle(Verdict(first.decision.id, {"intent": "fee"}, "ann"), NOON)
    ledger.settle(Verdict(first.decision.id, {"intent": "refund"}, "bob", "ann misread\0it"), NOON)
    assert ledger.verdict(first.decision.id) == Verdict(first.decision.id, {"intent": "refund"}, "bob", "ann misread\0it")
    assert ids(ledger.waiting("support", 10)) == [second.decision.id]
    assert ledger.count_waiting("support") == 1


def test_what_is_settled_comes_with_the_latest_verdict_oldest_first(ledger: Ledger) -> None:
    first, second, _ = record(ledger, accepted(), for_review(), for_review())
    (foreign,) = record(ledger, accepted(), workload="other")
    for decision, intent in ((second, "fee"), (first, "fee"), (second, "refund"), (foreign, "fee")):
        ledger.settle(Verdict(decision.decision.id, {"intent": intent}, "ann"), NOON)
    assert ledger.settled("support") == [
        (first, Verdict(first.decision.id, {"intent": "fee"}, "ann")),
        (second, Verdict(second.decision.id, {"intent": "refund"}, "ann")),
    ]


def test_a_verdict_on_an_unknown_decision_is_refused(ledger: Ledger) -> None:
    with pytest.raises(UnknownDecision, match="No decision nope"):
        ledger.settle(Verdict("nope", {}, "ann"), NOON)


# Numbers


def test_the_summary_adds_up(ledger: Ledger) -> None:
    quick = [accepted(seconds=0.01 * n, cost=0.001) for n in range(1, 91)]
    slow = [accepted(tier="frontier", outcome=Outcome.ESCALATED, seconds=0.9 + 0.01 * n, cost=0.02) for n in range(1, 9)]
    people = [for_review(seconds=2.0, cost=0.0) for _ in range(2)]
    record(ledger, *quick, *slow, *people)
    record(ledger, accepted(), workload="other")
    ledger.settle(Verdict(quick[0].id, {"intent": "refund"}, "ann"), NOON)
    ledger.settle(Verdict(quick[1].id, {"intent": "refund"}, "ann"), NOON)
    ledger.settle(Verdict(quick[1].id, {"intent": "fee"}, "bob"), NOON)
    ledger.settle(Verdict(slow[0].id, {"intent": "fee"}, "ann"), NOON)
    ledger.settle(Verdict(slow[0].id, {"intent": "refund"}, "bob"), NOON)
    ledger.settle(Verdict(people[0].id, {"intent": "fee"}, "ann"), NOON)
    summary = ledger.summary("support")
    assert summary.decisions == 100
    assert summary.outcomes == {Outcome.ACCEPTED: 90, Outcome.ESCALATED: 8, Outcome.REVIEW: 2}
    assert (summary.settled, summary.waiting) == (4, 1)
    assert summary.cost == pytest.approx(0.25)
    assert (summary.p50, summary.p99) == (pytest.approx(0.5), 2.0)
    specialist, frontier, person = (summary.tiers[tier] for tier in ("specialist", "frontier", "person"))
    assert (specialist.decisions, specialist.settled, specialist.overturned) == (90, 2, 1)
    assert (frontier.decisions, frontier.settled, frontier.overturned) == (8, 1, 0)
    assert (person.decisions, person.settled, person.overturned) == (2, 1, 0)
    assert specialist.cost == pytest.approx(0.09)


def test_the_summary_looks_back_only_as_far_as_asked(ledger: Ledger) -> None:
    record(ledger, accepted(seconds=9.0), accepted(seconds=1.0))
    summary = ledger.summary("support", since=NOON + timedelta(seconds=1))
    assert (summary.decisions, summary.p50, summary.p99) == (1, 1.0, 1.0)
    nothing = ledger.summary("unheard-of")
    assert (nothing.decisions, nothing.p50, nothing.tiers, nothing.waiting) == (0, None, {}, 0)


# Releases and keys


def test_promotions_and_rollbacks_are_kept_in_order_with_who_and_why(ledger: Ledger) -> None:
    assert (ledger.current_release("support"), ledger.promotions("support")) == (None, [])
    said = [
        Promotion("support", "r1", NOON, "ada", "first"),
        Promotion("support", "r2", NOON + timedelta(hours=1), "bob", "more \u20ac gold"),
        Promotion("support", "r1", NOON + timedelta(hours=2), "ada", "worse on calls", back=True),
    ]
    for promotion, before in zip(said, (None, "r1", "r2"), strict=True):
        ledger.promote(promotion, before, {"accuracy": 0.94, "note": "\0"})
    ledger.promote(Promotion("other", "r9", NOON, "", ""), None, {})
    assert (ledger.current_release("support"), ledger.promotions("support")) == ("r1", said)


def test_of_two_who_move_the_pointer_at_once_one_is_told(ledger: Ledger) -> None:
    refused: list[str] = []

    def move(release: str) -> None:
        try:
            ledger.promote(Promotion("support", release, NOON, release, ""), None, {})
        except PointerMoved as error:
            refused.append(str(error))

    threads = [Thread(target=move, args=(f"r{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(ledger.promotions("support")), len(refused)) == (1, 3)
    assert "somebody else promoted or rolled back" in refused[0]


def test_a_key_works_until_it_is_revoked(ledger: Ledger) -> None:
    ledger.add_key("web", b"\x00digest", NOON)
    assert ledger.key(b"\x00digest").by == "key:web"
    assert ledger.key(b"other") is None
    ledger.revoke_key("web", NOON + timedelta(days=1))
    assert ledger.key(b"\x00digest") is None
    ledger.add_key("web", b"new", NOON + timedelta(days=2))
    assert [(key.name, key.revoked) for key in ledger.list_keys()] == [("web", NOON + timedelta(days=1)), ("web", None)]


def test_a_name_belongs_to_one_key_at_a_time(ledger: Ledger) -> None:
    ledger.add_key("web", b"one", NOON)
    with pytest.raises(KeyRefused, match="web"):
        ledger.add_key("web", b"two", NOON)
    with pytest.raises(KeyRefused, match="batch"):
        ledger.revoke_key("batch", NOON)


def test_what_a_key_may_do_is_kept(ledger: Ledger) -> None:
    ledger.add_key("web", b"one", NOON)
    ledger.add_key("desk", b"two", NOON, "reviewer")
    assert [key.role for key in ledger.list_keys()] == ["caller", "reviewer"]
    assert ledger.key(b"two").role == "reviewer"


@pytest.mark.parametrize("name", ["key:web", "KEY:web", "\uff4bey\uff1aweb", " anonymous", "Rung watch", "rung"])
def test_nobody_is_named_as_programs_are(ledger: Ledger, name: str) -> None:
    with pytest.raises(PersonRefused, match="nobody's name"):
        ledger.people.add(name, "viewer", "kept", NOON)
    ledger.people.add("keynes", "viewer", "kept", NOON)


# Opening


def test_opening_again_finds_everything(ledger: Ledger, ledger_url: str) -> None:
    (written,) = record(ledger, accepted())
    again = open_ledger(ledger_url)
    assert again.find(written.decision.id) == written
    asyncio.run(again.close())


def test_two_programs_may_open_a_new_ledger_at_once(ledger_url: str) -> None:
    opened: list[Ledger] = []
    threads = [Thread(target=lambda: opened.append(open_ledger(ledger_url))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.healthy() for each in opened] == [True, True]
    for each in opened:
        asyncio.run(each.close())


def test_the_migrations_lead_to_the_tables_that_are_used(ledger: Ledger, ledger_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from rung.ledger import schema

    engine = create_engine(ledger_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.tables) == []
        assert context.get_current_revision() == schema.VERSION
        assert {"decisions", "verdicts", "promotions", "keys"} < set(inspect(connection).get_table_names())
    engine.dispose()


def test_keys_from_before_roles_may_ask_and_not_review(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    url = f"sqlite:///{tmp_path}/old.db"
    engine = create_engine(url)
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "rung.ledger:migrations")
        command.upgrade(config, "0004")
        connection.execute(text("INSERT INTO keys (name, digest, at) VALUES ('web', x'01', 0)"))
    engine.dispose()
    ledger = open_ledger(url)
    assert [(key.by, key.role) for key in ledger.list_keys()] == [("key:web", "caller")]
    asyncio.run(ledger.close())


def test_a_ledger_of_a_newer_rung_is_left_alone(ledger: Ledger, ledger_url: str) -> None:
    engine = create_engine(ledger_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerError, match="another version of Rung"):
        open_ledger(ledger_url)
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ledger.db", "Not a ledger's address"),
        ("sqlite://", "neither a SQLite file nor"),
        ("mysql://u@h/d", "neither a SQLite file nor"),
        ("sqlite:////proc/none/ledger.db", "cannot be made"),
        ("postgresql://ann:secret@127.0.0.1:1/none", "Check that the server runs"),
    ],
)
def test_an_address_that_leads_nowhere_is_explained(url: str, says: str) -> None:
    with pytest.raises(LedgerError, match=says) as failure:
        open_ledger(url)
    assert "secret" not in str(failure.value)


def test_a_file_that_is_no_ledger_is_explained(tmp_path: Path) -> None:
    (tmp_path / "photo.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(LedgerError, match="not a database"):
        open_ledger(f"sqlite:///{tmp_path}/photo.db")
