"""A small world for the gateway's tests: a workload, a ledger, a release that decides by key words, and a server in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rung.gateway
from rung.core import Answer, Attempt, Case, Decision, Outcome, Problem, RungError
from rung.gateway import Gateway, application
from rung.ledger import Ledger, LedgerError, Record, open_ledger
from rung.workload import Workload, load

RELEASE = "5eed" * 16
SECRET = "postgresql://rung:hunter2@db.example/rung"

FILE = """
workload: {name}
task: Name the intent of a customer's message.
answer:
  type: object
  properties:
    intent: {{enum: [refund, other]}}
    order: {{type: [string, "null"], pattern: "^[A-Z]{{2}}[0-9]{{4}}$"}}
  required: [intent]
  additionalProperties: false
gold: gold.jsonl
promise: {{error: 0.02, confidence: 0.95}}
"""


def workload(folder: Path, name: str = "support") -> Workload:
    (folder / "gold.jsonl").write_text('{"input": "money back", "expected": {"intent": "refund", "order": null}}\n')
    (folder / "workload.yaml").write_text(FILE.format(name=name))
    return load(folder)


@dataclass
class FakeLive:
    """Decides by key words: "hard" is for a person, "slow" takes a second, "unrecorded" and "broken" fail."""

    workload: Workload
    ledger: Ledger
    release: str = RELEASE
    pointed: str | None = None
    home: Path | None = None
    since: datetime = datetime(2026, 11, 2, tzinfo=UTC)
    level: float = 0.9
    asked: list[Case] = field(default_factory=list)

    async def decide(self, case: Case) -> Decision:
        self.asked.append(case)
        if "slow" in case.text:
            await asyncio.sleep(1.0)
        if "unrecorded" in case.text:
            raise LedgerError(f"The ledger cannot be used: {SECRET}")
        if "broken" in case.text:
            raise ValueError(case.text)
        decision = decide(case)
        await self.ledger.record(Record(self.workload.name, case, decision, datetime.now(UTC)))
        return decision

    async def explain(self, case: Case, tiers: Collection[str]) -> Sequence[Attempt]:
        return decide(case).attempts if "specialist" in tiers else ()

    async def follow(self) -> None: ...

    async def close(self) -> None: ...


def decide(case: Case) -> Decision:
    hard = "hard" in case.text
    answer = Answer({"intent": "refund" if "money" in case.text else "other"}, cost=0.0, seconds=0.001)
    problems = (Problem("schema", "order is missing"),) if hard else ()
    attempt = Attempt("specialist", answer, problems, 0.25 if hard else 0.99, 0.001, trusted=not hard)
    return Decision(
        id=case.id,
        outcome=Outcome.REVIEW if hard else Outcome.ACCEPTED,
        answer=None if hard else answer.fields,
        confidence=attempt.confidence,
        tier="person" if hard else "specialist",
        release=RELEASE,
        cost=0.0,
        seconds=0.002,
        attempts=(attempt,),
    )


@dataclass
class Stage:
    """A running server: where it listens, and what stands behind it."""

    url: str
    app: Gateway
    live: FakeLive
    ledger: Ledger

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


@contextmanager
def staged(
    folder: Path, *, open_access: bool = True, make: Callable[[Workload, Ledger], Any] = FakeLive, given: Workload | None = None
) -> Iterator[Stage]:
    """A server on a free port, in a thread of its own, for the length of the `with`; `make` makes what answers for a workload."""
    ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
    live = make(given or workload(folder), ledger)
    app = application([live], ledger, open_access=open_access)
    started: list[Stage] = []
    problems: list[RungError] = []
    ready = threading.Event()
    stops: list[Callable[[], None]] = []

    async def run() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set) and None)
        try:
            async with rung.gateway.serving(app, "127.0.0.1", 0) as url:
                started.append(Stage(url, app, live, ledger))
                ready.set()
                await stop.wait()
        except RungError as error:
            problems.append(error)
            ready.set()
        await ledger.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(10) and not problems, problems
    try:
        yield started[0]
    finally:
        stops[0]()
        thread.join(15)


async def ask(
    app: Gateway, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """One request straight into the application, as a server would pass it on."""
    path, _, query = path.partition("?")
    given = {"host": "127.0.0.1:8000", "content-type": "application/json", **(headers or {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    sent: list[dict[str, Any]] = []
    parts = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(parts, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])
