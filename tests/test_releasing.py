"""`rung promote`, `rollback` and `release`: what answers, what did, who said so, and what differs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from commands import WEATHER, Caller, run_rung
from rung.evaluation import GateError
from rung.gold import digest_of, read_gold
from rung.models.calibration import Calibration
from rung.models.encoder import Encoder
from rung.release.changes import changed_parts
from rung.release.frozen import Parts, Release, freeze, load_release, seen_by
from rung.release.pointer import ledger_of, promote
from rung.workflows import promote_gated, train
from rung.workflows.difference import unseen
from rung.workload import Workload, load
from test_release import rename_to_fit

OUTDOORS = """
def calm(case, answer):
    return "ask whether they mean it" if "picnic" in case.text or "umbrella" in case.text else None
"""


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def two(small: tuple[Workload, Release], tmp_path_factory: pytest.TempPathFactory, minilm: Encoder) -> tuple[Path, str, str]:
    """A workload's folder with two releases: the second has another reply and a check, and is the one that answers."""
    workload, _ = small
    folder = tmp_path_factory.mktemp("two") / "copy"
    shutil.copytree(workload.folder, folder)
    first = train(load(folder), encoder=minilm, by="ada")
    (folder / "replies" / "weather.md").write_text("Look out of the window.\n", encoding="utf-8")
    (folder / "checks.py").write_text(OUTDOORS, encoding="utf-8")
    file = folder / "workload.yaml"
    file.write_text(file.read_text(encoding="utf-8") + 'checks: ["checks.py:calm"]\n', encoding="utf-8")
    second = train(load(folder), encoder=minilm, by="bob")
    return folder, first.id, second.id


@pytest.fixture
def folder(two: tuple[Path, str, str], tmp_path: Path) -> Path:
    shutil.copytree(two[0], tmp_path / "copy")
    return tmp_path / "copy"


def test_rolling_back_and_promoting_again_is_kept_with_who_and_why(
    two: tuple[Path, str, str], folder: Path, call: Caller
) -> None:
    _, first, second = two
    assert call("rollback", folder, "--why", "worse on calls").out == f"small: release {first[:12]} answers again\n"
    assert call("promote", folder, second[:6], "--why", "calls were fine").status == 0
    history = call("release", "history", folder, "--json").document
    assert [(each["release"], each["rollback"], each["why"]) for each in history][1:] == [
        (second, False, "made from the workload's files as they are"),
        (first, True, "worse on calls"),
        (second, False, "calls were fine"),
    ]
    assert [each["by"] for each in history[:2]] == ["embedded", "bob"] and history[3]["by"]
    told = call("release", "history", folder).out
    assert "rolled back to" in told and "calls were fine" in told
    assert (
        call("release", "history", folder, "--at", "2020-01-01").out
        == "small: nothing was in production at 2020-01-01 00:00 UTC\n"
    )


def test_what_was_rolled_back_does_not_come_back_by_itself(two: tuple[Path, str, str], folder: Path, call: Caller) -> None:
    _, first, second = two
    call("rollback", folder, "--why", "worse on calls")
    told = call("train", folder)
    assert f"Release {second[:12]}" in told.out and "not promoted" in told.out and "rung promote" in told.err
    assert f"rolled back to {first[:12]} on " in told.out and "worse on calls" in told.out
    (folder / "samples.jsonl").write_text(f'{{"input": "{WEATHER}"}}\n', encoding="utf-8")
    played = run_rung("up", folder)
    assert played.status == 0
    assert f"release {second[:12]}, made from the files as they are, does not answer" in played.out
    assert f"rolled back to {first[:12]}" in played.out and "worse on calls" in played.out
    assert call("report", folder, "--json").document["cases"] == 1
    assert ledger_of(load(folder)).current_release("small") == first


def test_a_broken_file_and_missing_gold_are_no_reason_not_to_go_back(
    two: tuple[Path, str, str], folder: Path, call: Caller
) -> None:
    (folder / "gold.jsonl").unlink()
    (folder / "workload.yaml").write_text("workload: small\nprommise: 3\n", encoding="utf-8")
    assert call("rollback", folder, "--why", "worse").out == f"small: release {two[1][:12]} answers again\n"
    assert call("release", "history", folder).status == call("release", "list", folder).status == 0
    assert call("promote", folder, two[2][:8], "--why", "it was not that").status == 0
    assert "no release was tried yet" in call("release", "trial", folder).out
    assert "no release is being tried" in call("release", "stop", folder, "--why", "hurry").err
    assert call("keys", "list", folder).status == 0


def test_a_release_that_cannot_be_opened_is_not_promoted(folder: Path, two: tuple[Path, str, str], call: Caller) -> None:
    workload = load(folder)
    current = load_release(workload.state / "releases" / two[2])
    (folder / "checks.py").write_text('raise RuntimeError("no such list here")\n', encoding="utf-8")
    made = json.loads((current.folder / "cascade.json").read_text(encoding="utf-8"))
    parts = Parts({}, {name: Calibration(**each) for name, each in made["calibrations"].items()}, made["level"])
    broken = freeze(load(folder), parts, "other", current.evidence, "report")
    refused = call("promote", folder, broken.id[:12], "--why", "it is intact")
    assert refused.status == 2 and ledger_of(workload).current_release("small") == current.id
    assert "specialist" in refused.err
    shutil.copytree(current.folder / "tiers", broken.folder / "tiers")
    broken = load_release(rename_to_fit(broken.folder))
    refused = call("promote", folder, broken.id[:12], "--why", "it is intact")
    assert refused.status == 2 and "checks.py, line 1: cannot be imported: RuntimeError: no such list here" in refused.err
    assert ledger_of(workload).current_release("small") == current.id


def test_a_release_is_promoted_only_where_it_belongs_and_instead_of_what_was_seen(
    folder: Path, two: tuple[Path, str, str], call: Caller
) -> None:
    _, first, second = two
    for seen in (first[:12], "nothing"):
        refused = call("promote", folder, first, "--why", "", "--instead-of", seen)
        assert refused.status == 1 and "small: another release answers by now" in refused.err
    other = folder / "other.yaml"
    other.write_text(
        (folder / "workload.yaml").read_text(encoding="utf-8").replace("workload: small", "workload: other"), "utf-8"
    )
    refused = call("promote", other, first, "--why", "")
    assert refused.status == 2 and f"Release {first[:12]} is of workload small, not of other" in refused.err
    assert call("promote", folder, first, "--why", "", "--instead-of", second[:12], "--by", "ada").status == 0
    last = ledger_of(load(folder)).promotions("small")[-1]
    assert (last.release, last.by) == (first, "ada")


def test_gold_is_asked_for_only_where_the_release_must_be_compared(folder: Path, minilm: Encoder, call: Caller) -> None:
    file = folder / "workload.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "limits: {dropped: 0.15}\n", encoding="utf-8")
    held = train(load(folder), encoder=minilm, hold=True)
    call("rollback", folder, "--why", "now it would be beside another one")
    (folder / "gold.jsonl").unlink()
    refused = call("promote", folder, held.id, "--why", "")
    assert refused.status == 2 and "gold.jsonl" in refused.err and ".rung" not in refused.err


def test_what_answers_now_may_be_gone_and_another_one_is_promoted_all_the_same(
    two: tuple[Path, str, str], folder: Path, minilm: Encoder
) -> None:
    file = folder / "workload.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "limits: {dropped: 0.15}\n", encoding="utf-8")
    shutil.rmtree(folder / ".rung" / "releases" / two[2])
    release = train(load(folder), encoder=minilm)
    last = ledger_of(load(folder)).promotions("small")[-1]
    assert last.release == release.id and "not compared: " in last.why and release.evidence["gate"]["drop"] is None


def test_training_again_does_not_promote_what_was_held_and_is_worse(folder: Path, minilm: Encoder) -> None:
    file = folder / "workload.yaml"
    plain = (folder / "checks.py").read_text(encoding="utf-8")
    file.write_text(file.read_text(encoding="utf-8") + "limits: {dropped: 0.15}\n", encoding="utf-8")
    train(load(folder), encoder=minilm, hold=True)
    (folder / "checks.py").write_text("def calm(case, answer):\n    return None\n", encoding="utf-8")
    better = train(load(folder), encoder=minilm)
    (folder / "checks.py").write_text(plain, encoding="utf-8")
    with pytest.raises(GateError, match="this release is not promoted: beside release"):
        train(load(folder), encoder=minilm)
    assert ledger_of(load(folder)).current_release("small") == better.id


def test_releases_are_listed_with_what_they_answer(two: tuple[Path, str, str], folder: Path, call: Caller) -> None:
    _, first, second = two
    rows = {row["release"]: row for row in call("release", "list", folder, "--json").document}
    assert rows[second]["current"] and not rows[first]["current"] and rows[first]["gated"]
    (folder / ".rung" / "releases" / first / "report.txt").write_text("better", encoding="utf-8")
    told = call("release", "list", folder).out
    table, _, below = told.partition("\n\n")
    assert "in production" in table and [line.endswith("damaged") for line in table.splitlines()].count(True) == 1
    assert first in below and "report.txt changed after the release was frozen" in below


def test_a_difference_shows_files_and_the_cases_that_flip(two: tuple[Path, str, str], folder: Path, call: Caller) -> None:
    _, first, second = two
    document = call("release", "diff", folder, first[:8], "current", "--json").document
    assert (document["before"], document["after"]) == (first, second)
    assert "+Look out of the window." in document["files"]["replies/weather.md"]
    assert document["files"].keys() == {"checks.py", "replies/weather.md", "workload.yaml"}
    kinds = {flip["kind"] for flip in document["flips"]}
    assert "left to a person" in kinds and document["cases"] == 71
    told = call("release", "diff", folder, first[:8], second[:8]).out
    assert "+Look out of the window." in told and "Of 71 test cases" in told and "left to a person" in told
    same = call("release", "diff", folder, first[:8], first[:8]).out
    assert "Nothing differs that decides a case." in same and "0 are decided differently: none" in same


def test_a_changed_calibration_is_told_in_a_few_numbers(folder: Path, two: tuple[Path, str, str]) -> None:
    before = load_release(load(folder).state / "releases" / two[2])
    made = json.loads((before.folder / "cascade.json").read_text(encoding="utf-8"))
    weights = {"joint": (1.72837, 2.3, 2.0), "weakest": (-0.5, 2.6, 2.1)}
    told: list[str] = []
    for bias in (1.23456, 1.23457):
        parts = Parts({}, {"specialist": Calibration(weights, bias)}, made["level"])
        pair = changed_parts(before, freeze(load(folder), parts, "other", before.evidence, "report"))["calibration of specialist"]
        told.append(pair[1])
    assert all(re.fullmatch(r"[0-9a-f]{12}, bias 1\.23, joint 1\.73, weakest -0\.5", each) for each in told)
    assert told[0] != told[1]


def test_a_release_that_drops_too_much_is_not_promoted_and_a_better_one_is(folder: Path, minilm: Encoder) -> None:
    file = folder / "workload.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "limits: {dropped: 0.15}\n", encoding="utf-8")
    (folder / "checks.py").write_text(
        'def calm(case, answer):\n    return answer["intent"] == "weather" and "no" or None\n', "utf-8"
    )
    with pytest.raises(GateError, match=r"is refused:\n  beside release [0-9a-f]{12}, which answers now, 0 of 71 cases"):
        train(load(folder), encoder=minilm)
    (folder / "checks.py").write_text("def calm(case, answer):\n    return None\n", encoding="utf-8")
    release = train(load(folder), encoder=minilm, hold=True)
    assert release.evidence["gate"]["drop"]["lost"] == 0 < release.evidence["gate"]["drop"]["gained"]
    ledger = ledger_of(load(folder))
    assert ledger.current_release("small") != release.id
    _, moved = promote_gated(load(folder), release.id[:10], "ada", "answers more")
    assert moved and ledger.current_release("small") == release.id


def test_a_held_release_is_put_beside_what_answers_when_it_is_promoted(
    two: tuple[Path, str, str], folder: Path, minilm: Encoder
) -> None:
    file = folder / "workload.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "limits: {dropped: 0.15}\n", encoding="utf-8")
    held = train(load(folder), encoder=minilm, hold=True)  # as good as what answers now, and worse than what will
    workload, ledger = load(folder), ledger_of(load(folder))
    promote(workload, load_release(workload.state / "releases" / two[1]), ledger, "ada", "it was better")
    with pytest.raises(GateError, match="this release is not promoted: beside release"):
        promote_gated(workload, held.id[:10], "bob", "")
    assert ledger.current_release("small") == two[1]


def test_no_case_that_a_release_was_made_from_compares_it(two: tuple[Path, str, str], folder: Path) -> None:
    workload = load(folder)
    first, second = (load_release(workload.state / "releases" / name) for name in two[1:])
    cases = read_gold(workload).examples
    kept = unseen(cases, first, second)
    assert len(kept) == 72 and len(unseen(kept, first)) == 72
    assert not {digest_of(one.case.text) for one in kept} & seen_by(first)
