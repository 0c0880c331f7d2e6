"""What templates make of an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rung.cascade.templates import open_templates, template_files
from rung.workload import Workload
from small_workload import CONTENT, write_workload


def small(folder: Path, *fields: tuple[str, Any]) -> Workload:
    answer = CONTENT["answer"]
    return write_workload(folder, 6, answer={**answer, "properties": {**answer["properties"], **dict(fields)}})


def test_each_label_has_its_own_text_with_the_other_fields_in_place(tmp_path: Path) -> None:
    complete = open_templates(small(tmp_path))
    said = {"intent": "login", "order": "AB1234"}
    assert complete(said) == {**said, "reply": "About your login, order AB1234."}
    assert said == {"intent": "login", "order": "AB1234"}


def test_a_null_field_leaves_nothing_in_its_place(tmp_path: Path) -> None:
    assert open_templates(small(tmp_path))({"intent": "refund", "order": None})["reply"] == "About your refund, order ."


def test_a_label_that_is_missing_or_unknown_leaves_the_template_null(tmp_path: Path) -> None:
    complete = open_templates(small(tmp_path))
    for odd in ({}, {"intent": None}, {"intent": "../workload"}, {"intent": ["login"]}, {"intent": {"a": 1}}):
        assert complete(odd)["reply"] is None


def test_a_model_does_not_write_a_template_field(tmp_path: Path) -> None:
    said = {"intent": "login", "order": None, "reply": "Click here!"}
    assert open_templates(small(tmp_path))(said)["reply"] == "About your login, order ."


def test_what_stands_in_braces_inside_a_value_is_not_filled_again(tmp_path: Path) -> None:
    said = {"intent": "login", "order": "{intent}"}
    assert open_templates(small(tmp_path))(said)["reply"] == "About your login, order {intent}."


def test_numbers_and_truth_are_written_as_people_read_them(tmp_path: Path) -> None:
    (tmp_path / "note.md").write_text("{amount} {urgent} {other}{ intent }", encoding="utf-8")
    more = [
        ("amount", {"type": "number", "find": ["[0-9]+"]}),
        ("urgent", {"type": "boolean"}),
        ("note", {"template": "note.md"}),
    ]
    more.append(("other", {"type": "string", "find": ["x"]}))
    complete = open_templates(small(tmp_path, *more))
    assert complete({"amount": 49.0, "urgent": True})["note"] == "49 true { intent }"
    assert complete({"amount": 49.5, "urgent": False, "other": "ü"})["note"] == "49.5 false ü{ intent }"


def test_a_path_may_name_several_fields_and_a_null_label(tmp_path: Path) -> None:
    for intent in ("refund", "login", "weather"):
        for tone in ("", "rude"):
            (tmp_path / f"{intent}-{tone}.md").write_text(f"{intent} {tone}", encoding="utf-8")
    workload = small(tmp_path, ("tone", {"enum": ["rude", None]}), ("reply", {"template": "{intent}-{tone}.md"}))
    (reply,) = (field for field in workload.fields if field.name == "reply")
    assert sorted(path.name for path in template_files(workload, reply)) == sorted(path.name for path in tmp_path.glob("*-*.md"))
    complete = open_templates(workload)
    assert complete({"intent": "login", "tone": None})["reply"] == "login"
    assert complete({"intent": "login", "tone": "rude"})["reply"] == "login rude"


def test_texts_are_read_once(tmp_path: Path) -> None:
    complete = open_templates(small(tmp_path))
    for file in (tmp_path / "replies").iterdir():
        file.unlink()
    assert complete({"intent": "login", "order": None})["reply"] == "About your login, order ."
