"""A release's decisions as they come in, by day and by night, and what two windows on them say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from gateway_stage import workload
from records import accepted
from rung.core import Case
from rung.ledger import Ledger, Record, open_ledger
from rung.monitor import stream as streams
from rung.monitor.signals import Finding
from rung.monitor.stream import Stream

MIDNIGHT, HOUR, DAY = datetime(2026, 11, 2, tzinfo=UTC), timedelta(hours=1), timedelta(days=1)
DAYTIME, NIGHT, NEW = "a refund, please", "my card is lost", "where is my parcel"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    yield opened
    asyncio.run(opened.close())


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of a size that a test can fill: a day brings several."""
    for name, value in (("REFERENCE", 400), ("WINDOW", 100), ("EVERY", 20)):
        monkeypatch.setattr(streams, name, value)


def embed(texts: Sequence[str]) -> np.ndarray:
    """Those that say the same lie near each other."""
    made = np.random.default_rng(len(texts)).normal(0, 0.1, (len(texts), 8)).astype(np.float32)
    made[np.arange(len(texts)), [(DAYTIME, NIGHT, NEW).index(text) for text in texts]] += 1
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def bring(ledger: Ledger, *cases: tuple[str, datetime]) -> None:
    records = [(text, at, accepted()) for text, at in cases]

    async def all_at_once() -> None:
        await asyncio.gather(*(ledger.record(Record("support", Case(text, id=one.id), one, at)) for text, at, one in records))

    asyncio.run(all_at_once())


def live(ledger: Ledger, day: datetime, hours: Sequence[int] = range(24)) -> None:
    """Ten cases an hour; between midnight and six, others."""
    minutes = (day + hour * HOUR + minute * HOUR / 10 for hour in hours for minute in range(10))
    bring(ledger, *((NIGHT if at.hour < 6 else DAYTIME, at) for at in minutes))


def started(ledger: Ledger, folder: Path) -> Stream:
    """After a week and a day, with its first look behind it."""
    stream = Stream(ledger, workload(folder), "r1", MIDNIGHT, embed, folder / "cache")
    live(ledger, MIDNIGHT, range(7 * 24))
    assert stream.look(MIDNIGHT + 7 * DAY) is None and stream.reference is not None
    live(ledger, MIDNIGHT + 7 * DAY)
    return stream


def drifted(stream: Stream, now: datetime) -> dict[str, Finding]:
    sight = stream.look(now)
    assert sight is not None
    assert "novelty" in {one.signal for one in sight.findings}
    return {one.signal: one for one in sight.findings if one.drifted}


def test_no_hour_of_the_day_rings_an_alarm(tmp_path: Path, ledger: Ledger) -> None:
    stream = started(ledger, tmp_path)
    assert drifted(stream, MIDNIGHT + 8 * DAY) == {}
    for hour in range(2, 50, 2):
        day = MIDNIGHT + 8 * DAY + (hour - 2) // 24 * DAY
        live(ledger, day, range((hour - 2) % 24, (hour - 2) % 24 + 2))
        assert drifted(stream, MIDNIGHT + 8 * DAY + hour * HOUR) == {}


def test_a_new_kind_is_found_by_the_last_cases_before_a_day_is_full_of_it(tmp_path: Path, ledger: Ledger) -> None:
    stream = started(ledger, tmp_path)
    stream.look(MIDNIGHT + 8 * DAY)
    live(ledger, MIDNIGHT + 8 * DAY, range(13))
    bring(ledger, *[(NEW, MIDNIGHT + 8 * DAY + 12.5 * HOUR)] * 20)  # of the day's window it is nothing until the hour is full
    found = drifted(stream, MIDNIGHT + 8 * DAY + 12.9 * HOUR)
    assert set(found) == {"novelty"}
    sight, (shown, *_) = stream.sight, found["novelty"].clusters
    assert sight is not None
    assert {ledger.find(sight.decisions[at]).case.text for at in shown.examples} == {NEW}


def test_before_a_day_has_passed_only_the_last_cases_are_looked_at(tmp_path: Path, ledger: Ledger) -> None:
    stream = Stream(ledger, workload(tmp_path), "r1", MIDNIGHT, embed, tmp_path / "cache")
    live(ledger, MIDNIGHT, range(7 * 24))
    stream.look(MIDNIGHT + 7 * DAY)
    live(ledger, MIDNIGHT + 7 * DAY, range(12))
    sight = stream.look(MIDNIGHT + 7 * DAY + 12 * HOUR)
    assert sight is not None and [one.signal for one in sight.findings] == ["novelty"] and len(sight.decisions) == 100


def test_a_restarted_watch_knows_the_last_day(tmp_path: Path, ledger: Ledger) -> None:
    started(ledger, tmp_path)
    again = Stream(ledger, workload(tmp_path), "r1", MIDNIGHT, embed, tmp_path / "cache")
    assert again.look(MIDNIGHT + 8 * DAY) is None
    live(ledger, MIDNIGHT + 8 * DAY, range(2))
    sight = again.look(MIDNIGHT + 8 * DAY + 2 * HOUR)
    assert sight is not None and len(sight.findings) > 1 and len(sight.decisions) == 200
