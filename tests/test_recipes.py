"""Every recipe that gives a specialist an encoder of its own, on a gold set small enough to learn in seconds."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rung import train as train_release
from rung.gold import Example, GoldError, digest_of, read_gold, read_texts
from rung.models.encoder import Encoder, read_weights
from rung.models.graph import count_layers
from rung.release.frozen import learnt_by
from rung.release.opening import open_specialist
from rung.testing import FakeEndpoint, Reply, check_recipe
from rung.training.course import MOST
from rung.training.heads import Trained
from rung.training.lessons import Lessons, hold_out, prepare, replay
from rung.training.recipes import RECIPES, count_windows
from rung.workflows import evaluate_release, specialists
from rung.workflows.judging import open_study
from rung.workflows.lineage import Origin, answer_digest
from rung.workflows.progress import silent
from rung.workflows.rehearsal import EndpointSilent
from rung.workflows.specialists import RecipeError, train_specialists
from rung.workload import SpecialistTier, Workload, WorkloadError
from served import declared, serving
from small_workload import INTENTS, messages, write_gold, write_workload

TEXTS = [
    "please give me my money back for the lamp, AB 1234",
    "the app locked me out",
    "will it snow?",
    "",
    "x" * 3_000,
    "\ud800 hi",
]
OPTIONS: dict[str, dict[str, Any]] = {"distil": {"layers": 2}, "prune": {"keep": 0.4}, "heads": {"precision": "int4"}}

TRAIN = """
import sys
from rung.gold import read_gold
from rung.models.encoder import open_encoder
from rung.workflows.specialists import train_specialists
from rung.workload import load

workload = load(sys.argv[1])
train_specialists(workload, read_gold(workload).examples, open_encoder())
"""
SERVE = """
import asyncio, sys
from pathlib import Path
import rung.gateway
from rung.cascade import decide
from rung.core import Case
from rung.models.encoder import open_encoder
from rung.release.frozen import load_release
from rung.release.opening import open_release

_, cascade = open_release(load_release(Path(sys.argv[1])), open_encoder())
decision = asyncio.run(decide(Case("my password does not work for my profile"), cascade))
print(decision.attempts[0].answer.fields["intent"], "torch" in sys.modules)
"""


def small(folder: Path, recipe: str, cases: int = 36, **options: Any) -> tuple[Workload, list[Example]]:
    """Three intents, an order number by pattern, and a tier of this recipe."""
    tier = {"specialist": recipe, **OPTIONS.get(recipe, {}), **options}
    workload = write_workload(folder, cases, tiers=[tier])
    return workload, list(read_gold(workload).examples)


def train(folder: Path, recipe: str, encoder: Encoder, **options: Any) -> Trained:
    workload, examples = small(folder, recipe, **options)
    return train_specialists(workload, examples, encoder)[workload.tiers[0].name]


@pytest.mark.parametrize("recipe", ["heads", "static", "finetune", "lora", "distil", "prune"])
def test_every_recipe_holds_what_recipes_promise(recipe: str, minilm: Encoder, tmp_path: Path) -> None:
    folders = iter([tmp_path / "one", tmp_path / "two"])
    fields = small(tmp_path / "fields", recipe)[0].fields
    train(tmp_path / "foreign", "heads", minilm, precision="int8").specialist.save(tmp_path / "other")
    check_recipe(
        train=lambda: train(next(folders), recipe, minilm).specialist,
        load=lambda folder: open_specialist(
            SpecialistTier(recipe=recipe),  # type: ignore[arg-type]
            folder,
            minilm,
            fields if folder.name != "other" else fields[1:],
        ),
        foreign=tmp_path / "other",
        folder=tmp_path / "kept",
        texts=TEXTS,
    )


def test_what_the_encoder_learnt_from_does_not_rehearse(minilm: Encoder, tmp_path: Path) -> None:
    workload, examples = small(tmp_path, "finetune")
    held = hold_out([example.case.text for example in examples])
    trained = train_specialists(workload, examples, minilm)["finetune"]
    assert list(trained.rehearsal) == np.flatnonzero(held).tolist()


def test_cases_stay_on_their_side_when_gold_grows() -> None:
    texts = [f"text {number}" for number in range(3_000)]
    few, many = hold_out(texts[:300]), hold_out(texts)
    assert 0.25 < few.mean() < 0.6 and 0.08 < many.mean() < 0.16
    assert not (many[:300] & ~few).any()  # none that was learnt from is held later
    assert hold_out(["one", "two"]).sum() == 1


def test_distilled_and_pruned_encoders_are_smaller(minilm: Encoder, tmp_path: Path) -> None:
    workload, examples = small(tmp_path, "distil", layers=2)
    lessons = prepare(
        [example.case.text for example in examples], [example.expected for example in examples], workload.fields, minilm
    )
    start, seen = read_weights(None), list[int]()
    student = RECIPES["distil"](lessons, start, SpecialistTier(layers=2), tmp_path, seen.append)
    pruned = RECIPES["prune"](lessons, start, SpecialistTier(keep=0.4), tmp_path, seen.append)
    assert count_layers(student) == 2
    whole, left = (sum(tensor.size for name, tensor in one.items() if "layer" in name) for one in (start, pruned))
    assert 0.3 < left / whole < 0.5
    assert sum(seen) <= count_windows("distil", lessons) + count_windows("prune", lessons)


@pytest.mark.parametrize("recipe", ["finetune", "distil"])
def test_a_killed_training_goes_on_from_its_last_epoch_to_the_same_bits(recipe: str, minilm: Encoder, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(whole, recipe, minilm).specialist.save(tmp_path / "one")
    small(killed, recipe)
    process = subprocess.Popen([sys.executable, "-c", TRAIN, killed])
    wanted = "course.safetensors" if recipe == "finetune" else "distil-2-*/course.safetensors"
    while process.poll() is None and not list(killed.rglob(wanted)):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in killed.rglob("finetune/course.safetensors")}
    assert kept and not list(killed.rglob("model.onnx"))
    train(killed, recipe, minilm).specialist.save(tmp_path / "two")
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name
    if recipe == "distil":  # its teacher was finished, and is not taught again
        assert kept == {path: path.stat().st_mtime_ns for path in killed.rglob("finetune/course.safetensors")}


def test_a_damaged_checkpoint_is_as_good_as_none(minilm: Encoder, tmp_path: Path) -> None:
    train(tmp_path, "finetune", minilm).specialist.save(tmp_path / "one")
    for file in tmp_path.rglob(".rung/**/*.safetensors"):
        file.write_bytes(file.read_bytes()[:-100])
    train(tmp_path, "finetune", minilm).specialist.save(tmp_path / "two")
    assert (tmp_path / "one" / "model.onnx").read_bytes() == (tmp_path / "two" / "model.onnx").read_bytes()


def test_labels_and_spans_are_learnt_together(minilm: Encoder, tmp_path: Path) -> None:
    answer = {
        "type": "object",
        "properties": {"intent": {"enum": list(INTENTS)}, "order": {"type": ["string", "null"], "fill": "copy"}},
        "required": ["intent", "order"],
        "additionalProperties": False,
    }
    workload = write_workload(tmp_path, messages_with_numbers(60), tiers=[{"specialist": "finetune"}], answer=answer)
    trained = train_specialists(workload, read_gold(workload).examples, minilm)["finetune"]
    answers = trained.specialist.answer_all([line["input"] for line in messages_with_numbers(20, seed=5)])  # type: ignore[attr-defined]
    right = [answer.fields == line["expected"] for answer, line in zip(answers, messages_with_numbers(20, seed=5), strict=True)]
    assert np.mean(right) > 0.8


def messages_with_numbers(cases: int, seed: int = 0) -> list[dict[str, Any]]:
    """The order number as it is printed: what is copied as text."""
    lines = messages(cases, seed)
    for line in lines:
        found = re.search(r"(?i)\bab[ -]?[0-9]{4}", line["input"])
        line["expected"]["order"] = found.group() if found else None
    return lines


def test_a_release_with_an_encoder_of_its_own_is_served_without_pytorch(minilm: Encoder, tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 240, tiers=[{"specialist": "finetune", "precision": "int4"}])
    release = train_release(workload, encoder=minilm)
    found = subprocess.run([sys.executable, "-c", SERVE, release.folder], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["login", "False"]


def test_without_pytorch_a_recipe_that_needs_it_says_what_to_install(
    minilm: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(specialists, "find_spec", lambda name: None)
    workload, examples = small(tmp_path, "lora")
    with pytest.raises(RecipeError, match=r"lora needs torch and peft: pip install 'rung\[train\]'"):
        train_specialists(workload, examples, minilm)


def test_a_weekly_update_goes_on_from_a_release_and_is_not_judged_by_what_it_has_learnt(minilm: Encoder, tmp_path: Path) -> None:
    workload = write_workload(tmp_path, messages(240), tiers=[{"specialist": "finetune"}])
    first = train_release(workload, encoder=minilm)
    write_gold(tmp_path, messages(300))
    second = train_release(workload, encoder=minilm, parent=first)
    assert (first.evidence["parent"], second.evidence["parent"]) == (None, first.id)
    assert learnt_by(first).keys() < learnt_by(second).keys()
    sizes = [len(open_study(workload, silent, taught).held_out) for taught in ((), learnt_by(first))]
    assert 0.6 * sizes[0] < sizes[1] <= sizes[0]  # most cases stay where they were: updates do not use up what judges them
    study = open_study(workload, silent, learnt_by(first))
    judging = {digest_of(each.case.text) for each in (*study.calibrating, *study.held_out)}
    assert judging.isdisjoint(learnt_by(first)) and judging.isdisjoint(learnt_by(second))
    assert len(evaluate_release(workload, second).cases) == second.evidence["cases"] == len(study.held_out)
    assert train_release(workload, encoder=minilm, parent=first).id == second.id  # the same inputs make the same release
    assert train_release(workload, encoder=minilm, parent=second).id == second.id  # nothing is new to it


def test_a_corrected_answer_is_new_and_a_case_that_was_taught_is_never_held_out() -> None:
    origin = Origin("id", {}, {digest_of("one"): answer_digest({"label": 1})})
    assert not origin.is_new("One ", {"label": 1})
    assert origin.is_new("one", {"label": 2}) and origin.is_new("two", {"label": 1})
    lessons = Lessons(
        (),
        np.zeros((400, 1), np.int64),
        np.ones((400, 1), np.float32),
        (2,),
        None,
        0,
        hold_out([str(at) for at in range(400)]),
        np.ones(400, bool),
    )
    known = np.arange(400) < 300
    again = replay(lessons, ~known, known)
    assert again.again and not (again.held & known).any() and again.held.any() and not (again.held & again.taught).any()


def test_going_on_from_a_release_that_learnt_a_pinned_test_case_is_refused(minilm: Encoder, tmp_path: Path) -> None:
    workload, examples = small(tmp_path, "heads")
    learnt = [digest_of(example.case.text) for example in examples[:2]]
    write_gold(tmp_path, [line | ({"split": "test"} if at < 6 else {}) for at, line in enumerate(messages(36))])
    with pytest.raises(GoldError, match=r"2 mistakes\n.*line 1: is pinned to test, and the release to go on from was taught it"):
        open_study(workload, silent, learnt)


def test_where_no_tier_has_an_encoder_of_its_own_there_is_nothing_to_go_on_from(minilm: Encoder, tmp_path: Path) -> None:
    workload, examples = small(tmp_path, "heads", precision="int8")
    with pytest.raises(RecipeError, match="run `rung train` without --from"):
        train_specialists(workload, examples, minilm, origin=Origin("release", {}, {}))


def test_a_student_learns_from_texts_without_an_answer_too_but_not_from_those_in_gold(minilm: Encoder, tmp_path: Path) -> None:
    unlabelled = [{"input": line["input"]} for line in messages(60, seed=7)]
    lines = messages(36)
    (tmp_path / "more.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*unlabelled, *lines]), encoding="utf-8")
    workload, examples = small(tmp_path, "distil", unlabelled="more.jsonl")
    learnt = dict[str, int]()

    @contextmanager
    def watch(stage: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        learnt[stage] = total or 0
        yield lambda steps: None

    trained = train_specialists(workload, examples, minilm, watch)["distil"]
    held = hold_out([example.case.text for example in examples])
    gold, further = int((~held).sum()), len({line["input"] for line in unlabelled} - {line["input"] for line in lines})
    assert learnt["training the encoder (distil)"] == MOST * (gold + gold + further)
    assert set(trained.rehearsal) == set(np.flatnonzero(held).tolist())


@pytest.fixture
def taught(minilm: Encoder, tmp_path: Path) -> Callable[..., tuple[Lessons, FakeEndpoint]]:
    """The lessons of a student whose teacher, an endpoint with this script, answers 40 texts; 36 cases are gold."""

    def consult(
        script: Callable[[dict[str, Any]], Reply], texts: Any = LATER, answer: Any = COPIED
    ) -> tuple[Lessons, FakeEndpoint]:
        lines = [json.dumps({"input": line["input"]}) + "\n" for line in texts]
        (tmp_path / "more.jsonl").write_text("".join(lines), encoding="utf-8")
        teacher = {"endpoint": "slm", "model": "large", "timeout": "5s"}
        with serving(script) as server:
            tiers = [{"specialist": "distil", "unlabelled": "more.jsonl", "teacher": teacher}]
            workload = write_workload(tmp_path, messages(36), declared(server), tiers=tiers, answer=answer)
            trainer = specialists.Trainer(workload, read_gold(workload).examples, minilm, silent)
            (tier,) = workload.tiers
            assert isinstance(tier, SpecialistTier)
            lessons = trainer.lessons(tier, tier.teacher)
            asked = len(server.bodies)
            assert trainer.lessons(tier, tier.teacher).digest() == lessons.digest()
            assert len(server.bodies) == asked, "what was answered is kept"
            return lessons, server

    return consult


def says(answer: dict[str, Any], logprob: float = -0.1) -> Reply:
    return Reply(answer, tokens=[(json.dumps(answer), logprob)])


LATER = messages(40, seed=7)
KNOWN = {line["input"]: line["expected"] for line in [*messages(36), *LATER]}
COPIED = {
    "type": "object",
    "properties": {"intent": {"enum": list(INTENTS)}, "order": {"type": ["string", "null"], "fill": "copy"}},
    "required": ["intent", "order"],
    "additionalProperties": False,
}


def asked(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"]).split("\n\n---\n")[0]


def test_a_teacher_behind_an_endpoint_answers_texts_and_is_believed_as_far_as_it_is_right_on_gold(
    taught: Callable[..., tuple[Lessons, FakeEndpoint]],
) -> None:
    lessons, server = taught(lambda body: says(KNOWN[asked(body)]))
    later = len(lessons.taught) - 36
    known = int(lessons.taught[:36].sum())
    assert len(server.bodies) == known + later, "gold that is learnt from says how far it can be believed"
    assert lessons.taught[36:].all()
    assert (lessons.sure[36:] > 0.9).all()
    assert lessons.tags is not None
    assert sum((tags > 0).any() for tags in lessons.tags[36:]) > 5, "what it copied teaches spans"


def test_a_teacher_that_guesses_is_hardly_believed(taught: Callable[..., tuple[Lessons, FakeEndpoint]]) -> None:
    lessons, _ = taught(lambda body: says({"intent": next(iter(INTENTS)), "order": None}))
    assert 0.2 < lessons.sure[36:].mean() < 0.5, "a third of gold has that intent"


def test_what_the_checks_refuse_teaches_nothing(taught: Callable[..., tuple[Lessons, FakeEndpoint]]) -> None:
    lessons, _ = taught(
        lambda body: says({"intent": "no intent", "order": None} if asked(body) == LATER[0]["input"] else KNOWN[asked(body)])
    )
    assert int((~lessons.taught[36:]).sum()) == 1


def test_an_answer_without_a_field_that_is_not_required_teaches_nothing(
    taught: Callable[..., tuple[Lessons, FakeEndpoint]],
) -> None:
    short = {LATER[0]["input"], messages(36)[0]["input"]}

    def said(body: dict[str, Any]) -> Reply:
        answer = KNOWN[asked(body)]
        return says({"intent": answer["intent"]} if asked(body) in short else answer)

    lessons, _ = taught(said, answer={**COPIED, "required": ["intent"]})
    assert int((~lessons.taught[36:]).sum()) == 1


def test_where_gold_has_every_text_a_teacher_is_not_asked(taught: Callable[..., tuple[Lessons, FakeEndpoint]]) -> None:
    lessons, server = taught(lambda body: says(KNOWN[asked(body)]), texts=messages(36))
    assert server.bodies == [] and len(lessons.taught) == 36


def test_a_teacher_that_does_not_answer_stops_the_training(taught: Callable[..., tuple[Lessons, FakeEndpoint]]) -> None:
    with pytest.raises(EndpointSilent, match="run the command again"):
        taught(lambda body: Reply(status=400))


def test_a_file_of_texts_is_checked_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "more.jsonl").write_text('{"input": "fine"}\n{"input": " "}\n{}\n[1]\n', encoding="utf-8")
    with pytest.raises(GoldError) as refused:
        read_texts(tmp_path / "more.jsonl")
    assert [line for line, _ in refused.value.mistakes] == [2, 3, 4]


@pytest.mark.parametrize(
    ("tier", "said"),
    [
        ({"specialist": "finetune", "layers": 3}, "tiers.0.layers: is a setting of distil, not of finetune"),
        ({"specialist": "heads", "keep": 0.5}, "tiers.0.keep: is a setting of prune, not of heads"),
        ({"specialist": "static", "precision": "int4"}, "tiers.0.precision: is a setting of heads and finetune"),
        ({"specialist": "distil", "unlabelled": "none.jsonl"}, "tiers.0.unlabelled: the file none.jsonl does not exist"),
        ({"specialist": "distil", "layers": 9}, "tiers.0.layers"),
        ({"specialist": "distil", "teacher": {"endpoint": "x", "model": "y"}}, "tiers.0.teacher: needs unlabelled"),
        ({"specialist": "distil", "teacher": {"endpoint": "x", "model": "y"}}, "tiers.0.teacher.endpoint: x is not in endpoints"),
        (
            {"specialist": "lora", "teacher": {"endpoint": "x", "model": "y"}},
            "tiers.0.teacher: is a setting of distil, not of lora",
        ),
        ({"specialist": "boosting"}, "tiers.0.specialist"),
    ],
)
def test_settings_that_a_recipe_does_not_have_are_mistakes(tier: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(WorkloadError) as refused:
        write_workload(tmp_path, 6, {}, tiers=[tier])
    assert said in str(refused.value)


def test_static_stands_first_and_cannot_learn_what_to_copy(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"tiers\.1: static is the smallest tier and stands first"):
        write_workload(tmp_path / "order", 6, tiers=["specialist", {"specialist": "static"}])
    properties = {"intent": {"enum": list(INTENTS)}, "order": {"type": ["string", "null"], "fill": "copy"}}
    answer = {"type": "object", "properties": properties, "required": ["intent", "order"], "additionalProperties": False}
    with pytest.raises(WorkloadError, match="order is learnt from words in their place"):
        write_workload(tmp_path / "copied", 6, tiers=[{"specialist": "static"}], answer=answer)
