"""How long each page takes over HTTP once the ledger holds a million decisions, in SQLite and, where initdb is, in PostgreSQL.

The ledger is filled by bulk inserts with what recording, reviewing and settling would have left: thirty days of decisions, a
fifth of them left to people, a fiftieth of the other answers drawn for review, all but 2,000 of those settled, a twentieth of
them looked at twice, and the sums by the hour. `pages.py serve LEDGER PORT` is the server's side of it.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import floor, log2
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import uvloop
from sqlalchemy import Connection, create_engine, insert, text

from rung.core import Answer, Attempt, Case, Decision, Outcome, Problem, Verdict
from rung.ledger import Alarm, Promotion, Record, open_ledger
from rung.ledger.rows import encode, micros
from rung.ledger.schema import decisions, hours, latencies, reviews, verdicts
from rung.ledger.tallies import FINENESS, HOUR

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 100.0  # milliseconds
ROUNDS = 20
DAYS = 30
OPEN = 2_000
KINDS = 600  # different bodies
PORTION = 20_000
RELEASE = "5eed" * 16
LABELS = ("refund", "card_lost", "fee_question", "other")

FILE = """
workload: support
task: Read a customer's message. Name what the customer wants, and copy the order number if there is one.
answer:
  type: object
  properties:
    intent: {enum: [refund, card_lost, fee_question, other]}
    order: {type: [string, "null"], pattern: "^AB[0-9]{6}$"}
  required: [intent, order]
  additionalProperties: false
gold: gold.jsonl
tiers: [specialist, {endpoint: frontier, model: large}]
promise: {error: 0.03, confidence: 0.95}
limits: {p99: 3s}
boundary: never
volume: 1_000_000/month
"""
ENDPOINTS = """
frontier:
  url: http://127.0.0.1:9/v1
  size: frontier
  weights: closed
  boundary: inside
  price: {input: 2.5, output: 10.0}
"""
PAGES = (
    "overview",
    "overview?range=24h",
    "overview?range=30d",
    "money?range=30d",
    "report",
    "review",
    "review/queue",
    "review/alike",
    "decisions",
    "decisions?words=parcel",
    "decisions?outcome=review&tier=person",
    "decisions/{decision}",
    "releases",
    "workload",
    "playground",
    "alarms",
)


class Past:
    """A million decisions, as rows. `until` is when the last of them was made."""

    def __init__(self, count: int, until: datetime) -> None:
        self._count, self._end = count, micros(until)
        self._chance = random.Random(11)
        self._kinds = [self._kind(n) for n in range(KINDS)]
        self._sums: dict[tuple[Any, ...], list[float]] = {}
        self._times: Counter[tuple[Any, ...]] = Counter()
        self._reviews = 0
        self.last = ""

    def fill(self, connection: Connection) -> None:
        """Insert everything."""
        span = DAYS * 24 * HOUR
        for start in range(0, self._count, PORTION):
            numbers = range(start + 1, min(start + PORTION, self._count) + 1)
            rows = [self._decision(seq, self._end - span * (self._count - seq) // self._count) for seq in numbers]
            connection.execute(insert(decisions), [row for row, _ in rows])
            looked = [review for row, drawn in rows for review in self._looks(row, drawn)]
            connection.execute(insert(reviews), looked)
            judged = [self._verdict(each) for each in looked if each["settled_at"] and each["look"] != "second"]
            connection.execute(insert(verdicts), judged)
            self.last = rows[-1][0]["id"]
            print(f"\r  {numbers[-1]:,} decisions", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        names = [column.name for column in hours.c]
        connection.execute(insert(hours), [dict(zip(names, (*key, *sums), strict=True)) for key, sums in self._sums.items()])
        names = [column.name for column in latencies.c]
        connection.execute(insert(latencies), [dict(zip(names, (*key, n), strict=True)) for key, n in self._times.items()])

    def _kind(self, n: int) -> tuple[dict[str, Any], bytes]:
        """One of the different decisions: the row, and its body with marks where the id and the time go."""
        chance = self._chance
        intent = LABELS[n % 4]
        words = "Please look into this, the parcel never came and I have written before. " * chance.randint(1, 4)
        case = Case(f"{intent.replace('_', ' ')} AB{n:06d}: {words}", {"channel": "mail"}, "key:web", id="ID" * 14)
        fields = {"intent": intent, "order": f"AB{n:06d}"}
        sure, seconds = chance.betavariate(8, 1), chance.lognormvariate(-5, 0.4)
        objections = (Problem("schema", "order: is missing"),)
        answer = Answer(fields, {"intent": sure, "order": sure}, {"margin": 2.1, "energy": -3.4}, 0.0, seconds)
        tries = (Attempt("specialist", answer, (), sure, seconds, 0.0, trusted=n % 10 < 7),)
        how = (Outcome.ACCEPTED, "specialist", 0.0) if n % 10 < 7 else (Outcome.ESCALATED, "large", 0.0019)
        if n % 10 >= 8:
            how = Outcome.REVIEW, "person", 0.0
            tries = (Attempt("specialist", answer, objections, 0.4, seconds, 0.0),)
        if how[0] is Outcome.ESCALATED:
            slow = chance.lognormvariate(0, 0.4)
            said = Answer(fields, {}, {}, 0.0019, slow, (612, 37))
            tries, seconds = (*tries, Attempt("frontier/large", said, (), 0.97, slow, 0.0019, trusted=True)), seconds + slow
            how = Outcome.ESCALATED, "frontier/large", 0.0019
        given = None if how[0] is Outcome.REVIEW else fields
        decision = Decision(case.id, how[0], given, sure, how[1], RELEASE, how[2], seconds, tries)
        record = Record("support", case, decision, datetime(1999, 1, 1, tzinfo=UTC))
        row = {
            "workload": "support",
            "release": RELEASE,
            "tier": how[1],
            "outcome": how[0].value,
            "confidence": sure,
            "cost": how[2],
            "seconds": seconds,
            "asked_by": "key:web",
            "failed": False,
        }
        return row, encode(record)

    def _decision(self, seq: int, at: int) -> tuple[dict[str, Any], bool]:
        """A row, and whether its answer was drawn for review."""
        kind, body = self._chance.choice(self._kinds)
        id_ = f"{at // 1000:012x}{seq:016x}"
        time_ = f"{datetime.fromtimestamp(at / 1e6, UTC):%Y-%m-%dT%H:%M:%S}"
        body = body.replace(b"ID" * 14, id_.encode()).replace(b"1999-01-01T00:00:00", time_.encode())
        key = "support", at // HOUR, RELEASE, kind["tier"], kind["outcome"]
        sums = self._sums.setdefault(key, [0, 0.0, 0.0])
        for place, value in enumerate((1, kind["cost"], kind["seconds"])):
            sums[place] += value
        self._times["support", at // HOUR, floor(FINENESS * log2(kind["seconds"]))] += 1
        drawn = kind["outcome"] != Outcome.REVIEW.value and self._chance.random() < 0.02
        return {"seq": seq, "id": id_, "at": at, **kind, "body": body}, drawn

    def _looks(self, row: Mapping[str, Any], drawn: bool) -> Iterator[dict[str, Any]]:
        """The reviews that follow from a decision: those of the last 2,000 or so are open."""
        unsure = row["outcome"] == Outcome.REVIEW.value
        if not (unsure or drawn):
            return
        chance = self._chance
        left = (self._count - row["seq"]) * 0.216  # reviews still to come
        at = row["at"] + floor(chance.uniform(0.1, 4) * HOUR)
        settled = left > OPEN
        self._reviews += 1
        common = {name: row[name] for name in ("workload", "release", "tier", "confidence")} | {"decision": row["seq"]}
        done = {
            "settled_at": min(at, self._end) if settled else None,
            "settled_by": chance.choice(("ann", "ben", "cleo")) if settled else None,
            "seconds": chance.lognormvariate(3, 0.5) if settled else None,
        }
        wrong = None if not settled else unsure or chance.random() < 0.02
        look = "unsure" if unsure else "sample"
        yield {
            "seq": self._reviews,
            "at": row["at"],
            "look": look,
            "share": 1.0 if unsure else 0.02,
            "wrong": wrong,
            "body": None,
        } | (common | done)
        if settled and chance.random() < 0.05:
            self._reviews += 1
            body = encode(Verdict(row["id"], {"intent": chance.choice(LABELS[:2]), "order": None}, "dora"))
            again = {"seq": self._reviews, "at": at, "look": "second", "share": 1.0, "wrong": None, "body": body}
            yield again | common | done | {"settled_by": "dora"}

    def _verdict(self, review: Mapping[str, Any]) -> dict[str, Any]:
        body = encode(Verdict("ID", {"intent": self._chance.choice(LABELS[:2]), "order": None}, review["settled_by"]))
        said = {"decision": review["decision"], "at": review["settled_at"], "overturned": bool(review["wrong"]), "body": body}
        return said | {"workload": "support", "by": review["settled_by"], "due": 0}


def fill(url: str, count: int) -> str:
    """A ledger at this address with so many decisions; gives the id of the last."""
    ledger = open_ledger(url)
    now = datetime.now(UTC)
    past, engine, began = Past(count, now), create_engine(url), time.perf_counter()
    with engine.begin() as connection:
        past.fill(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("VACUUM ANALYZE"))  # which it does by itself after a while
        held = {each: connection.execute(text(f"SELECT count(*) FROM {each}")).scalar() for each in ("decisions", "reviews")}
        summed = connection.execute(text("SELECT sum(decisions) FROM hours")).scalar()
        waits = connection.execute(text("SELECT count(*) FROM reviews WHERE settled_at IS NULL")).scalar()
    assert held["decisions"] == summed == count, (held, summed)
    engine.dispose()
    ledger.promote(Promotion("support", RELEASE, now - timedelta(days=DAYS + 1), "ola", "first"), None, {})
    ledger.alarms.ring(Alarm("support", "drift", "length", "Messages have become longer.", now - timedelta(hours=3)))
    asyncio.run(ledger.close())
    seconds = time.perf_counter() - began
    print(f"  filled in {seconds:.0f} s: {held['decisions']:,} decisions, {held['reviews']:,} reviews, {waits:,} of them open")
    return past.last


async def serve(url: str, port: int) -> None:
    """The gateway before models that answer at once."""
    from rung.cascade import Cascade, Tier
    from rung.cascade.checks import open_checks
    from rung.cascade.templates import open_templates
    from rung.gateway import application
    from rung.gateway import serve as serve_application
    from rung.release.live import Live
    from rung.testing import FakeModel
    from rung.workload import load

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "gold.jsonl").write_text('{"input": "money back", "expected": {"intent": "refund", "order": null}}\n')
        (folder / "workload.yaml").write_text(FILE)
        (folder / "endpoints.yaml").write_text(ENDPOINTS)
        workload = load(folder)
        tiers = tuple(
            Tier(
                tier.name,
                FakeModel(lambda case, objections: Answer({"intent": "other", "order": None})),
                lambda signals: 1.0,
                20.0,
            )
            for tier in workload.tiers
        )
        cascade = Cascade(tiers, 0.5, RELEASE, open_templates(workload), open_checks(workload))
        ledger = open_ledger(url)
        live = Live(workload, cascade, ledger)
        await serve_application(application([live], ledger, open_access=True), "127.0.0.1", port, lambda url: None)


@contextmanager
def serving(url: str) -> Iterator[tuple[int, int]]:
    """The port of a server, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, __file__, "serve", url, str(port)])
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                ask(port, "/healthz")
                break
            except OSError:
                if time.monotonic() > deadline or server.poll() is not None:
                    raise
                time.sleep(0.1)
        yield port, server.pid
    finally:
        server.terminate()
        server.wait(30)


def ask(port: int, path: str) -> tuple[int, bytes, float]:
    """Status, body and milliseconds of one request, its connection included."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"accept": "text/html"})
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, body, 1000 * (time.perf_counter() - began)


def processor(process: int) -> float:
    """Milliseconds that a process has kept a core busy; its database's server not included."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(url: str, last: str) -> int:
    """Print each page's times; gives how many missed the limit."""
    missed = 0
    with serving(url) as (port, process):
        for page in PAGES:
            path = f"/w/support/{page.format(decision=last)}"
            first = ask(port, path)
            if first[0] != 200:
                print(f"  {page.split('{')[0]:38} answered {first[0]}")
                missed += 1
                continue
            before = processor(process)
            times = [ask(port, path)[2] for _ in range(ROUNDS)]
            busy = (processor(process) - before) / ROUNDS
            middle, high = median(times), quantiles(times, n=20)[-1]
            missed += high > LIMIT
            word = "reached" if high <= LIMIT else "MISSED"
            size = f"{len(first[1]) / 1024:.0f} kB"
            shown = page.replace("{decision}", "ID")
            told = f"median {middle:6.1f} ms  p95 {high:6.1f} ms  limit {LIMIT:.0f}: {word}  CPU {busy:5.1f} ms"
            print(f"  {shown:38} {told}  first {first[2]:6.0f} ms  {size}", flush=True)
    return missed


def main(argv: Sequence[str]) -> None:
    if argv[:1] == ["serve"]:
        uvloop.run(serve(argv[1], int(argv[2])))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("--keep", type=Path, help="a folder that the SQLite ledger stays in, and is read from if it is there")
    given = parser.parse_args(argv)
    sys.path.insert(0, str(ROOT / "tests"))
    from postgres import PostgresMissing, running_postgres

    missed = 0
    if given.only != "postgresql":
        print(f"SQLite, {given.decisions:,} decisions")
        with tempfile.TemporaryDirectory() as temporary:
            folder = given.keep or Path(temporary)
            url, mark = f"sqlite:///{folder}/ledger.db", folder / "last"
            if not mark.exists():
                folder.mkdir(parents=True, exist_ok=True)
                mark.write_text(fill(url, given.decisions))
            missed += measure(url, mark.read_text())
    if given.only != "sqlite":
        try:
            with running_postgres() as folder:
                print(f"PostgreSQL, {given.decisions:,} decisions")
                url = f"postgresql+psycopg://postgres@/postgres?host={folder}"
                missed += measure(url, fill(url, given.decisions))
        except PostgresMissing as missing:
            print(f"SKIPPED PostgreSQL: {missing}")
    print(f"{missed} missed" if missed else "all reached")


if __name__ == "__main__":
    main(sys.argv[1:])
