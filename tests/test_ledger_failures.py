"""When things go wrong: no record is half written, none that was acknowledged is lost, and the ledger heals by itself."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from records import NOON, accepted, ids, record
from rung.core import Case
from rung.ledger import Ledger, LedgerError, Record, open_ledger


@contextmanager
def locked(url: str) -> Generator[None]:
    """Another program holds the tables."""
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(
            text("BEGIN IMMEDIATE" if url.startswith("sqlite") else "LOCK TABLE decisions IN ACCESS EXCLUSIVE MODE")
        )
        yield
        connection.rollback()
    engine.dispose()


def test_a_locked_database_fails_soon_and_heals_by_itself(ledger: Ledger, ledger_url: str) -> None:
    with locked(ledger_url):
        began = time.monotonic()
        with pytest.raises(LedgerError, match="lock") as failure:
            record(ledger, *(accepted() for _ in range(32)))
        assert time.monotonic() - began < 5.5
        assert failure.value.code == "ledger_unavailable"
    assert ledger.list("support") == []
    (written,) = record(ledger, accepted())
    assert ids(ledger.list("support")) == [written.decision.id]


@pytest.mark.slow
def test_nobody_waits_longer_than_five_seconds_however_many_wait(ledger_url: str) -> None:
    async def many() -> tuple[float, list[object]]:
        ledger = open_ledger(ledger_url)
        records = [Record("support", Case("x", id=each.id), each, NOON) for each in (accepted() for _ in range(400))]
        with locked(ledger_url):
            began = time.monotonic()
            outcomes = await asyncio.gather(*map(ledger.record, records), return_exceptions=True)
            waited = time.monotonic() - began
        await ledger.close()
        return waited, outcomes

    waited, outcomes = asyncio.run(many())
    assert all(isinstance(outcome, LedgerError) for outcome in outcomes)
    assert waited < 6


def test_a_server_that_drops_its_connections_costs_no_record(ledger: Ledger, ledger_url: str) -> None:
    if ledger_url.startswith("sqlite"):
        pytest.skip("SQLite has no connections to drop")
    record(ledger, accepted())
    engine = create_engine(ledger_url)
    with engine.begin() as connection:
        others = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
        assert connection.execute(text(others + "pg_backend_pid()")).all()
    engine.dispose()
    record(ledger, accepted())
    assert len(ledger.list("support")) == 2
    assert ledger.healthy()


FULL_DISK = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from records import *
from rung.ledger import LedgerError, open_ledger
ledger = open_ledger(sys.argv[1])
record(ledger, accepted())
roomy = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, roomy[1]))
kept = 1
try:
    for _ in range(100):
        record(ledger, *(accepted() for _ in range(4)), text="x" * 2000)
        kept += 4
except LedgerError as error:
    print(error.code, error)
assert 1 < kept < 400, kept
try:
    record(ledger, accepted(), text="x" * 200_000)
except LedgerError:
    print("still full")
assert len(ledger.list("support", limit=1000)) == kept
resource.setrlimit(resource.RLIMIT_FSIZE, roomy)
record(ledger, accepted())
assert len(ledger.list("support", limit=1000)) == kept + 1
asyncio.run(ledger.close())
print("healed")
"""


def test_a_full_disk_refuses_whole_batches_and_heals_by_itself(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", FULL_DISK, f"sqlite:///{tmp_path}/ledger.db", str(Path(__file__).parent)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ledger_unavailable The ledger cannot be used")
    assert done.stdout.endswith("still full\nhealed\n")


RECORD_FOREVER = """
import sys, uuid
sys.path.insert(0, sys.argv[2])
from records import *
from rung.ledger import LedgerError, open_ledger
async def caller(ledger):
    while True:
        decision = accepted(id=uuid.uuid4().hex)
        await ledger.record(Record("support", Case("hello", id=decision.id), decision, NOON))
        print(decision.id, flush=True)
async def main():
    ledger = open_ledger(sys.argv[1])
    await asyncio.gather(*(caller(ledger) for _ in range(16)))
asyncio.run(main())
"""


def test_whatever_was_acknowledged_survives_kill_9(ledger_url: str) -> None:
    arguments = [sys.executable, "-c", RECORD_FOREVER, ledger_url, str(Path(__file__).parent)]
    acknowledged: list[str] = []
    for _ in range(2):
        child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        acknowledged += [child.stdout.readline().strip() for _ in range(150)]
        child.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in child.stdout if line.endswith("\n")]
        child.stdout.close()
        child.wait()
    reopened = open_ledger(ledger_url)
    assert len(set(acknowledged)) >= 300
    assert [each for each in acknowledged if reopened.find(each) is None] == []
    asyncio.run(reopened.close())
