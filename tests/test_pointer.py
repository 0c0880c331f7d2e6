"""Promoting and rolling back move a pointer, with who and why; what runs follows it, and nothing ungated ever answers."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rung.cascade import Cascade, Tier
from rung.core import Answer, Case, Decision
from rung.ledger import Ledger, PointerMoved, Promotion, open_ledger
from rung.models.calibration import Calibration
from rung.models.encoder import Encoder
from rung.release.frozen import Parts, Release, ReleaseError, Ungated, freeze
from rung.release.live import Live, open_live
from rung.release.pointer import NothingBefore, current_release, left_behind, promote, release_at, rollback
from rung.testing import FakeModel
from rung.workload import Workload
from small_workload import write_workload

PARTS = Parts({}, {"specialist": Calibration({}, 0.0)}, 0.5)
GATED = {"gate": {"passed": True}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workload, list[Release]]:
    workload = write_workload(tmp_path_factory.mktemp("pointer"), 6)
    return workload, [freeze(workload, PARTS, str(number), {**GATED, "n": number}, "report") for number in range(3)]


def fresh(folder: Path, name: str = "ledger.db") -> Ledger:
    return open_ledger(f"sqlite:///{folder}/{name}")


steps = st.lists(st.sampled_from([0, 1, 2, "back"]), max_size=12)


@settings(max_examples=40, deadline=None)
@given(before=steps, release=st.integers(0, 2))
def test_a_rollback_undoes_a_promotion_whatever_came_before(
    before: list[int | str], release: int, made: tuple[Workload, list[Release]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    workload, releases = made
    ledger = fresh(tmp_path_factory.mktemp("ledger"))
    for step in before:
        if isinstance(step, int):
            promote(workload, releases[step], ledger, "ada", "try it")
        else:
            try:
                rollback(workload, ledger, "bob", "no")
            except NothingBefore:
                continue
    current = ledger.current_release(workload.name)
    moved = promote(workload, releases[release], ledger, "ada", "try it")
    assert moved == (current != releases[release].id)
    if moved and current:
        assert rollback(workload, ledger, "bob", "worse")[0].id == current == ledger.current_release(workload.name)
    asyncio.run(ledger.close())


@pytest.mark.parametrize("evidence", [{}, {"gate": {"passed": False}}, {"gate": {"passed": "yes"}}, {"gate": None}, {"gate": []}])
def test_what_has_not_passed_its_gate_never_answers(tmp_path: Path, evidence: dict[str, object], minilm: Encoder) -> None:
    workload = write_workload(tmp_path, 6)
    ungated = freeze(workload, PARTS, "inputs", evidence, "report")
    ledger = fresh(tmp_path)
    with pytest.raises(Ungated, match="has no evidence that it passed its gate"):
        promote(workload, ungated, ledger, "ada", "hurry")
    with pytest.raises(Ungated):
        open_live(ungated, ledger, minilm)
    assert ledger.current_release(workload.name) is None


def test_a_rollback_needs_something_to_go_back_to(made: tuple[Workload, list[Release]], tmp_path: Path) -> None:
    workload, releases = made
    ledger = fresh(tmp_path)
    with pytest.raises(NothingBefore, match="no release answered before"):
        rollback(workload, ledger, "bob", "")
    promote(workload, releases[0], ledger, "ada", "first")
    with pytest.raises(NothingBefore, match="no release answered before"):
        rollback(workload, ledger, "bob", "")


def test_a_promotion_in_the_place_of_a_release_that_answers_no_more_moves_nothing(
    made: tuple[Workload, list[Release]], tmp_path: Path
) -> None:
    workload, releases = made
    ledger = fresh(tmp_path)
    promote(workload, releases[0], ledger, "ada", "")
    promote(workload, releases[1], ledger, "bob", "meanwhile")
    with pytest.raises(PointerMoved):
        promote(workload, releases[2], ledger, "ada", "compared with the first", releases[0].id)
    assert ledger.current_release(workload.name) == releases[1].id


def test_a_rollback_passes_over_what_is_gone_and_moves_nothing_where_nothing_is_left(tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 6)
    first, second, third = (freeze(workload, PARTS, str(number), {**GATED, "n": number}, "report") for number in range(3))
    ledger = fresh(tmp_path)
    for release in (first, second, third):
        promote(workload, release, ledger, "ada", "")
    (second.folder / "report.txt").write_text("damaged", encoding="utf-8")
    release, (reason,) = rollback(workload, ledger, "bob", "")
    assert release == first and "report.txt changed after the release was frozen" in reason
    promote(workload, third, ledger, "ada", "")
    assert rollback(workload, ledger, "bob", "")[0] == first
    promote(workload, third, ledger, "ada", "")
    shutil.rmtree(first.folder)
    with pytest.raises(NothingBefore, match=r"is not a release.*\n.*no release answered before the current one that could"):
        rollback(workload, ledger, "bob", "")
    assert ledger.current_release(workload.name) == third.id


def test_a_held_release_does_not_answer_before_somebody_promotes_it(tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 6)
    ledger = fresh(tmp_path)
    with pytest.raises(ReleaseError, match=r"no release was promoted to answer. Run `rung train .* first"):
        current_release(workload, ledger)
    freeze(workload, PARTS, "inputs", GATED, "report")
    with pytest.raises(ReleaseError, match=r"There are 1: `rung promote` one"):
        current_release(workload, ledger)


def test_history_goes_forwards_whatever_the_clocks_of_those_who_promote_say(tmp_path: Path) -> None:
    ledger = fresh(tmp_path)
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    ledger.promote(Promotion("support", "r1", noon, "ada", ""), None, {})
    ledger.promote(Promotion("support", "r2", noon - timedelta(minutes=5), "bob", "a slow clock"), "r1", {})
    found = release_at(ledger.promotions("support"), noon + timedelta(seconds=1))
    assert found is not None and found.release == "r2" == ledger.current_release("support")


def test_the_history_says_what_was_in_production_at_any_time() -> None:
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    history = [Promotion("support", name, noon + timedelta(hours=hour), "ada", "") for hour, name in enumerate("aba")]
    assert release_at(history, noon - timedelta(seconds=1)) is None
    found = [release_at(history, noon + timedelta(hours=hour)) for hour in (0, 0.5, 1, 5)]
    assert [each and each.release for each in found] == ["a", "a", "b", "a"]


def test_what_was_rolled_back_is_known_as_left_behind(made: tuple[Workload, list[Release]], tmp_path: Path) -> None:
    workload, releases = made
    ledger = fresh(tmp_path)
    assert left_behind(workload, releases[0], ledger) is None
    for release in releases[:2]:
        promote(workload, release, ledger, "ada", "")
    rollback(workload, ledger, "bob", "worse on calls")
    left = left_behind(workload, releases[1], ledger)
    assert left is not None and (left.release, left.by, left.why, left.back) == (releases[0].id, "bob", "worse on calls", True)
    assert left_behind(workload, releases[0], ledger) is None


# What runs follows


def answering(name: str, delay: float = 0.0) -> tuple[Cascade, FakeModel]:
    """A cascade whose every answer carries the release's own name."""

    async def answer(case: Case) -> Answer:
        await asyncio.sleep(delay)
        return Answer({"intent": name}, signals={})

    class Slow(FakeModel):
        async def answer(self, case: Case, objections: tuple = ()) -> Answer:  # type: ignore[type-arg]
            assert not self.closed, "a model was asked after it was closed"
            return await answer(case)

    model = Slow(lambda case, objections: Answer({"intent": name}))
    return Cascade(
        (Tier("specialist", model, lambda signals: 1.0),), 0.5, name, lambda fields: fields, lambda case, fields: ()
    ), model


def test_under_load_a_swap_fails_no_case_and_mixes_no_versions(tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 6)
    built = {f"r{number}": answering(f"r{number}", 0.01) for number in range(5)}
    names = list(built)

    async def run() -> tuple[list[Decision], list[bool]]:
        ledger = fresh(tmp_path)
        live = Live(workload, built["r0"][0], ledger, lambda name: (workload, built[name][0]))
        following = asyncio.create_task(live.follow(pause=0.001))
        asked = [asyncio.create_task(live.decide(Case(f"case {number}"))) for number in range(20)]
        for before, name in zip([None, *names[1:]], names[1:], strict=False):
            ledger.promote(Promotion(workload.name, name, datetime.now(UTC), "ada", ""), before, {})
            while live.release != name:
                asked.append(asyncio.create_task(live.decide(Case("in between"))))
                await asyncio.sleep(0.002)
            asked += [asyncio.create_task(live.decide(Case(f"case {number}"))) for number in range(20)]
        decisions = list(await asyncio.gather(*asked))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        closed = [model.closed for _, model in built.values()]
        await live.close()
        await ledger.close()
        return decisions, closed

    decisions, closed = asyncio.run(run())
    assert all(each.answer == {"intent": each.release} for each in decisions)
    counted = Counter(each.release for each in decisions)
    assert counted.keys() == built.keys() and min(counted.values()) >= 20
    assert closed == [True, True, True, True, False]


def test_what_is_rolled_back_while_it_is_opened_never_answers(tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 6)
    built = {name: answering(name) for name in ("r0", "r1")}

    async def run() -> list[str]:
        ledger = fresh(tmp_path)
        ledger.promote(Promotion(workload.name, "r0", datetime.now(UTC), "ada", ""), None, {})

        def open_slowly(name: str) -> tuple[Workload, Cascade]:
            ledger.promote(Promotion(workload.name, "r0", datetime.now(UTC), "bob", "", back=True), "r1", {})
            return workload, built[name][0]

        live = Live(workload, built["r0"][0], ledger, open_slowly)
        following = asyncio.create_task(live.follow(pause=0.002))
        ledger.promote(Promotion(workload.name, "r1", datetime.now(UTC), "ada", ""), "r0", {})
        await until(lambda: built["r1"][1].closed)
        release = (await live.decide(Case("x"))).release
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await live.close()
        await ledger.close()
        return [release]

    assert asyncio.run(run()) == ["r0"]


@pytest.fixture
def live_workload(small: tuple[Workload, Release], tmp_path: Path) -> tuple[Workload, list[Release]]:
    """The session's release, and one that differs in its acceptance level alone, in a folder of their own."""
    workload, release = small
    shutil.copytree(workload.folder, tmp_path / "copy")
    folder = tmp_path / "copy" / ".rung" / "releases" / release.id
    again = replace(workload, file=tmp_path / "copy" / workload.file.name)
    other = tmp_path / "draft"
    shutil.copytree(folder, other)
    cascade = json.loads((other / "cascade.json").read_text())
    from rung.release import frozen

    (other / "cascade.json").write_text(json.dumps({**cascade, "level": 2.0}))  # answers nothing
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**manifest, "files": frozen._digests(other)}))
    name = frozen._identity(json.loads((other / "manifest.json").read_text()))
    other.rename(folder.parent / name)
    return again, [frozen.load_release(folder.parent / each) for each in (release.id, name)]


async def until(reached: object, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not reached():  # type: ignore[operator]
            await asyncio.sleep(0.01)


def test_what_runs_follows_the_pointer_and_survives_a_release_that_cannot_be_opened(
    live_workload: tuple[Workload, list[Release]], tmp_path: Path, minilm: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    workload, (first, second) = live_workload
    case = "Hello, will it rain on Monday in Oslo. we plan a picnic. Thanks"

    async def run() -> list[str]:
        ledger = fresh(tmp_path, "followed.db")
        promote(workload, first, ledger, "ada", "")
        live = open_live(first, ledger, minilm)
        following = asyncio.create_task(live.follow(pause=0.02))
        found = [(await live.decide(Case(case))).tier]
        promote(workload, second, ledger, "ada", "stricter")
        await until(lambda: live.release == second.id)
        found.append((await live.decide(Case(case))).tier)
        rollback(workload, ledger, "bob", "too strict")
        await until(lambda: live.release == first.id)
        (second.folder / "cascade.json").write_text("{}")
        ledger.promote(Promotion(workload.name, second.id, datetime.now(UTC), "eve", ""), first.id, {})
        await until(lambda: "stays at work" in caplog.text)
        decision = await live.decide(Case(case))
        found += [decision.tier, decision.release]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await live.close()
        await ledger.close()
        return found

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(run()) == ["specialist", "person", "specialist", first.id]
    assert "cascade.json changed after the release was frozen" in caplog.text
