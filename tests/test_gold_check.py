"""`rung gold check` shows what is in the gold, by line: balance, slices, copies, leaks, label errors, lengths, personal data."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import Caller
from rung.gold import read_gold, split
from rung.models.encoder import Encoder
from rung.workflows import inspect_gold
from rung.workload import load
from small_workload import messages, write_gold, write_workload

SUPPORT = Path(__file__).resolve().parent.parent / "examples" / "support"
TINY: dict[str, Any] = {
    "workload": "tiny",
    "task": "Name the intent and say whether it is urgent.",
    "answer": {
        "type": "object",
        "properties": {"intent": {"enum": ["refund", "login", "weather", "other"]}, "urgent": {"type": "boolean"}},
        "required": ["intent", "urgent"],
        "additionalProperties": False,
    },
    "gold": "gold.jsonl",
    "promise": {"error": 0.1, "confidence": 0.9},
}


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(monkeypatch, capsys)


def example(text: str, intent: str, urgent: bool = False, split: str | None = None, **context: Any) -> dict[str, Any]:
    pin = {"split": split} if split else {}
    return {"input": text, "expected": {"intent": intent, "urgent": urgent}, "context": context, **pin}


def write_tiny(folder: Path, lines: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "workload.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False), encoding="utf-8")
    write_gold(folder, lines)
    return folder


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    lines = [
        example("please give me my money back for the lamp, it is broken", "refund", channel="web", ticket="a"),
        example("please give me my money back for the lamp, it is broken!", "refund", True, "test", channel="web", ticket="b"),
        example("my card is 4111 1111 1111 1111, or call +44 20 7946 0958", "login", True, channel="web", ticket="c"),
        example("will it rain on Monday? ada@example.org wants to know", "weather", channel="phone", ticket="d"),
        example("is there going to be snow in the hills", "weather", channel="phone", ticket="e"),
        example("reset my password please, it is lost", "login", channel="web", ticket="f", asked_by="ada@example.org"),
        example("my account shows what I never bought", "refund", channel="web", ticket="g"),
        example("why " * 1000, "login", channel="phone", ticket="h"),
    ]
    return write_tiny(tmp_path / "tiny", lines)


# Label errors.


def planted(folder: Path, cases: int, wrong: int) -> set[int]:
    """Lines of the example's gold with six of its intents, so that there are enough of each; the intents of some exchanged among
    the six; the numbers of those."""
    shutil.copytree(SUPPORT, folder, ignore=shutil.ignore_patterns(".rung"))
    draw = random.Random(0)
    gold = [json.loads(line) for line in (SUPPORT / "gold.jsonl").read_text("utf-8").splitlines()]
    intents = ["account_access", "cancel_order", "discount_code", "product_question", "warranty_claim", "wrong_item"]
    lines = draw.sample([line for line in gold if line["expected"]["intent"] in intents], cases)
    bad = set(draw.sample(range(cases), wrong))
    for at in bad:
        expected = lines[at]["expected"]
        expected["intent"] = draw.choice([intent for intent in intents if intent != expected["intent"]])
    write_gold(folder, lines)
    return {at + 1 for at in bad}


def test_most_planted_label_errors_are_among_the_suspects_and_nothing_is_changed(tmp_path: Path, minilm: Encoder) -> None:
    bad = planted(tmp_path / "support", 400, 20)
    before = (tmp_path / "support" / "gold.jsonl").read_bytes()
    found = inspect_gold(load(tmp_path / "support"), encoder=minilm)
    suspects = [suspect for suspect in found.suspects if suspect.field == "intent"]
    hits = bad & {suspect.line for suspect in suspects}
    assert len(hits) >= 0.6 * len(bad) and len(hits) >= 0.35 * len(suspects)
    assert (tmp_path / "support" / "gold.jsonl").read_bytes() == before and found.survey.whole.cases == 400
    by_line = {example.line: example for example in found.gold.examples}
    assert all(suspect.label == by_line[suspect.line].expected["intent"] != suspect.likelier for suspect in suspects)
    assert all(suspect.share < suspect.likelier_share for suspect in suspects)


def test_copies_with_the_same_wrong_label_do_not_vouch_for_each_other(tmp_path: Path, minilm: Encoder) -> None:
    lines = messages(240)
    text = next(line["input"] for line in lines if line["expected"]["intent"] == "weather")
    expected = {"intent": "login", "order": None}
    lines += [{"input": f"{text}{end}", "expected": expected} for end in ("!", "!!", "?", " .", "!?", " -")]
    found = inspect_gold(write_workload(tmp_path, lines), encoder=minilm)
    assert {241, 242, 243, 244, 245, 246} <= {suspect.line for suspect in found.suspects}


def test_gold_without_errors_draws_few_suspects(small: Any, minilm: Encoder) -> None:
    found = inspect_gold(small[0], encoder=minilm)
    assert len(found.suspects) <= 4 and found.unsought is None


def test_a_field_with_one_label_in_use_has_no_suspects(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path, [example(f"I have a question about {number * 7919}", "refund") for number in range(60)])
    assert inspect_gold(load(folder)).suspects == ()


def test_without_cleanlab_the_page_says_how_to_get_it_and_shows_the_rest(
    tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_workload(tmp_path)
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    ended = call("gold", "check", tmp_path)
    assert ended.status == 0 and "pip install 'rung[gold]'" in ended.out and "intent: 3 labels" in ended.out
    document = call("gold", "check", tmp_path, "--json").document
    assert document["suspects"] is None and "rung[gold]" in document["unsought"]


# The page and the document.


def test_every_finding_of_the_tiny_gold_is_named_by_its_lines(tiny: Path, call: Caller) -> None:
    found = call("gold", "check", tiny, "--json").document
    assert found["alike"] == [{"lines": [1, 2], "apart": {"urgent": [False, True]}}]
    assert found["leaks"] == [{"line": 2, "outside": [1]}]
    rare = {(each["field"], each["label"]): each["lines"] for each in found["rare"]}
    assert rare["intent", "weather"] == [4, 5] and rare["intent", "other"] == [] and rare["urgent", True] == [2, 3]
    assert found["lengths"]["outliers"] == [{"line": 8, "characters": 4000}]
    personal = {each["kind"]: (each["values"], each["lines"]) for each in found["personal"]}
    assert personal == {"email": (1, [4, 6]), "card": (1, [3]), "phone": (1, [3])}
    assert "8 examples are too few" in found["unsought"]


def test_slices_are_the_context_keys_whose_values_repeat(tiny: Path, call: Caller) -> None:
    slices = call("gold", "check", tiny, "--json").document["slices"]
    assert list(slices) == ["channel"]
    web, phone = slices["channel"]
    assert (web["tally"]["value"], web["tally"]["cases"], web["without"]) == ("web", 5, {"intent": ["weather"]})
    assert (phone["tally"]["value"], phone["tally"]["cases"]) == ("phone", 3)
    assert phone["without"] == {"intent": ["refund"], "urgent": [True]}


def test_the_page_can_be_read_and_shows_nobodys_data(tiny: Path, call: Caller) -> None:
    ended = call("gold", "check", tiny)
    assert ended.status == 0
    for said in (
        "tiny: 8 examples in gold.jsonl",
        "1 group of 2 lines, 1 with different labels",
        "urgent false, true",
        "median absolute deviation",
        "- collect 500 to 2,000 good examples, about 125 to 500 for each intent and 250 to 1,000 for each urgent; there are 8",
        "card numbers",
    ):
        assert said in ended.out
    assert "4111" not in ended.out and "ada@" not in ended.out
    assert f"run rung gold check {tiny} again, or rung up {tiny}" in ended.err


def test_long_lists_are_cut_on_the_page_and_whole_in_json(tmp_path: Path, call: Caller) -> None:
    lines = [example(f"I have a question about {number * 7919} and about nothing else", "refund") for number in range(40)]
    lines += [example(f"{letter}{number}", "login") for number in range(10) for letter in "ab"]
    write_tiny(tmp_path, lines)
    ended, document = call("gold", "check", tmp_path), call("gold", "check", tmp_path, "--json").document
    assert "more (--json has all)" in ended.out and len(ended.out.splitlines()) < 120
    assert len(document["lengths"]["outliers"]) == 20


def test_the_advice_to_collect_ends_where_there_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)  # nothing of it is needed here
    lines = [example(f"question {n * 7919}", ["refund", "login", "weather", "other"][n % 4], n % 2 == 0) for n in range(500)]
    assert inspect_gold(load(write_tiny(tmp_path / "many", lines))).survey.advice == ()
    (advice,) = inspect_gold(load(write_tiny(tmp_path / "few", lines[:-1]))).survey.advice
    assert "there are 499" in advice


def test_all_mistakes_of_broken_gold_are_shown_with_their_lines(tmp_path: Path, call: Caller) -> None:
    lines = [example(f"question {number * 7919}", "refund") for number in range(60)]
    lines += [example(f"QUESTION  {number * 7919}", "login") for number in range(60)]
    write_tiny(tmp_path, lines)
    ended = call("gold", "check", tmp_path)
    assert ended.status == 2 and "60 mistakes in 60 lines" in ended.out
    for line in range(61, 121):
        assert f' {line}  the same text as line {line - 60} with another answer: intent "refund", "login"' in f" {ended.out}"
    again = call("gold", "check", tmp_path, "--json")
    assert again.status == 2 and [each["line"] for each in again.document["mistakes"]] == [*range(61, 121)]


def test_check_and_gold_check_name_each_other(small: Any, call: Caller) -> None:
    folder = small[0].folder
    assert f"rung gold check {folder}" in call("check", folder).err
    assert "rung check" in call("gold", "check", "--help").out


def test_texts_that_command_a_terminal_are_shown_harmlessly(tmp_path: Path, call: Caller) -> None:
    lines = [
        example(f"{letter * 30} and so on", "refund", place="\x1b[31mhere\nand there", by="ada@example.org")
        for letter in "abcdefgh"
    ]
    write_tiny(tmp_path, [*lines, example("\x1b[2J" * 900, "login"), example("[bold]sign in[/bold]", "login")])
    page = call("gold", "check", tmp_path).out
    assert "\x1b" not in page and "here\\nand there" in page and "[EMAIL_1]" in page and "ada@" not in page


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from(["refund", "login", "weather"]), st.booleans(), st.sampled_from(["web", "phone", None])),
        min_size=1,
        max_size=40,
    )
)
def test_counts_add_up_to_the_gold_and_to_the_split(tmp_path: Path, drawn: list[tuple[str, bool, str | None]]) -> None:
    every = [("refund", True, None), ("login", False, None), ("weather", True, "web")]
    lines = [
        example(f"{number * 7919} {intent}", intent, urgent, place=place)
        for number, (intent, urgent, place) in enumerate([*every, *every, *drawn])
    ]
    workload = load(write_tiny(tmp_path, lines))
    parts = split(read_gold(workload))
    seen = inspect_gold(workload)  # too few for an encoder to be asked
    whole = seen.survey.whole
    assert (whole.train, whole.calibration, whole.test) == (len(parts.train), len(parts.calibration), len(parts.test))
    tallied = [*seen.survey.labels.values(), *(tuple(each.tally for each in found) for found in seen.survey.slices.values())]
    for tallies in tallied:
        assert sum(tally.cases for tally in tallies) == len(lines)
        assert sum(tally.train for tally in tallies) == whole.train and sum(tally.test for tally in tallies) == whole.test
        assert all(tally.cases == tally.train + tally.calibration + tally.test for tally in tallies)
