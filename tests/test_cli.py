"""Every verb, as a person and a script use it: what it prints, how it ends, and how it says that something is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from commands import CHECK, KEYS, RUNG, UNDECIDED, WEATHER, Caller, Ended, run_rung, write_samples
from rung.cli.console import decisions_table, out
from rung.ledger import open_ledger
from rung.models.encoder import Encoder
from rung.release.pointer import ledger_of
from rung.workload import load
from small_workload import CONTENT, INTENTS, messages, put_to_work, with_mixed, write_gold, write_workload


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, minilm: Encoder) -> tuple[Path, Ended]:
    """A workload with a check and samples, and its first `rung up`."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "checks.py").write_text(CHECK)
    write_samples(folder, [WEATHER, UNDECIDED, "please reset my access to the website since the update."])
    write_workload(folder, checks=["checks.py:calm"])
    return folder, run_rung("up", folder)


@pytest.fixture
def guarded(first: tuple[Path, Ended], tmp_path: Path) -> Path:
    """A trained workload of one's own, nothing decided yet; SUPERVISOR in a text goes to a person."""
    shutil.copytree(first[0] / ".rung" / "releases", tmp_path / ".rung" / "releases")
    for name in ("workload.yaml", "gold.jsonl", "checks.py", "samples.jsonl"):
        shutil.copy(first[0] / name, tmp_path)
    shutil.copytree(first[0] / "replies", tmp_path / "replies")
    return put_to_work(tmp_path)


def rewrite(folder: Path, **changes: Any) -> None:
    (folder / "workload.yaml").write_text(yaml.safe_dump({**CONTENT, **changes}, sort_keys=False), encoding="utf-8")


def releases(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / ".rung" / "releases").glob("[0-9a-f]*"))


# up


def test_up_without_a_terminal_trains_plays_the_samples_and_ends(first: tuple[Path, Ended]) -> None:
    folder, ended = first
    assert ended.status == 0, ended.err
    assert "training the heads" in ended.err and "at most 10% are wrong, with 90% confidence" in ended.out
    assert re.search(r"on http://127\.0\.0\.1:\d+", ended.out)
    assert re.search(r"will it rain.*accepted +intent=weather", ended.out)
    assert re.search(r"SUPERVISOR.*review +a person decides", ended.out)
    assert "2 of 3 answered without a person" in ended.out
    assert f"next: rung review {folder}, rung report {folder}" in ended.err


def test_a_second_up_reuses_everything(first: tuple[Path, Ended]) -> None:
    folder, _ = first
    before, started = releases(folder), time.monotonic()
    ended = run_rung("up", folder)
    assert (ended.status, releases(folder)) == (0, before)
    assert "training" not in ended.err and "at most 10% are wrong" in ended.out
    assert time.monotonic() - started < 15  # under 3 s on a quiet machine


def test_a_port_that_is_taken_is_named_before_any_training(tmp_path: Path, call: Caller) -> None:
    write_workload(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ended = call("up", tmp_path, "--port", str(other.getsockname()[1]))
    assert ended.status == 2 and re.search(r"Port \d+ on 127\.0\.0\.1 cannot be had.*--port", ended.err)
    assert not (tmp_path / ".rung").exists()


def test_an_up_that_was_killed_goes_on_when_it_is_run_again(tmp_path: Path, minilm: Encoder) -> None:
    write_workload(tmp_path)
    write_samples(tmp_path, [WEATHER])
    killed = subprocess.Popen([*RUNG, "up", str(tmp_path)], stderr=subprocess.PIPE, start_new_session=True)
    assert killed.stderr is not None
    while b"embedding" not in killed.stderr.readline():
        assert killed.poll() is None
    os.killpg(killed.pid, signal.SIGKILL)  # what trains is a process of its own, in the same session
    killed.wait()
    killed.stderr.close()
    assert releases(tmp_path) == []
    ended = run_rung("up", tmp_path)
    assert ended.status == 0 and "1 of 1 answered" in ended.out and len(releases(tmp_path)) == 1


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(tmp_path: Path, minilm: Encoder) -> None:
    write_workload(tmp_path)
    process = subprocess.Popen(
        [*RUNG, "train", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test run in the background inherits "ignore"
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=30)[1]
    assert process.returncode == 130 and "run the same command again" in said and "Traceback" not in said


def test_samples_that_are_none_are_named_before_any_training(tmp_path: Path, call: Caller) -> None:
    write_workload(tmp_path)
    (tmp_path / "samples.jsonl").write_text('{"input": "one"}\n{"text": "two"}\n')
    ended = call("up", tmp_path)
    assert ended.status == 2 and "samples.jsonl" in ended.err and "line 2" in ended.err
    assert not (tmp_path / ".rung").exists()


# serve


@contextmanager
def served(*words: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`rung serve` in a process that says at its end which of Rung's modules it loaded, and the address it serves on."""
    script = (
        "import atexit, sys; from rung.cli import main;"
        "atexit.register(lambda: print('loaded', *(each for each in sys.modules if each.startswith('rung.'))));"
        "sys.argv = ['rung', 'serve', *sys.argv[1:]]; main()"
    )
    command = [sys.executable, "-c", script, *map(str, words), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = ""
        while not url and (line := process.stdout.readline()):
            url = (re.findall(r"^Serving .* on (http://\S+)", line) or [""])[0]
        yield process, url
    finally:
        process.kill()
        process.communicate()


def test_a_served_release_answers_openais_client_and_ends_on_sigterm(guarded: Path) -> None:
    with served(guarded) as (process, url):
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        completion = client.chat.completions.create(model="small", messages=[{"role": "user", "content": WEATHER}])
        assert json.loads(completion.choices[0].message.content or "")["intent"] == "weather"
        client.close()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    loaded = set(out.split("loaded", 1)[1].split())
    assert "rung.release" in loaded
    assert not [name for name in loaded if name.startswith(("rung.training", "rung.workflows", "rung.gold"))]


def test_a_gateway_with_a_key_in_force_asks_for_it(guarded: Path, call: Caller) -> None:
    key = call("keys", "add", guarded, "ada").out.strip()
    with served(guarded) as (_, url):
        question: Any = {"model": "small", "messages": [{"role": "user", "content": WEATHER}]}
        stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="rung-wrong", max_retries=0)
        with stranger, pytest.raises(openai.AuthenticationError):
            stranger.chat.completions.create(**question)
        with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as ada:
            assert "weather" in str(ada.chat.completions.create(**question).choices[0].message.content)


def test_behind_a_proxy_the_gateway_is_open_to_nobody(guarded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "127.0.0.1")
    with served(guarded) as (_, url):
        stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        with stranger, pytest.raises(openai.AuthenticationError):
            stranger.models.list()


def test_revoking_the_last_key_does_not_open_the_gateway(guarded: Path, call: Caller) -> None:
    call("keys", "add", guarded, "ada")
    call("keys", "revoke", guarded, "ada")
    with served(guarded) as (_, url):
        stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        with stranger, pytest.raises(openai.AuthenticationError):
            stranger.models.list()


# train, evaluate, check, decide


def test_train_check_and_evaluate_answer_in_json(guarded: Path, call: Caller) -> None:
    checked, trained, evaluated = (call(verb, guarded, "--json").document for verb in ("check", "train", "evaluate"))
    assert checked["gold"] == 360 and checked["warnings"] == [] and 0 <= checked["near_duplicates"] < 1
    assert trained["release"] == Path(trained["folder"]).name == releases(guarded)[0]
    assert evaluated["release"] == trained["release"] and evaluated["wrong"] == trained["evidence"]["wrong"]


def test_train_and_evaluate_print_the_same_judgement(guarded: Path, call: Caller) -> None:
    trained, evaluated = call("train", guarded), call("evaluate", guarded)
    table = trained.out[trained.out.index("  who answers") : trained.out.index("Time per case")]
    assert table in evaluated.out
    assert f"next: rung serve {guarded}" in trained.err


def test_an_evaluation_may_be_written_as_a_page_and_as_markdown(guarded: Path, tmp_path: Path, call: Caller) -> None:
    pages = [tmp_path / "evaluation.html", tmp_path / "evaluation.md"]
    told = call("evaluate", guarded, "--page", pages[0], "--page", pages[1])
    assert "whole record right" in told.out and "of 71" in told.out and "95 % intervals" in told.out
    html, markdown = (page.read_text(encoding="utf-8") for page in pages)
    assert "<svg" in html and "http" not in html.split("<body")[0].replace("http-equiv", "")
    assert markdown.startswith("# Evaluation of small\n")
    assert call("evaluate", guarded, "--page", tmp_path / "evaluation.pdf").status == 2
    lost = call("evaluate", guarded, "--page", tmp_path / "nowhere" / "evaluation.html")
    assert lost.status == 2 and "is no folder: make it first" in re.sub(r"[\s│]+", " ", lost.err)


def test_an_evaluation_that_the_gate_refuses_is_shown_and_written_all_the_same(
    guarded: Path, tmp_path: Path, call: Caller
) -> None:
    write_gold(
        guarded, [*messages(360), *({**line, "expected": {"intent": "refund", "order": None}} for line in messages(480)[360:])]
    )
    page = tmp_path / "evaluation.html"
    told, document = call("evaluate", guarded, "--page", page), call("evaluate", guarded, "--json")
    for ended in (told, document):
        assert ended.status == 1 and "this release is refused" in ended.err
    assert "whole record right" in told.out and f"written: {page}" in told.out
    assert "breaks its promise" in page.read_text(encoding="utf-8")
    ruling = document.document["gate"]["limits"][0]
    assert not document.document["gate"]["passed"] and (ruling["limit"], ruling["verdict"]) == ("promise", "refused")
    assert ruling["sentence"] in document.err and ruling["sentence"] in told.out
    assert ruling["sentence"][1:] in page.read_text(encoding="utf-8")
    wrong = {one["text"] for one in document.document["disagreements"]}
    assert document.document["wrong"] > 10 and wrong <= {line["input"] for line in messages(480)}


def test_hints_name_a_file_by_its_path_and_a_folder_with_a_space_in_quotes(tmp_path: Path, call: Caller) -> None:
    write_workload(tmp_path / "my work")
    (tmp_path / "my work" / "workload.yaml").rename(tmp_path / "my work" / "small.yaml")
    assert f"next: rung up '{tmp_path}/my work/small.yaml'" in call("check", tmp_path / "my work" / "small.yaml").err


def test_a_decision_in_json_has_the_nine_keys_and_is_recorded(guarded: Path, call: Caller) -> None:
    document = call("decide", guarded, WEATHER, "--json").document
    assert list(document) == KEYS
    assert (document["outcome"], document["tier"], document["problems"]) == ("accepted", "specialist", [])
    assert document["answer"] == {"intent": "weather", "order": None, "reply": "About your weather, order ."}
    report = call("report", guarded, "--json").document
    assert report["cases"] == 1 and report["workload"] == "small"
    assert call("report", guarded, "--days", "1").out.startswith("small: 1 case decided since")


def test_a_decision_in_words_says_who_decides_and_why(guarded: Path, call: Caller) -> None:
    ended = call("decide", guarded, UNDECIDED)
    assert ended.status == 0
    assert ended.out.startswith("review: a person decides\n") and "checks.py:calm: asks for a supervisor" in ended.out
    assert f"next: rung review {guarded}" in ended.err


def test_with_labels_the_answer_is_one_label(tmp_path: Path, call: Caller) -> None:
    lines = [{**line, "expected": {"label": line["expected"]["intent"]}} for line in messages(240)]
    write_workload(tmp_path, lines, answer=None, labels=list(INTENTS))
    assert call("train", tmp_path).status == 0
    assert call("decide", tmp_path, WEATHER, "--json").document["answer"] == {"label": "weather"}


def test_the_text_may_come_from_standard_input(guarded: Path, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO(WEATHER))
    assert call("decide", guarded, "-", "--json").document["answer"]["intent"] == "weather"


# what is wrong, and the exit status


def test_five_mistakes_are_reported_with_their_paths(tmp_path: Path, call: Caller) -> None:
    write_workload(tmp_path)
    rewrite(tmp_path, gold="none.jsonl", promise={"error": 2, "confidence": "high"}, volume=-1, colour="red")
    ended = call("train", tmp_path)
    assert ended.status == 2 and "5 mistakes" in ended.err
    for path in ("gold", "promise.error", "promise.confidence", "volume", "colour"):
        assert re.search(rf"^  {path}: ", ended.err, re.MULTILINE), (path, ended.err)


def test_a_file_that_is_not_there_is_named(tmp_path: Path, call: Caller) -> None:
    for verb in ("up", "check", "train", "evaluate", "serve", "review", "report"):
        ended = call(verb, tmp_path / "none.yaml")
        assert ended.status == 2 and "none.yaml" in ended.err and "No such file" in ended.err


def test_wrong_gold_is_named_by_line(tmp_path: Path, call: Caller) -> None:
    write_workload(tmp_path, [*messages(30), {"input": "hello", "expected": {"intent": "refnd", "order": None}}])
    for verb in ("check", "train"):
        ended = call(verb, tmp_path)
        assert ended.status == 2 and "line 31" in ended.err and "refnd" in ended.err


def test_a_blank_text_is_refused(guarded: Path, call: Caller) -> None:
    ended = call("decide", guarded, " \n")
    assert (ended.status, ended.out) == (2, "") and "no text to decide" in ended.err


def test_a_promise_that_cannot_be_kept_ends_with_1(tmp_path: Path, call: Caller) -> None:
    random_ = random.Random(0)
    lines = [{**line, "expected": {"intent": random_.choice(list(INTENTS)), "order": None}} for line in messages(180)]
    write_workload(tmp_path, lines)
    ended = call("train", tmp_path)
    assert ended.status == 1 and "cannot support the promise" in ended.err and releases(tmp_path) == []


def test_a_limit_that_does_not_hold_ends_with_1_from_up_too(tmp_path: Path, minilm: Encoder) -> None:
    write_workload(tmp_path, with_mixed(280, 40), limits={"escalated": 0.0})
    ended = run_rung("up", tmp_path)
    assert ended.status == 1 and "limits.escalated" in ended.err and "Serving" not in ended.out


def test_before_training_there_is_nothing_to_answer_with(tmp_path: Path, call: Caller) -> None:
    write_workload(tmp_path)
    for words in (("decide", tmp_path, "hello"), ("serve", tmp_path), ("evaluate", tmp_path)):
        ended = call(*words)
        assert (ended.status, ended.out) == (2, "") and f"`rung train {tmp_path}" in ended.err


def test_a_damaged_release_is_not_served(guarded: Path, call: Caller) -> None:
    assert call("train", guarded).status == 0
    damaged = guarded / ".rung" / "releases" / releases(guarded)[0] / "cascade.json"
    damaged.write_text(damaged.read_text() + " ")
    ended = call("decide", guarded, WEATHER)
    assert (ended.status, ended.out) == (2, "") and "cascade.json changed" in ended.err and "rung train" in ended.err


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, call: Caller) -> None:
    write_workload(tmp_path)
    (tmp_path / ".rung").write_text("a file where a folder belongs")
    for words in (("train", tmp_path), ("decide", tmp_path, "hello"), ("report", tmp_path)):
        ended = call(*words)
        assert ended.status == 2 and f"{tmp_path}/.rung" in ended.err


def test_a_locked_ledger_means_no_answer(guarded: Path, call: Caller) -> None:
    assert call("train", guarded).status == 0
    with sqlite3.connect(guarded / ".rung" / "ledger.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        ended = call("decide", guarded, WEATHER)
        other.execute("ROLLBACK")
    other.close()
    assert (ended.status, ended.out) == (2, "") and "locked" in ended.err
    assert call("decide", guarded, WEATHER).status == 0
    assert call("report", guarded, "--json").document["cases"] == 1


@pytest.mark.parametrize(
    "words", [["report", "--days", "1e12"], ["report", "--days", "nan"], ["review", "--limit", "0"], ["review", "--answer", "{}"]]
)
def test_options_out_of_bounds_are_refused(words: list[str], tmp_path: Path, call: Caller) -> None:
    write_workload(tmp_path)
    ended = call(words[0], tmp_path, *words[1:])
    assert ended.status == 2 and words[1] in ended.err


# review


def test_what_waits_is_listed_and_settled(guarded: Path, call: Caller) -> None:
    decision = call("decide", guarded, UNDECIDED, "--json").document["id"]
    (waiting,) = call("review", guarded, "--json").document
    assert waiting["id"] == decision and waiting["suggestion"]["order"] == "AB1234"
    assert waiting["problems"] == [{"check": "checks.py:calm", "message": "asks for a supervisor"}]
    listed = call("review", guarded)
    assert decision in listed.out and "1 waiting" in listed.out and f"rung review {guarded} --settle {decision}" in listed.err
    settled = call("review", guarded, "--settle", decision, "--answer", '{"intent": "refund"}', "--note", "rude", "--json")
    assert settled.document["answer"] == {"intent": "refund", "order": "AB1234", "reply": "About your refund, order AB1234."}
    assert settled.document["note"] == "rude" and call("review", guarded, "--json").document == []


def test_a_customers_text_is_shown_harmlessly(guarded: Path, tmp_path: Path, call: Caller) -> None:
    text = f"see [/URL] \x1b]0;mine\x07 \u202e \ud83d, {UNDECIDED}"
    cases = tmp_path / "in.jsonl"
    cases.write_text(json.dumps({"input": text}) + "\n")
    assert call("run", guarded, "--input", cases, "--output", tmp_path / "out.jsonl").status == 0
    listed = call("review", guarded)
    assert r"see [/URL] \x1b]0;mine\x07 \u202e \ud83d, Hello" in listed.out
    listed = call("review", guarded, "--json")
    assert listed.document[0]["text"] == text and listed.out.isascii()


def test_the_played_samples_are_shown_as_they_were_written(capsys: pytest.CaptureFixture[str]) -> None:
    decided = {"outcome": "accepted", "answer": {"intent": "[/b]\x1b[2J"}, "confidence": 0.9, "seconds": 0.001}
    out.print(decisions_table([("see [/URL] my \x1b[31morder \ud83d", decided)]))
    said = capsys.readouterr().out
    assert r"see [/URL] my \x1b[31morder \ud83d" in said and r"intent=[/b]\x1b[2J" in said


def test_a_verdict_that_cannot_be_taken_says_why(guarded: Path, call: Caller) -> None:
    decision = call("decide", guarded, UNDECIDED, "--json").document["id"]
    for answer, why in (("{", "is not JSON"), ("[1]", "JSON object"), ('{"intent": "tea"}', "intent"), ("[" * 9999, "not JSON")):
        ended = call("review", guarded, "--settle", decision, "--answer", answer)
        assert ended.status == 2 and why in ended.err
    assert "no decision nothing" in call("review", guarded, "--settle", "nothing").err
    assert "1 waiting" in call("review", guarded).out


def test_in_a_terminal_cases_are_settled_one_after_the_other(guarded: Path, call: Caller) -> None:
    for number in range(3):
        call("decide", guarded, f"{UNDECIDED} {number}")
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*RUNG, "review", str(guarded)], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    # skip the first; of the second a label that is none, then another and the suggested number; end at the third
    os.write(ours, b"/s\ntea\n\nrefund\n\n/q\n")
    said = b""
    with suppress(OSError):  # the end of a terminal's output is an error
        while part := os.read(ours, 4096):
            said += part
    os.close(ours)
    assert process.wait(30) == 0
    assert b"Enter keeps the suggestion" in said and b"1 problem" in said and b"2 waiting" in said
    (settled,) = re.findall(rb"settled \w+: (.*)\r", said)
    assert json.loads(settled)["intent"] == "refund" and json.loads(settled)["order"] == "AB1234"


def test_who_has_a_case_is_said_and_nobody_else_settles_it(guarded: Path, call: Caller) -> None:
    decision = call("decide", guarded, UNDECIDED, "--json").document["id"]
    now = datetime.now(UTC)
    ledger = ledger_of(load(guarded))
    held = ledger.queue.take("small", "grace", now, now + timedelta(hours=1))
    assert held is not None and call("review", guarded, "--json").document[0]["held_by"] == "grace"
    assert "grace has it" in call("review", guarded).out
    refused = call("review", guarded, "--settle", decision)
    assert refused.status == 1 and "grace is looking at this one" in refused.err
    ledger.queue.release(held.seq, "grace")
    assert call("review", guarded, "--settle", decision).status == 0
    asyncio.run(ledger.close())


def test_what_was_settled_may_become_gold_and_says_how_far_people_agree(guarded: Path, tmp_path: Path, call: Caller) -> None:
    decision = call("decide", guarded, UNDECIDED, "--json").document["id"]
    call("review", guarded, "--settle", decision, "--answer", '{"intent": "login"}')
    output = tmp_path / "candidates.jsonl"
    assert call("gold", "candidates", guarded, "--output", output, "--json").document["written"] == 1
    (line,) = map(json.loads, output.read_text().splitlines())
    assert line["expected"] == {"intent": "login", "order": "AB1234"} and line["source"]["look"] == "unsure"
    with (guarded / "gold.jsonl").open("a") as gold:
        gold.write(output.read_text())
    assert "0 of 1 settled cases" in call("gold", "candidates", guarded, "--output", output).out and output.read_text() == ""
    kept = (guarded / "gold.jsonl").read_bytes()
    assert call("gold", "candidates", guarded, "--output", guarded / "gold.jsonl").status == 2
    assert (guarded / "gold.jsonl").read_bytes() == kept
    agreed = call("gold", "agreement", guarded, "--json").document["fields"]
    assert agreed["intent"] == {"n": 0, "agreed": 0, "kappa": None, "interval": [-1.0, 1.0]}
    assert "intent: 0 of 0 cases settled alike by two" in call("gold", "agreement", guarded).out


# keys and the ledger's address


def test_a_key_is_printed_once_and_never_kept(guarded: Path, call: Caller) -> None:
    key = call("keys", "add", guarded, "ada").out.strip()
    assert re.fullmatch(r"rung-[\w-]{43}", key)
    assert call("keys", "add", guarded, "ada").status == 2
    listed = call("keys", "list", guarded)
    assert listed.out.startswith("ada ") and key not in listed.out + listed.err
    assert all(key.encode() not in path.read_bytes() for path in (guarded / ".rung").glob("ledger.db*"))
    assert call("keys", "revoke", guarded, "ada").status == 0
    (entry,) = call("keys", "list", guarded, "--json").document
    assert entry["name"] == "ada" and entry["revoked"] is not None
    assert call("keys", "revoke", guarded, "ada").status == 2


def test_the_ledger_may_be_elsewhere(guarded: Path, tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere/book.db"
    monkeypatch.setenv("RUNG_LEDGER", url)
    (guarded / ".rung" / "ledger.db").unlink()
    assert "no release was promoted to answer. There are 1: `rung promote` one" in call("decide", guarded, WEATHER).err
    call("promote", guarded, releases(guarded)[0], "--why", "another ledger")
    decision = call("decide", guarded, WEATHER, "--json").document["id"]
    ledger = open_ledger(url)
    assert ledger.find(decision) is not None and not (guarded / ".rung" / "ledger.db").exists()
    asyncio.run(ledger.close())
    monkeypatch.setenv("RUNG_LEDGER", "mysql://nowhere")
    assert "Not a ledger's address" in call("report", guarded).err


def test_help_names_every_verb_and_how_to_begin(call: Caller) -> None:
    said = call("--help").out
    for verb in ("up", "serve", "check", "train", "evaluate", "decide", "run", "review", "report", "keys"):
        assert re.search(rf"^\W*{verb} ", said, re.MULTILINE), verb
    assert "Begin with: rung up WORKLOAD" in said
    assert call("fly").status == 2
