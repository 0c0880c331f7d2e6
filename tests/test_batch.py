"""`rung run`: a file of cases becomes a file of decisions, in order, also when it is killed in the middle."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from commands import KEYS, RUNG, Caller
from rung.batch import AT_ONCE, BatchError, count_done, decide_all, read_cases
from rung.core import Case
from rung.embedded import Embedded
from rung.ledger import LedgerError
from rung.release.frozen import Release
from rung.release.pointer import ledger_of
from rung.workload import Workload, load
from small_workload import messages, put_to_work

TEXTS = [line["input"] for line in messages(150, seed=7)]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(monkeypatch, capsys)


@pytest.fixture
def trained(small: tuple[Workload, Release], tmp_path: Path) -> Path:
    """The small workload with its release and a ledger of its own."""
    folder = tmp_path / "work"
    shutil.copytree(small[0].folder, folder, ignore=shutil.ignore_patterns("ledger.db*", "cache"))
    return put_to_work(folder)


def write_cases(file: Path, texts: Sequence[str]) -> Path:
    file.write_text("".join(json.dumps({"input": text}) + "\n" for text in texts), encoding="utf-8")
    return file


def decided(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_bytes().splitlines()]


def texts_of(output: Path, folder: Path) -> list[str | None]:
    """The text that each line's decision answered, as the ledger knows it."""
    ledger = ledger_of(load(folder))
    records = [ledger.find(document["id"]) for document in decided(output)]
    asyncio.run(ledger.close())
    return [record and record.case.text for record in records]


def test_a_batch_is_decided_in_the_order_of_its_lines(trained: Path, tmp_path: Path, call: Caller) -> None:
    output = tmp_path / "out.jsonl"
    ended = call("run", trained, "--input", write_cases(tmp_path / "in.jsonl", TEXTS), "--output", output)
    assert ended.status == 0 and ended.out == f"150 decisions in {output}\n" and "150/150" in ended.err
    assert f"next: rung report {trained}" in ended.err
    assert all(list(document) == KEYS for document in decided(output))
    assert texts_of(output, trained) == TEXTS


def test_a_batch_killed_in_the_middle_goes_on_where_it_was(trained: Path, tmp_path: Path, call: Caller) -> None:
    texts = [f"{text} {number}" for number in range(4) for text in TEXTS]
    cases, output = write_cases(tmp_path / "in.jsonl", texts), tmp_path / "out.jsonl"
    words = ["run", str(trained), "--input", str(cases), "--output", str(output)]
    process = subprocess.Popen([*RUNG, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (output.exists() and output.stat().st_size):
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = decided(output)
    assert 0 < len(before) < len(texts)
    with output.open("ab") as file:
        file.write(b'{"id": "torn')
    ended = call(*words)
    assert ended.status == 0 and f"{len(before):,} of them from before" in ended.out
    assert decided(output)[: len(before)] == before
    assert texts_of(output, trained) == texts
    again = call(*words)
    assert again.status == 0 and "600 of them from before" in again.out and len(decided(output)) == len(texts)


def test_a_scanned_page_is_a_case_of_the_text_it_holds(trained: Path, tmp_path: Path, call: Caller) -> None:
    page = [{"text": "lamp broken", "box": [0, 30, 110, 40]}, {"text": "Order AB1234", "box": [0, 0, 120, 10]}]
    cases, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    cases.write_text(f"{json.dumps({'input': page})}\n{json.dumps({'input': TEXTS[0]})}\n")
    assert call("run", trained, "--input", cases, "--output", output).status == 0
    assert texts_of(output, trained) == ["Order AB1234\nlamp broken", TEXTS[0]]
    again = call("run", trained, "--input", cases, "--output", output)
    assert again.status == 0 and "2 of them from before" in again.out


def test_every_bad_line_is_named_and_nothing_is_decided(trained: Path, tmp_path: Path, call: Caller) -> None:
    bad = [
        b'{"input": 5}',
        b"",
        b'{"input": " "}',
        b'{"input": "a", "colour": "red"}',
        b"[]",
        b"\xff",
        b'{"input": "a", "context": 1}',
        b'{"input": [{"text": "a", "box": [0, 0, 1, 1]}, {"text": "b", "box": [0, 0, NaN, 1]}]}',
        b'{"input": []}',
    ]
    cases = tmp_path / "in.jsonl"
    cases.write_bytes(b"\n".join([b'{"input": "fine"}', *bad, b'{"input": "fine", "context": {"from": "Ada"}}']))
    ended = call("run", trained, "--input", cases, "--output", tmp_path / "out.jsonl")
    assert (ended.status, ended.out) == (2, "") and f"{cases}: 9 of 11 lines" in ended.err
    for number, why in (
        (2, "input"),
        (4, "blank"),
        (5, "colour"),
        (6, "array"),
        (7, "utf-8"),
        (8, "context"),
        (9, "line 2 of the page"),
        (10, "blank"),
    ):
        assert any(f"line {number}:" in line and why in line for line in ended.err.splitlines()), (number, ended.err)
    assert "line 3:" in ended.err and "line 1:" not in ended.err and "line 11:" not in ended.err
    assert not (tmp_path / "out.jsonl").exists() and call("report", trained, "--json").document["cases"] == 0


def test_of_very_many_bad_lines_some_are_named_and_all_are_counted(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("x\n" * 80)
    with pytest.raises(BatchError, match=r"80 of 80 lines(.|\n)*line 50:(.|\n)*and 30 more"):
        read_cases(tmp_path / "in.jsonl")


def test_half_a_character_is_a_text_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"input": "cut \\ud83d", "context": {"from": "Ada"}}\n')
    (case,) = read_cases(tmp_path / "in.jsonl")
    assert (case.text, case.context, case.asked_by) == ("cut \ud83d", {"from": "Ada"}, "batch")


def test_an_output_of_other_input_is_refused_and_left_alone(trained: Path, tmp_path: Path, call: Caller) -> None:
    output = tmp_path / "out.jsonl"
    assert call("run", trained, "--input", write_cases(tmp_path / "one.jsonl", TEXTS[:3]), "--output", output).status == 0
    before = output.read_bytes()
    for texts in ([TEXTS[1], TEXTS[2]], [TEXTS[0]], [TEXTS[0], TEXTS[1], TEXTS[5]]):
        ended = call("run", trained, "--input", write_cases(tmp_path / "other.jsonl", texts), "--output", output)
        assert ended.status == 2 and "Name another output" in ended.err and output.read_bytes() == before


def test_a_file_that_holds_no_decisions_is_not_written_over(trained: Path, tmp_path: Path, call: Caller) -> None:
    cases = write_cases(tmp_path / "in.jsonl", TEXTS[:3])
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Ada,")
    for output in (cases, trained / "gold.jsonl", letter):
        before = output.read_bytes()
        assert call("run", trained, "--input", cases, "--output", output).status == 2
        assert output.read_bytes() == before


def test_an_input_or_output_that_cannot_be_opened_is_named(trained: Path, tmp_path: Path, call: Caller) -> None:
    cases, none = write_cases(tmp_path / "in.jsonl", TEXTS[:3]), tmp_path / "none"
    for input_, output, said in (
        (none, tmp_path / "out", f"{none}: cannot be read"),
        (cases, none / "out", f"{none}/out: cannot be read or written"),
        (cases, trained, f"{trained}: is not a plain file"),
        (cases, Path("/dev/null"), "/dev/null: is not a plain file"),
    ):
        ended = call("run", trained, "--input", input_, "--output", output)
        assert (ended.status, ended.out) == (2, "") and said in ended.err


class Failing:
    """A release at work whose ledger fails after so many decisions."""

    def __init__(self, live: Any, after: int) -> None:
        self.live, self.left = live, after

    async def decide(self, case: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise LedgerError("the disk is full")
        return await self.live.decide(case)


def test_what_could_not_be_recorded_is_not_written(trained: Path, tmp_path: Path) -> None:
    cases, output = read_cases(write_cases(tmp_path / "in.jsonl", TEXTS)), tmp_path / "out.jsonl"
    with Embedded(load(trained)) as rung:
        failing: Any = Failing(rung.live, after=AT_ONCE + 10)
        with pytest.raises(LedgerError):
            rung.run(decide_all(failing, cases, output, lambda steps: None))
        assert count_done(output, cases, rung.live) == len(decided(output)) == AT_ONCE


def test_nothing_is_done_where_there_is_no_output(trained: Path, tmp_path: Path) -> None:
    with Embedded(load(trained)) as rung:
        assert count_done(tmp_path / "none.jsonl", [], rung.live) == 0


@dataclass
class Other:
    """A release at work that differs from a real one in its name or its workload's."""

    ledger: Any
    workload: Any
    release: str


def test_every_line_from_before_must_be_this_releases_answer_to_that_line(trained: Path, tmp_path: Path) -> None:
    strange = {"odd": [float("nan"), 10**30, "\ud83d"]}
    cases = [Case(text, {"number": number, **strange}, "batch") for number, text in enumerate(TEXTS[:4])]
    output = tmp_path / "out.jsonl"
    with Embedded(load(trained)) as rung:
        rung.run(decide_all(rung.live, cases, output, lambda steps: None))
        again = [Case(case.text, {"number": number, **strange}, "batch") for number, case in enumerate(cases)]
        live: Any = rung.live
        assert count_done(output, again, live) == 4
        whole = output.read_bytes()
        other_text = [*again[:1], replace(again[1], text="another"), *again[2:]]
        other_context = [*again[:2], replace(again[2], context={"number": 7}), *again[3:]]
        elsewhere: Any = Other(live.ledger, SimpleNamespace(name="other"), live.release)
        later: Any = Other(live.ledger, live.workload, "f" * 64)
        for given, at, why in (
            (other_text, live, "line 2 does not answer"),
            (other_context, live, "line 3 does not answer"),
            (again[:3], live, "line 4 answers nothing"),
            (again, elsewhere, "line 1 is no decision of other"),
            (again, later, f"line 1 was decided by release {live.release[:12]}; now f{{12}} "),
        ):
            with pytest.raises(BatchError, match=why):
                count_done(output, given, at)
        lines = whole.splitlines(keepends=True)
        for bad in (b"\n", b"5\n", b'{"id": [1]}\n', b'{"id": "unknown"}\n'):
            output.write_bytes(b"".join([*lines[:2], bad, lines[3]]))
            with pytest.raises(BatchError, match="line 3 is no decision of"):
                count_done(output, again, live)
