"""What the schema and the user's functions object to, and how check files fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.cascade.checks import CheckError, Checks, open_checks, sources
from rung.core import Case, Problem
from rung.workload import Boundary, Limits, Promise, SpecialistTier, Workload

CASE = Case("Where is AB123456?", {"channel": "chat"})
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "intent": {"enum": ["refund", "other"]},
        "order_id": {"type": ["string", "null"], "pattern": "^[A-Z]{2}[0-9]{6}$"},
        "email": {"type": ["string", "null"], "format": "email"},
        "reply": {"fill": "template", "template": "reply.md"},
    },
    "required": ["intent"],
    "additionalProperties": False,
}
FINE = {"intent": "refund", "order_id": "AB123456", "email": None}

Opening = Callable[..., Checks]


def workload(folder: Path, *checks: str, schema: Mapping[str, Any] = SCHEMA) -> Workload:
    return Workload(
        name="support",
        task="Triage.",
        file=folder / "workload.yaml",
        schema=schema,
        fields=(),
        gold=folder / "gold.jsonl",
        checks=checks,
        tiers=(SpecialistTier(),),
        promise=Promise(0.05, 0.95),
        limits=Limits(),
        boundary=Boundary(),
    )


@pytest.fixture
def opened(tmp_path: Path) -> Opening:
    """Checks of a file with this text, by the names of its functions."""

    def opening(text: str, *functions: str) -> Checks:
        (tmp_path / "rules.py").write_text(text, encoding="utf-8")
        return open_checks(workload(tmp_path, *(f"rules.py:{name}" for name in functions)))

    return opening


def with_schema(schema: Mapping[str, Any]) -> Checks:
    return open_checks(workload(Path(), schema=schema))


def test_a_fine_answer_has_no_problems() -> None:
    assert with_schema(SCHEMA)(CASE, FINE) == ()


def test_every_violation_is_a_problem_that_names_its_path_and_does_not_repeat_the_value() -> None:
    problems = with_schema(SCHEMA)(CASE, {"order_id": "secret", "email": "secret"})
    assert set(problems) == {
        Problem("schema", 'answer: "intent" is a required property'),
        Problem("schema", 'order_id: the value does not match "^[A-Z]{2}[0-9]{6}$"'),
        Problem("schema", 'email: the value is not a "email"'),
    }


def test_a_path_leads_into_nested_values() -> None:
    schema = {"properties": {"items": {"items": {"properties": {"n": {"type": "integer"}}}}}}
    assert with_schema(schema)(CASE, {"items": [{"n": 1}, {"n": "x"}]})[0].message.startswith("items.1.n: ")


def test_a_long_list_of_violations_is_cut() -> None:
    schema = {"properties": {"items": {"items": {"type": "integer"}}}}
    assert len(with_schema(schema)(CASE, {"items": ["x"] * 1_000})) == 20


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, {1: 2}, b"x", object(), "\ud800", {"\ud800": 1}])
def test_what_json_cannot_hold_is_a_problem(value: object) -> None:
    problems = with_schema({})(CASE, {"x": value})
    assert [problem.check for problem in problems] == ["schema"]
    assert "is not JSON" in problems[0].message


@pytest.mark.parametrize("around", [lambda inner: [inner], lambda inner: {"child": inner}])
def test_a_bottomless_answer_is_a_problem_even_under_a_recursive_schema(around: Callable[[Any], Any]) -> None:
    inner: Any = 1
    for _ in range(100_000):
        inner = around(inner)
    checks = with_schema({"type": ["object", "array"], "items": {"$ref": "#"}, "additionalProperties": {"$ref": "#"}})
    assert "nested deeper than 64 levels" in checks(CASE, {"x": inner})[0].message


def test_an_answer_that_holds_itself_is_a_problem() -> None:
    fields: dict[str, Any] = {}
    fields["x"] = fields
    assert "nested deeper" in with_schema({})(CASE, fields)[0].message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    max_leaves=5,
)
CHECKS = with_schema(SCHEMA)


@given(st.dictionaries(st.sampled_from([*SCHEMA["properties"], "x"]), json_values))
def test_no_answer_raises(fields: dict[str, Any]) -> None:
    assert all(isinstance(problem, Problem) for problem in CHECKS(CASE, fields))


def test_a_pattern_that_would_hang_a_backtracking_engine_does_not() -> None:
    checks = with_schema({"properties": {"x": {"pattern": "^(a+)+$"}}})
    assert checks(CASE, {"x": "a" * 50_000 + "!"}) != ()


def test_a_function_objects_in_its_own_words(opened: Opening) -> None:
    checks = opened(
        "def no_chat(case, answer):\n    return 'no chat' if case.context['channel'] == 'chat' else None\n", "no_chat"
    )
    assert checks(CASE, FINE) == (Problem("rules.py:no_chat", "no chat"),)
    assert checks(Case("x", {"channel": "mail"}), FINE) == ()


def test_functions_still_run_when_the_schema_objects(opened: Opening) -> None:
    checks = opened("def never(case, answer): return answer['intent']\n", "never")
    assert [problem.check for problem in checks(CASE, {"intent": "x"})] == ["schema", "rules.py:never"]


def test_a_function_cannot_change_the_answer_for_anyone_else(opened: Opening) -> None:
    text = "def empties(case, answer): answer['list'].clear()\ndef looks(case, answer): return str(answer['list'])\n"
    fields = {**FINE, "list": [1]}
    assert opened(text, "empties", "looks")(CASE, fields)[-1] == Problem("rules.py:looks", "[1]")
    assert fields["list"] == [1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 1 / 0", "the check itself failed, line 2: ZeroDivisionError: division by zero"),
        ("return answer['missing']", "the check itself failed, line 2: KeyError: 'missing'"),
        ("raise SystemExit", "the check itself failed, line 2: SystemExit"),
        ("return f(case, answer)", "RecursionError"),
        ("class E(Exception):\n        def __str__(self): 1 / 0\n    raise E", "the check itself failed, line 4: "),
        ("return True", "the check returned bool, which is neither words nor None"),
        ("return ['no']", "the check returned list"),
    ],
)
def test_a_function_that_fails_objects(opened: Opening, body: str, message: str) -> None:
    [problem] = opened(f"def f(case, answer):\n    {body}\n", "f")(CASE, FINE)
    assert problem.check == "rules.py:f"
    assert message in problem.message


def test_two_functions_of_a_file_share_its_module(opened: Opening) -> None:
    text = "n = 0\ndef a(case, answer):\n    global n\n    n += 1\ndef b(case, answer): return str(n)\n"
    assert opened(text, "a", "b")(CASE, FINE) == (Problem("rules.py:b", "1"),)


def test_an_edited_file_is_imported_anew(opened: Opening) -> None:
    for word in ("one", "two"):  # same size, same second: importlib's own cache would be fooled
        assert opened(f"def f(case, answer): return '{word}'\n", "f")(CASE, FINE)[0].message == word


def test_importing_leaves_nothing_in_the_folder(opened: Opening, tmp_path: Path) -> None:
    opened("def f(case, answer): return None\n", "f")
    assert [file.name for file in tmp_path.iterdir()] == ["rules.py"]


def test_a_check_file_may_hold_dataclasses(opened: Opening) -> None:
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 1\n"
    assert opened(f"{text}def f(case, answer): return str(A())\n", "f")(CASE, FINE)[0].message == "A(x=1)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_of_this_name\n", "rules.py, line 1: cannot be imported: ModuleNotFoundError"),
        ("\ndef f(:\n", "rules.py, line 2: cannot be imported: SyntaxError"),
        ("x = 1\nx = x / 0\n", "rules.py, line 2: cannot be imported: ZeroDivisionError"),
        ("raise SystemExit(0)\n", "rules.py, line 1: cannot be imported: SystemExit"),
        ("\0", "cannot be imported"),
        ("def other(case, answer): ...\n", "rules.py: there is no function f in it; it has other."),
        ("f = 3\n", "rules.py: there is no function f in it; it has none."),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(opened: Opening, text: str, message: str) -> None:
    with pytest.raises(CheckError, match="rung check") as refused:
        opened(text, "f")
    assert message in str(refused.value)
    assert refused.value.code == "check_invalid"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match=r"gone\.py: cannot be read: No such file"):
        open_checks(workload(tmp_path, "gone.py:f"))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "Retrieval is disabled"),
        ({"$ref": "file:///etc/hostname"}, "Retrieval is disabled"),
        ({"$ref": "#/$defs/none"}, "does not exist"),
        ({"properties": {"x": {"pattern": "("}}}, "answer.properties.x.pattern: "),
        ({"properties": {"x": {"pattern": "(?=a)b"}}}, "answer.properties.x.pattern: "),
        ({"properties": {"x": {"format": "emial"}}}, "emial"),
        ({"properties": {"x": {"enum": [{1}]}}}, "Unsupported type"),
    ],
)
def test_a_schema_that_cannot_be_compiled_is_refused(schema: Mapping[str, Any], message: str) -> None:
    with pytest.raises(CheckError, match="workload support") as refused:
        with_schema(schema)
    assert message in str(refused.value)


def test_the_sources_are_the_files_contents_once_each(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"def f(case, answer): ...\ndef g(case, answer): ...\n")
    (tmp_path / "b.py").write_bytes(b"def f(case, answer): ...\n")
    given = sources(workload(tmp_path, "a.py:f", "a.py:g", "b.py:f"))
    assert given == {"a.py": (tmp_path / "a.py").read_bytes(), "b.py": b"def f(case, answer): ...\n"}
