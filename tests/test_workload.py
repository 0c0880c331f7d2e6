"""The workload file: what a right one means, and that every mistake in a wrong one is reported, in words, with its path."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rung.workload import (
    Boundary,
    Contest,
    Costs,
    EndpointTier,
    Limits,
    Promise,
    ReviewPolicy,
    SpecialistTier,
    Workload,
    WorkloadError,
    find_key,
    load,
)
from small_workload import CONTENT, write_workload

LOCAL = {"url": "http://localhost:1/v1/", "size": "core", "weights": "open", "boundary": "inside", "price": {"hour": 2}}
CLOUD = {**LOCAL, "boundary": "outside", "weights": "closed", "price": {"input": 3, "output": 15}, "key": "CLOUD_KEY"}

Report = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_workload(tmp_path_factory.mktemp("workload"), 6).folder


@pytest.fixture
def report(folder: Path) -> Report:
    """What is wrong with the workload once some of its keys are changed, by path."""

    def reporting(endpoints: Any = None, **changes: Any) -> dict[str, str]:
        (folder / "endpoints.yaml").unlink(missing_ok=True)
        with pytest.raises(WorkloadError) as refused:
            write_workload(folder, 6, endpoints, **changes)
        for path, message in refused.value.mistakes:
            assert f"\n  {path}: {message}\n" in str(refused.value)
        found = dict(refused.value.mistakes)
        assert len(found) == len(refused.value.mistakes), "a path stands there twice"
        return found

    return reporting


def fields(**changes: Any) -> dict[str, Any]:
    """The answer with some of its fields replaced, or taken out where None."""
    properties = {name: schema for name, schema in {**CONTENT["answer"]["properties"], **changes}.items() if schema is not None}
    return {"type": "object", "properties": properties}


def written(folder: Path, content: str | bytes) -> str:
    """What is said about a workload file with this content."""
    (folder / "workload.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(WorkloadError) as refused:
        load(folder)
    assert str(refused.value).startswith(f"{folder / 'workload.yaml'}: 1 mistake\n")
    return refused.value.mistakes[0][1]


def test_a_workload_is_read_with_everything_it_says(tmp_path: Path) -> None:
    workload = write_workload(
        tmp_path,
        6,
        {"slm": LOCAL, "cloud": CLOUD},
        tiers=[
            "specialist",
            {"endpoint": "slm", "model": "phi", "timeout": "1.5s"},
            {"endpoint": "cloud", "model": "big", "timeout": "300ms"},
        ],
        boundary={"may_leave": "redacted", "redact": ["email", "iban"]},
        limits={"p99": "250ms", "cost_per_case": 0.01, "escalated": 0.5},
        volume="1_000_000/month",
    )
    specialist, slm, cloud = workload.tiers
    assert isinstance(specialist, SpecialistTier) and isinstance(slm, EndpointTier) and isinstance(cloud, EndpointTier)
    assert (slm.name, slm.model, slm.timeout, slm.endpoint.url) == ("slm/phi", "phi", 1.5, "http://localhost:1/v1")
    assert (cloud.timeout, cloud.endpoint.price.output, cloud.endpoint.key) == (0.3, 15, "CLOUD_KEY")
    assert workload.boundary == Boundary("redacted", ("email", "iban"))
    assert workload.limits == Limits(0.25, 0.01, 0.5)
    assert workload.promise == Promise(0.1, 0.9)
    assert workload.volume == 1_000_000
    assert [(field.name, field.fill) for field in workload.fields] == [
        ("intent", "label"),
        ("order", "copy"),
        ("reply", "template"),
    ]
    assert workload.asked == ("intent", "order")
    assert (workload.folder, workload.state, workload.gold) == (tmp_path, tmp_path / ".rung", tmp_path / "gold.jsonl")


def test_what_is_left_out_has_its_default(folder: Path) -> None:
    workload = write_workload(folder, 6)
    assert (workload.tiers, workload.boundary, workload.limits) == ((SpecialistTier(),), Boundary("never", ()), Limits())
    assert (workload.checks, workload.volume, workload.success) == ((), None, "feedback")


@pytest.mark.parametrize("success", ["feedback", "relevance", "latency", "answered"])
def test_what_decides_between_two_releases_is_said_in_the_file(folder: Path, success: str) -> None:
    assert write_workload(folder, 6, success=success).success == success


def test_what_cannot_decide_between_two_releases_is_reported_at_its_path(report: Report) -> None:
    assert "release ab" in report(success="cheapest")["success"]
    assert set(report(success={"metric": "latency"})) == {"success"}


def test_the_short_form_is_one_field_named_label(folder: Path) -> None:
    workload = write_workload(folder, 6, answer=None, labels=["a", "b"])
    (field,) = workload.fields
    assert (field.name, field.fill, field.labels) == ("label", "label", ("a", "b"))
    assert workload.schema["required"] == ["label"]
    assert workload.schema["additionalProperties"] is False


def test_a_file_may_be_named_itself_and_a_release_needs_no_gold(tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 6)
    workload.file.rename(tmp_path / "other.yaml")
    workload.gold.unlink()
    assert load(str(tmp_path / "other.yaml"), gold=False).name == "small"


@pytest.mark.parametrize(
    ("schema", "fill", "labels"),
    [
        ({"type": "boolean"}, "label", (True, False)),
        ({"enum": ["a", None, 1, True]}, "label", ("a", None, 1, True)),
        ({"type": ["string", "null"], "format": "email"}, "copy", ()),
        ({"type": "number", "find": ["[0-9]+"]}, "copy", ()),
        ({"fill": "copy", "enum": ["a1"], "find": ["a[0-9]"]}, "copy", ()),
    ],
)
def test_a_field_is_filled_by_what_its_schema_says(folder: Path, schema: Any, fill: str, labels: tuple[Any, ...]) -> None:
    field = write_workload(folder, 6, answer=fields(more=schema)).fields[-1]
    assert (field.fill, field.labels) == (fill, labels)


def test_five_mistakes_of_different_kinds_are_all_reported_with_their_paths(report: Report) -> None:
    found = report(
        {"slm": LOCAL},
        answer=fields(order={"type": "string", "pattern": "^(AB$"}),
        gold="missing.jsonl",
        retrain={"every": "7d"},
        tiers=["specialist", {"endpoint": "slim", "model": "phi"}],
        limits={"p99": 300},
        promise={"error": 0.02},
    )
    assert found.pop("retrain").startswith("is unknown; known are workload, task, answer, labels, gold, checks, tiers, promise")
    assert found == {
        "limits.p99": '300 is not of type "string". Time per case at the 99th percentile, with its unit: `300ms` or `2s`.',
        "promise.confidence": "is missing",
        "answer.properties.order.pattern": "is not a pattern RE2 accepts: missing ): ^(AB$",
        "gold": "the file missing.jsonl does not exist",
        "tiers.1.endpoint": "slim is not in endpoints.yaml (it has slm)",
    }


def test_an_error_names_the_file_and_ends_with_what_to_do(folder: Path, report: Report) -> None:
    with pytest.raises(WorkloadError) as refused:
        write_workload(folder, 6, task=3, gold="g.csv")
    assert str(refused.value).startswith(f"{folder / 'workload.yaml'}: 2 mistakes\n")
    assert str(refused.value).endswith("\nCorrect this and run the command again.")
    assert (refused.value.code, refused.value.exit_status) == ("workload_invalid", 2)


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"limit": {}}, "limit", "is unknown; did you mean limits?"),
        ({"workload": None}, "workload", "is missing"),
        ({"labels": ["a", "b"]}, "file", "needs either answer or labels, and not both"),
        ({"answer": None}, "file", "needs either answer or labels, and not both"),
        ({"promise": {"error": 0, "confidence": 0.9}}, "promise.error", "0 is less than or equal to the minimum of 0"),
        ({"promise": {"error": float("nan"), "confidence": 0.9}}, "promise.error", 'is not of type "number"'),
        ({"boundary": "sometimes"}, "boundary", "`never`, or an object"),
        ({"boundary": {"may_leave": "redacted", "redact": ["name"]}}, "boundary.redact.0", '"name" is not one of'),
        ({"checks": ["checks.py:missing"]}, "checks.0", "the file checks.py does not exist"),
        ({"checks": ["../checks.py:outside"]}, "checks.0", "lies outside the workload's folder"),
        ({"checks": ["checks.py"]}, "checks.0", "as `file.py:function`"),
        ({"tiers": ["specialist", "specialist"]}, "tiers.1", "specialist stands there twice"),
        ({"tiers": []}, "tiers", "has less than 1 item"),
        ({"volume": 5}, "volume", "1_000_000/month"),
        ({"task": "x" * 5000, "workload": "X" * 5000}, "workload", "..."),
    ],
)
def test_a_mistake_is_named_in_words(report: Report, changes: Any, path: str, message: str) -> None:
    found = report(**changes)
    assert list(found) == [path]
    assert message in found[path]
    assert len(found[path]) < 400


@pytest.mark.parametrize(
    ("schema", "path", "message"),
    [
        ({"type": "string"}, "", "cannot be filled: give it an enum"),
        ({"fill": "label", "type": "string"}, "", "has fewer than two labels"),
        ({"enum": ["one"]}, "", "has fewer than two labels"),
        ({"enum": ["a", "b", "a"]}, "", "holds a label twice"),
        ({"enum": [1, 1.0]}, "", "holds a label twice"),
        ({"enum": ["a", ["b"]]}, ".enum", "holds a list or a mapping"),
        ({"enum": 5}, ".enum", '5 is not of type "array"'),
        ({"type": "strng", "enum": ["a", "b"]}, ".type", '"strng" is not valid'),
        ({"fill": "copy"}, "", "cannot be copied: that takes a string"),
        ({"fill": "write"}, ".fill", '"write" is not one of "label", "copy" or "template"'),
        ({"find": ["a", "(?=b)"]}, ".find.1", "is not a pattern RE2 accepts: invalid perl operator: (?="),
        ({"find": []}, ".find", "has less than 1 item"),
        ({"fill": "template"}, "", "needs template: the file's name"),
        ({"template": "replies/none.md"}, ".template", "the file replies/none.md does not exist"),
        ({"template": "replies/{intnt}.md"}, ".template", "names {intnt}, which is not a field with labels"),
        ({"template": "replies/{order}.md"}, ".template", "names {order}, which is not a field with labels"),
        ({"template": "../reply.md"}, ".template", "lies outside the workload's folder"),
        ({"template": "/etc/passwd"}, ".template", "lies outside the workload's folder"),
        (3, "", '3 is not of type "object"'),
    ],
)
def test_a_field_that_cannot_be_filled_says_why(report: Report, schema: Any, path: str, message: str) -> None:
    found = report(answer=fields(more=schema))
    assert list(found) == [f"answer.properties.more{path}"]
    assert message in found[f"answer.properties.more{path}"]


def test_a_template_that_names_no_field_is_refused_at_once(folder: Path) -> None:
    (folder / "reply.md").write_text("Order {ordr} of {order}, {reply}", encoding="utf-8")
    with pytest.raises(WorkloadError) as refused:
        write_workload(folder, 6, answer=fields(reply={"template": "reply.md"}))
    assert [message for _, message in refused.value.mistakes] == [
        "the file reply.md names {ordr}, which is not a field that a model fills",
        "the file reply.md names {reply}, which is not a field that a model fills",
    ]
    (folder / "reply.md").write_bytes(b"caf\xe9")
    with pytest.raises(WorkloadError, match=r"the file reply\.md is not UTF-8"):
        write_workload(folder, 6, answer=fields(reply={"template": "reply.md"}))


@pytest.mark.parametrize(
    ("more", "path", "message"),
    [
        (
            {"$ref": "http://127.0.0.1:1/schema", "fill": "copy", "find": ["a"]},
            "answer",
            "cannot fetch http://127.0.0.1:1/schema",
        ),
        ({"$ref": "#/$defs/nothing", "find": ["a"]}, "answer", "'/$defs/nothing' does not exist"),
        ({"format": "emial", "find": ["a"]}, "answer.properties.more.format", "Unknown format: 'emial'"),
        ({"minimum": "low", "find": ["a"]}, "answer.properties.more.minimum", '"low" is not of type "number"'),
    ],
)
def test_an_answer_that_is_no_usable_schema_is_refused_and_nothing_is_fetched(
    report: Report, more: Any, path: str, message: str
) -> None:
    found = report(answer=fields(more=more))
    assert list(found) == [path]
    assert message in found[path]


def test_a_foreign_meta_schema_is_not_fetched(report: Report) -> None:
    found = report(answer={**fields(), "$schema": "http://127.0.0.1:1/meta"})
    assert "Unknown meta-schema" in found["answer"]


def test_required_names_only_properties_and_some_field_does_not_follow_from_others(report: Report) -> None:
    assert report(answer={**fields(), "required": ["intent", "intnt"]}) == {
        "answer.required": "names intnt, which is not among the properties"
    }
    only_template = {"type": "object", "properties": {"reply": {"type": "string", "template": "reply.md"}}}
    assert "templates follow from others" in report(answer=only_template)["answer.properties"]


@pytest.mark.parametrize(
    ("schema", "place", "message"),
    [
        ({"type": "array", "items": {"type": "object"}}, ".items", "needs properties"),
        ({"type": "array", "items": {"type": "array"}}, ".items", "cannot be copied"),
        ({"type": "array", "items": {"type": "object", "properties": {"a": {"type": "boolean"}}}}, ".items.properties.a", ""),
        ({"fill": "copy", "enum": ["a", "b"], "synonyms": {"c": ["x"]}}, ".synonyms.c", "is not one of the enum's values"),
        ({"fill": "copy", "enum": ["a", "b"], "synonyms": {"b": ["A"]}}, ".synonyms.b", "'A' stands for a already"),
    ],
)
def test_a_field_whose_place_is_learnt_says_what_it_cannot_be(
    report: Report, schema: dict[str, Any], place: str, message: str
) -> None:
    assert message in report(answer=fields(order=schema))[f"answer.properties.order{place}"]


def test_endpoints_mistakes_stand_beside_the_workloads(report: Report) -> None:
    wrong = {**LOCAL, "url": "localhost", "size": "huge", "price": {"inputs": 1}}
    found = report({"slm": wrong, "answer": 3}, tiers=["specialist", {"endpoint": "slm", "model": "phi"}], task="")
    wrong_places = ("answer", "slm.price.inputs", "slm.size", "slm.url")
    assert sorted(found) == [*(f"endpoints.yaml: {place}" for place in wrong_places), "task"]
    assert found["endpoints.yaml: slm.price.inputs"] == "is unknown; did you mean input?"


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read: No such file"), ("", "must hold keys and values"), ("a: [", "is not YAML"), ("a: 1\na: 2", "twice")],
)
def test_endpoints_that_cannot_be_read_are_one_mistake(folder: Path, content: str | None, message: str) -> None:
    (folder / "endpoints.yaml").unlink(missing_ok=True)
    if content is not None:
        (folder / "endpoints.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(WorkloadError) as refused:
        write_workload(folder, 6, tiers=["specialist", {"endpoint": "slm", "model": "phi"}])
    paths = [path for path, _ in refused.value.mistakes]
    assert paths[-1] == "endpoints.yaml: file"
    assert message in refused.value.mistakes[-1][1]


def test_nothing_may_leave_for_an_outside_endpoint_when_the_boundary_is_never(report: Report) -> None:
    tiers = ["specialist", {"endpoint": "cloud", "model": "big"}]
    refused = {"tiers.1.endpoint": "cloud is outside and the boundary is never: nothing may leave for it"}
    assert report({"cloud": CLOUD}, tiers=tiers) == refused
    assert report({"cloud": CLOUD}, tiers=tiers, boundary="never") == refused
    assert report({"cloud": CLOUD}, tiers=tiers, boundary={"may_leave": "never"}) == refused


def test_a_boundary_that_lets_go_admits_an_outside_endpoint(tmp_path: Path) -> None:
    tiers = ["specialist", {"endpoint": "cloud", "model": "big"}]
    workload = write_workload(tmp_path, 6, {"cloud": CLOUD}, tiers=tiers, boundary={"may_leave": "anything"})
    assert workload.boundary == Boundary("anything", ())


def test_the_specialist_stands_first_and_no_tier_twice(report: Report) -> None:
    slm = {"endpoint": "slm", "model": "phi"}
    assert report({"slm": LOCAL}, tiers=[slm, "specialist"]) == {
        "tiers.1": "a specialist is smaller than any endpoint and stands before it"
    }
    assert report({"slm": LOCAL}, tiers=["specialist", slm, slm]) == {"tiers.2": "slm/phi stands there twice"}


def test_a_key_that_is_not_set_names_the_variable_and_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiers = ["specialist", {"endpoint": "cloud", "model": "big"}, {"endpoint": "slm", "model": "phi"}]
    workload = write_workload(tmp_path, 6, {"cloud": CLOUD, "slm": LOCAL}, tiers=tiers, boundary={"may_leave": "anything"})
    _, cloud, slm = workload.tiers
    assert isinstance(cloud, EndpointTier) and isinstance(slm, EndpointTier)
    monkeypatch.delenv("CLOUD_KEY", raising=False)
    with pytest.raises(WorkloadError) as refused:
        find_key(cloud.endpoint, tmp_path / "endpoints.yaml")
    assert str(refused.value).startswith(f"{tmp_path / 'endpoints.yaml'}: 1 mistake\n  cloud.key: ")
    assert "CLOUD_KEY is not set" in str(refused.value)
    monkeypatch.setenv("CLOUD_KEY", "secret")
    assert find_key(cloud.endpoint, tmp_path / "endpoints.yaml") == "secret"
    assert find_key(slm.endpoint, tmp_path / "endpoints.yaml") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("workload: a\nworkload: b\n", "the key 'workload' stands here twice"),
        ("answer:\n  properties:\n    a: {enum: [1, 2], enum: [3]}", "the key 'enum' stands here twice"),
        ("1: a\n'1': b", "the key '1' stands here twice"),
        ("[a, b]: c", "a key must be a plain word"),
        ("workload: [", "is not YAML"),
        ("gold: 2024-99-99", "is not YAML: month must be in 1..12"),
        ("a: &x [*x]", "is not YAML"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ('a: "\\ud800"', "is not YAML"),
        ("[" * 2000, "is not YAML"),
        ("just words", "must hold keys and values"),
        ("", "must hold keys and values"),
        (b"workload: caf\xe9", "is not UTF-8: byte 13 is 0xe9"),
        (b"\xff\xfea\x00", "is not UTF-8: byte 0 is 0xff"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_words(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert message in written(tmp_path, content)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"workload\.yaml: 1 mistake\n  file: cannot be read: No such file"):
        load(tmp_path)


def test_pathological_patterns_neither_hang_nor_write_to_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    write_workload(tmp_path, 6, answer=fields(more={"type": "string", "pattern": "^(a+)+$", "find": ["(x+x+)+y", "(.*)*" * 20]}))
    with pytest.raises(WorkloadError, match="is not a pattern RE2 accepts"):
        write_workload(tmp_path, 6, answer=fields(more={"type": "string", "find": ["((a{100}){100}){100}", r"(a)\1"]}))
    assert time.monotonic() - started < 2
    assert capfd.readouterr() == ("", "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "copy", "specialist", "a{b}", "(", "intent"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["enum", "type", "find", "endpoint", "x"]), inner)
    ),
    max_leaves=6,
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here] * bool(here) + [path for key, inner in items for path in paths(inner, (*here, key))]


FULL = {
    **CONTENT,
    "tiers": ["specialist", {"endpoint": "slm", "model": "phi", "timeout": "2s"}],
    "boundary": {"may_leave": "redacted", "redact": ["email"]},
    "limits": {"p99": "1s"},
    "checks": ["checks.py:f"],
}


@settings(max_examples=100)
@given(changes=st.lists(st.tuples(st.sampled_from(paths(FULL)), JSON), min_size=1, max_size=3))
def test_whatever_stands_in_the_file_gives_a_workload_or_its_mistakes(folder: Path, changes: list[Any]) -> None:
    content: Any = copy.deepcopy(FULL)
    for path, value in changes:
        place = content
        try:
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = value
        except (KeyError, TypeError, IndexError):
            continue  # an earlier change has removed the place
    (folder / "workload.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (folder / "endpoints.yaml").write_text(yaml.safe_dump({"slm": LOCAL}), encoding="utf-8")
    (folder / "checks.py").touch()
    try:
        assert isinstance(load(folder), Workload)
    except WorkloadError as refused:
        assert refused.mistakes


def test_a_bake_off_names_candidates_of_one_tier_or_of_several_and_a_budget(tmp_path: Path) -> None:
    workload = write_workload(
        tmp_path,
        6,
        {"slm": LOCAL},
        bakeoff={
            "candidates": [
                "specialist",
                {"specialist": "heads", "precision": "int4"},
                {"endpoint": "slm", "model": "phi", "examples": 8},
                [{"specialist": "static"}, "specialist"],
            ],
            "budget": 2.5,
        },
        costs={"person_hour": 42},
        limits={"dropped": 0.02, "hallucinated": 0.01, "refused": 0.05, "slices": {"channel": 0.1}},
    )
    one, int4, endpoint, cascade = workload.bakeoff.candidates
    assert (one, int4) == ((SpecialistTier(),), (SpecialistTier("heads", "heads", "int4"),))
    assert [getattr(tier, "examples", None) for tier in endpoint] == [8]
    assert [tier.name for tier in cascade] == ["static", "specialist"]
    assert (workload.bakeoff.budget, workload.costs) == (2.5, Costs(person_hour=42))
    assert workload.limits == Limits(dropped=0.02, hallucinated=0.01, refused=0.05, slices={"channel": 0.1})
    assert (write_workload(tmp_path, 6).bakeoff, write_workload(tmp_path, 6).costs) == (Contest(), Costs())


def test_a_file_may_say_which_answers_people_look_at(tmp_path: Path, report: Report) -> None:
    assert write_workload(tmp_path, 6).review == ReviewPolicy(guidelines=tmp_path / "GUIDE.md")  # shown if it is there
    (tmp_path / "how.md").touch()
    said = {"sample": 0.1, "informative": 1, "second": 0, "guidelines": "how.md", "on_broken": "tighten"}
    policy = ReviewPolicy(0.1, 1, 0, timedelta(hours=2), tmp_path / "how.md", "tighten")
    assert write_workload(tmp_path, 6, review={**said, "lease": "2h"}).review == policy
    assert report(review={"sample": 2, "lease": "0m", "guidelines": "none.md", "on_broken": "panic"}).keys() == {
        "review.sample",
        "review.lease",
        "review.guidelines",
        "review.on_broken",
    }


def test_what_is_wrong_with_a_candidate_is_reported_with_its_place(report: Report) -> None:
    candidates = [
        "specialist",
        ["specialist", {"specialist": "static"}],
        {"endpoint": "gone", "model": "x"},
        {"specialist": "baked"},
    ]
    assert report({"slm": LOCAL}, bakeoff={"candidates": candidates, "buget": 1}) == {
        "bakeoff.buget": "is unknown; did you mean budget?",
        "bakeoff.candidates.1.1": "static is the smallest tier and stands first",
        "bakeoff.candidates.2.endpoint": "gone is not in endpoints.yaml (it has slm)",
        "bakeoff.candidates.3.specialist": report({"slm": LOCAL}, bakeoff={"candidates": [{"specialist": "baked"}]})[
            "bakeoff.candidates.0.specialist"
        ],
    }
