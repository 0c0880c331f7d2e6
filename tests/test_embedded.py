"""Rung inside a Python program: load, train, report, decide, serve."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import openai
import pytest
import uvicorn

import rung
from commands import KEYS, WEATHER
from rung.gateway import Gateway
from rung.ledger import LedgerError, Promotion
from rung.release.frozen import ReleaseError
from rung.release.pointer import ledger_of
from small_workload import put_to_work, write_workload


@pytest.fixture
def folder(small: tuple[rung.Workload, rung.Release], tmp_path: Path) -> Path:
    shutil.copytree(small[0].folder, tmp_path / "work", ignore=shutil.ignore_patterns("ledger.db*"))
    return put_to_work(tmp_path / "work")


def test_all_of_it_takes_a_dozen_lines(folder: Path) -> None:
    workload = rung.load(folder)
    release = rung.train(workload)
    print(release.report)
    with rung.Embedded(workload) as support:
        decision = support.decide(WEATHER, {"channel": "chat"})
    print(decision.outcome, decision.answer, decision.confidence)
    app = rung.asgi(workload, open_access=True)  # uvicorn.run(app)

    assert "at most 10% are wrong" in release.report and decision.release == release.id
    assert decision.answer is not None and decision.answer["intent"] == "weather" and list(decision.document()) == KEYS
    assert isinstance(app, Gateway)


def test_a_notebooks_running_loop_does_not_keep_one_from_training(folder: Path) -> None:
    async def cell() -> rung.Release:
        return rung.train(rung.load(folder))

    assert asyncio.run(cell()).id == rung.train(rung.load(folder)).id


def test_what_is_decided_is_in_the_ledger_before_it_is_returned(folder: Path) -> None:
    workload = rung.load(folder)
    with rung.Embedded(workload) as embedded:
        decision = embedded.decide(WEATHER, {"channel": "chat"}, asked_by="ada")
        found = ledger_of(workload).find(decision.id)
    assert found is not None and found.decision == decision
    assert (found.case.text, found.case.context, found.case.asked_by) == (WEATHER, {"channel": "chat"}, "ada")


def test_many_threads_may_decide_at_once(folder: Path) -> None:
    texts = [f"{WEATHER} {number}" for number in range(40)]
    with rung.Embedded(rung.load(folder)) as embedded, ThreadPoolExecutor(8) as threads:
        decisions = list(threads.map(embedded.decide, texts))
        assert {embedded.ledger.find(each.id).case.text for each in decisions} == set(texts)  # type: ignore[union-attr]


def test_a_ledger_that_is_locked_means_no_answer_and_it_recovers(folder: Path) -> None:
    with rung.Embedded(rung.load(folder)) as embedded:
        with sqlite3.connect(folder / ".rung" / "ledger.db", isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(LedgerError, match="locked"):
                embedded.decide(WEATHER)
            other.execute("ROLLBACK")
        other.close()
        assert embedded.decide(WEATHER).answer is not None


def test_without_a_release_there_is_nothing_to_open(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"Run `rung train"):
        rung.Embedded(write_workload(tmp_path))


def test_the_release_the_ledger_points_to_answers_also_when_the_files_have_changed(folder: Path) -> None:
    workload = rung.load(folder)
    (release,) = (path.name for path in (folder / ".rung" / "releases").glob("[0-9a-f]*"))
    ledger = ledger_of(workload)
    ledger.promote(Promotion(workload.name, release, datetime.now(UTC), "ada", ""), ledger.current_release(workload.name), {})
    asyncio.run(ledger.close())
    (folder / "replies" / "weather.md").write_text("Something else.\n")
    with rung.Embedded(rung.load(folder)) as embedded:
        answer = embedded.decide(WEATHER).answer
        assert embedded.release == release and answer is not None and answer["reply"].startswith("About your weather")


def test_the_application_runs_in_any_asgi_server(folder: Path) -> None:
    server = uvicorn.Server(uvicorn.Config(rung.asgi(rung.load(folder), open_access=True), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:
            messages = [{"role": "user", "content": WEATHER}]
            completion = client.chat.completions.create(model="small", messages=messages)  # type: ignore[arg-type]
            assert "weather" in str(completion.choices[0].message.content)
    finally:
        server.should_exit = True
        thread.join()
