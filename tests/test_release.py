"""A release is what was evaluated, to the byte, whatever happens to the files beside it."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import re
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from rung.cascade import Cascade, decide
from rung.cascade.promise import Threshold
from rung.core import Case, Decision, Outcome
from rung.ledger import open_ledger
from rung.models.calibration import Calibration
from rung.models.encoder import Encoder
from rung.release.frozen import Parts, Release, ReleaseError, find_release, freeze, inputs_of, load_release, made_at, source_files
from rung.release.live import open_live
from rung.release.opening import asked_schema, close_models, open_release, open_tiers
from rung.release.pointer import list_releases
from rung.testing import FakeModel
from rung.workload import Workload, load
from small_workload import messages, write_gold, write_workload

CASE = Case("I want to be refunded for the lamp, the price was lower last week. Order ab-1234")
ANSWER = {"intent": "refund", "order": "AB1234", "reply": "About your refund, order AB1234."}
PARTS = Parts({}, {"specialist": Calibration({}, 0.0)}, 0.5)  # enough to be frozen, where nothing needs to answer

Small = tuple[Workload, Release]


def decided(cascade: Cascade, case: Case = CASE) -> Decision:
    async def run() -> Decision:
        try:
            return await decide(case, cascade)
        finally:
            await close_models(cascade)

    return asyncio.run(run())


@pytest.fixture
def copied(small: Small, tmp_path: Path) -> Small:
    """The session's workload and release in a folder of their own, to be damaged."""
    workload, release = small
    shutil.copytree(workload.folder, tmp_path / "copy")
    folder = tmp_path / "copy" / ".rung" / "releases" / release.id
    return load(tmp_path / "copy"), load_release(folder)


def test_a_release_holds_what_it_was_made_from_and_its_evidence(small: Small, minilm: Encoder) -> None:
    workload, release = small
    assert release.folder == workload.state / "releases" / release.id
    assert release.inputs == inputs_of(workload, minilm)
    assert release.report == (release.folder / "report.txt").read_text(encoding="utf-8").rstrip("\n")
    assert (release.evidence["cases"], release.evidence["gold"]["cases"]) == (71, 360)
    assert Threshold(**release.evidence["threshold"]).level > 0
    frozen = {path.relative_to(release.folder).as_posix() for path in release.folder.rglob("*") if path.is_file()}
    assert frozen == {
        "workload/workload.yaml",
        *(f"workload/replies/{intent}.md" for intent in ("refund", "login", "weather")),
        "tiers/specialist/specialist.safetensors",
        "tiers/specialist/specialist.json",
        "cascade.json",
        "evidence.json",
        "learnt.json",
        "seen.json",
        "lineage.json",
        "README.md",
        "report.txt",
        "manifest.json",
    }


def test_an_opened_release_decides(small: Small, minilm: Encoder) -> None:
    workload, cascade = open_release(small[1], minilm)
    assert (workload.name, cascade.release) == ("small", small[1].id)
    decision = decided(cascade)
    assert (decision.outcome, decision.answer, decision.tier) == (Outcome.ACCEPTED, ANSWER, "specialist")
    assert decision.release == small[1].id


def test_it_works_from_its_own_files_when_those_beside_it_change_or_go(copied: Small, minilm: Encoder) -> None:
    workload, release = copied
    (workload.folder / "replies" / "refund.md").write_text("Changed {order}", encoding="utf-8")
    assert decided(open_release(release, minilm)[1]).answer == ANSWER
    for path in workload.folder.iterdir():
        if path != workload.state:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert decided(open_release(load_release(release.folder), minilm)[1]).answer == ANSWER


def flip(file: Path) -> None:
    """Another first bit."""
    data = file.read_bytes()
    file.write_bytes(bytes([data[0] ^ 1]) + data[1:])


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: flip(folder / "tiers" / "specialist" / "specialist.safetensors"),
        lambda folder: (folder / "workload" / "replies" / "login.md").unlink(),
        lambda folder: (folder / "workload" / "extra.py").write_text("x = 1"),
        lambda folder: (folder / "cascade.json").write_text((folder / "cascade.json").read_text() + " "),
        lambda folder: (folder / "cascade.json").rename(folder / "renamed.json"),
        lambda folder: (folder / "report.txt").write_text("all is well"),
        lambda folder: (folder / "evidence.json").write_text("{}"),
        lambda folder: (folder / "manifest.json").write_text("{"),
        lambda folder: (folder / "manifest.json").write_text("[]"),
        lambda folder: (folder / "manifest.json").write_text('{"format": 1, "files": []}'),
        lambda folder: (folder / "manifest.json").write_bytes(b"\xff"),
        lambda folder: (folder / "manifest.json").unlink(),
    ],
)
def test_any_change_is_found_and_such_a_release_is_not_reused(change: object, copied: Small) -> None:
    workload, release = copied
    assert find_release(workload, release.inputs) == release
    assert callable(change)
    change(release.folder)
    with pytest.raises(ReleaseError, match="`rung train`") as refused:
        load_release(release.folder)
    assert str(release.folder) in str(refused.value)
    assert find_release(workload, release.inputs) is None


def test_the_error_names_what_changed(copied: Small) -> None:
    _, release = copied
    (release.folder / "workload" / "extra.py").touch()
    (release.folder / "report.txt").unlink()
    with pytest.raises(ReleaseError, match=r"report\.txt, workload/extra\.py changed after the release was frozen"):
        load_release(release.folder)


def test_a_manifest_made_to_fit_does_not_fit_the_name(copied: Small) -> None:
    _, release = copied
    manifest = json.loads((release.folder / "manifest.json").read_text(encoding="utf-8"))
    (release.folder / "manifest.json").write_text(json.dumps({**manifest, "inputs": "other"}), encoding="utf-8")
    with pytest.raises(ReleaseError, match=r"manifest\.json changed"):
        load_release(release.folder)


def rename_to_fit(folder: Path) -> Path:
    """A manifest that lists what lies there now, and the folder's name made to fit, as whoever means harm would do."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    listed = [path for path in paths if "__pycache__" not in path.parts]
    manifest["files"] = {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in listed}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
    hashed = {key: value for key, value in manifest.items() if key != "made"}
    return folder.rename(folder.parent / sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest())


@pytest.mark.parametrize(
    "name",
    [
        "tiers/specialist/model.pkl",
        "tiers/specialist/specialist.PT",
        "tiers/model.joblib",
        "workload/model.pkl",
        "cascade.pkl",
        "more/cascade.json",
        "tiers/specialist/__pycache__/more.json",
        "workload/__pycache__/model.pkl",
    ],
)
def test_a_foreign_part_is_refused_even_with_a_manifest_and_a_name_made_to_fit(name: str, copied: Small) -> None:
    folder = copied[1].folder
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(pickle.dumps({"harmless": 1}))
    with pytest.raises(ReleaseError, match=f"{re.escape(name)} cannot be part of a release"):
        load_release(rename_to_fit(folder))


def test_it_is_the_kind_of_file_that_is_refused_and_not_the_made_up_manifest(copied: Small) -> None:
    (copied[1].folder / "tiers" / "specialist" / "more.json").write_text("{}", encoding="utf-8")
    folder = rename_to_fit(copied[1].folder)
    assert load_release(folder).folder == folder


def test_a_link_out_of_a_release_is_refused(copied: Small, tmp_path: Path) -> None:
    folder = copied[1].folder
    (folder / "tiers" / "specialist").rename(tmp_path / "elsewhere")
    (folder / "tiers" / "specialist").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReleaseError, match="tiers/specialist cannot be part of a release"):
        load_release(rename_to_fit(folder))


def test_what_python_leaves_beside_a_check_file_is_no_foreign_part(copied: Small) -> None:
    (copied[1].folder / "workload" / "__pycache__").mkdir()
    (copied[1].folder / "workload" / "__pycache__" / "checks.cpython-311.pyc").write_bytes(b"\0")
    assert load_release(copied[1].folder) == copied[1]


def test_a_damaged_release_names_every_way_on(copied: Small) -> None:
    (copied[1].folder / "report.txt").write_text("all is well", encoding="utf-8")
    with pytest.raises(ReleaseError, match=r"Put the folder back as it was, .*`rung rollback`, .*`rung train`\."):
        load_release(copied[1].folder)


def test_a_folder_that_is_no_release_and_another_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="is not a release"):
        load_release(tmp_path / "none")
    (tmp_path / "manifest.json").write_text('{"format": 99}', encoding="utf-8")
    with pytest.raises(ReleaseError, match=r"has format 99, this Rung reads \d+"):
        load_release(tmp_path)


def test_whatever_decides_a_case_changes_the_inputs(tmp_path: Path, minilm: Encoder) -> None:
    seen: set[str] = set()

    def note(workload: Workload) -> None:
        found = inputs_of(workload, minilm)
        assert found == inputs_of(load(workload.folder), minilm)
        assert found not in seen
        seen.add(found)

    note(write_workload(tmp_path, 6))
    (tmp_path / "replies" / "login.md").write_text("Other words.", encoding="utf-8")
    note(load(tmp_path))
    (tmp_path / "endpoints.yaml").write_text("{}", encoding="utf-8")
    note(load(tmp_path))
    (tmp_path / "checks.py").write_text("def fine(case, answer): ...\n", encoding="utf-8")
    checked = write_workload(tmp_path, 6, checks=["checks.py:fine"])
    note(checked)
    (tmp_path / "checks.py").write_text("def fine(case, answer): return None\n", encoding="utf-8")
    note(checked)
    write_gold(tmp_path, messages(7))
    note(checked)
    other = replace(minilm, name="another")
    assert inputs_of(checked, other) not in seen
    assert set(source_files(checked)) == {
        "workload.yaml",
        "endpoints.yaml",
        "checks.py",
        *(f"replies/{intent}.md" for intent in ("refund", "login", "weather")),
    }


def test_the_hash_changes_with_every_part_and_with_nothing_else(tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 6)
    first = freeze(workload, PARTS, "inputs", {"n": 1}, "report")
    assert freeze(workload, PARTS, "inputs", {"n": 1}, "report") == first
    others = [
        freeze(workload, replace(PARTS, level=0.6), "inputs", {"n": 1}, "report"),
        freeze(workload, replace(PARTS, calibrations={"specialist": Calibration({}, 0.1)}), "inputs", {"n": 1}, "report"),
        freeze(workload, PARTS, "other", {"n": 1}, "report"),
        freeze(workload, PARTS, "inputs", {"n": 2}, "report"),
        freeze(workload, PARTS, "inputs", {"n": 1}, "another"),
    ]
    (tmp_path / "replies" / "login.md").write_text("Other words.", encoding="utf-8")
    others.append(freeze(workload, PARTS, "inputs", {"n": 1}, "report"))
    assert len({first.id, *(other.id for other in others)}) == 1 + len(others)
    assert all(len(release.id) == 64 for release in others)


def test_freezing_shows_all_or_nothing(tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 6)
    with pytest.raises(TypeError):
        freeze(workload, PARTS, "inputs", {"not JSON": object()}, "report")
    assert list((workload.state / "releases").iterdir()) == []
    assert find_release(workload, "inputs") is None
    release = freeze(workload, PARTS, "inputs", {}, "report")
    assert [path.name for path in (workload.state / "releases").iterdir()] == [release.id]


def test_freezing_the_same_again_repairs_what_was_damaged(tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 6)
    release = freeze(workload, PARTS, "inputs", {}, "report")
    (release.folder / "report.txt").write_text("damaged", encoding="utf-8")
    assert freeze(workload, PARTS, "inputs", {}, "report") == release
    assert [path.name for path in (workload.state / "releases").iterdir()] == [release.id]


def test_the_newest_release_of_the_same_inputs_is_found(tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 6)
    assert find_release(workload, "inputs") is None
    freeze(workload, PARTS, "inputs", {"n": 1}, "report")
    newest = freeze(workload, PARTS, "inputs", {"n": 2}, "report")
    freeze(workload, PARTS, "other", {"n": 3}, "report")
    (workload.state / "releases" / "abandoned").mkdir()
    assert find_release(workload, "inputs") == newest
    assert find_release(workload, "unknown") is None


def test_a_copy_keeps_when_each_release_was_made(tmp_path: Path) -> None:
    workload = write_workload(tmp_path / "here", 6)
    made = [freeze(workload, PARTS, "inputs", {"n": number}, "report") for number in range(4)]
    names = [release.id for release in reversed(made)]
    copied = tmp_path / "there"
    shutil.copytree(workload.folder, copied)
    for at, name in enumerate(names):  # as if each had been copied in the order that is the wrong one
        os.utime(copied / ".rung" / "releases" / name / "manifest.json", (at, at))
    there = load(copied)
    assert list_releases(there) == list_releases(workload) == names
    found = find_release(there, "inputs")
    assert found is not None and found.id == names[0]
    assert [made_at(copied / ".rung" / "releases" / each.id) for each in made] == [made_at(each.folder) for each in made]


def test_what_answers_is_recorded_before_it_is_returned(small: Small, minilm: Encoder, tmp_path: Path) -> None:
    async def run() -> None:
        ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
        live = open_live(small[1], ledger, minilm)
        decision = await live.decide(CASE)
        assert (decision.answer, live.release) == (ANSWER, small[1].id)
        found = ledger.find(CASE.id)
        assert found is not None and found.decision.answer == ANSWER
        await live.close()
        await ledger.close()

    asyncio.run(run())


def test_an_endpoint_is_shown_the_answers_own_schema_and_no_more(tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 6)
    assert asked_schema(workload) == {
        "type": "object",
        "properties": {
            "intent": {"enum": ["refund", "login", "weather"]},
            "order": {"type": ["string", "null"], "pattern": "^AB[0-9]{4}$"},
        },
        "required": ["intent", "order"],
        "additionalProperties": False,
    }


def test_tiers_are_opened_in_the_workloads_order(tmp_path: Path) -> None:
    local = {"url": "http://localhost:1/v1", "size": "tiny", "weights": "open", "boundary": "inside", "price": {}}
    tiers = ["specialist", {"endpoint": "slm", "model": "phi", "timeout": "2s"}]
    workload = write_workload(tmp_path, 6, {"slm": local}, tiers=tiers)
    specialist = FakeModel(lambda case, objections: None)
    opened = open_tiers(workload, {"specialist": specialist})
    assert [(name, timeout, repairs) for name, _, timeout, repairs in opened] == [("specialist", 20, False), ("slm/phi", 2, True)]
    assert opened[0][1] is specialist


def test_a_release_carries_a_model_card_and_its_lineage(small: Small) -> None:
    workload, release = small
    card = (release.folder / "README.md").read_text(encoding="utf-8")
    _, metadata, text = card.split("---\n", 2)
    known = yaml.safe_load(metadata)
    assert (known["library_name"], known["model-index"][0]["name"]) == ("rung", "small")
    figures = {each["name"]: each["value"] for each in known["model-index"][0]["results"][0]["metrics"]}
    assert figures["answered without a person"] == pytest.approx(
        release.evidence["answered"] / release.evidence["cases"], abs=1e-6
    )
    assert (
        workload.task in text
        and release.report in text
        and "at most 10 % are wrong, with 90 % confidence" in " ".join(text.split())
    )
    lineage = json.loads((release.folder / "lineage.json").read_text(encoding="utf-8"))
    assert lineage["gold"] == release.evidence["gold"] and lineage["parent"] is None
    assert lineage["tiers"][0]["recipe"] == "heads" and {"numpy", "onnxruntime"} <= lineage["libraries"].keys()
