"""Turns decisions, verdicts, promotions and API keys into rows that are only ever added, and answers questions about them.

Knows nothing about models, HTTP or what a workload means.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from rung.core import Decision, Outcome, Verdict
from rung.ledger import queries, queue, schema, tallies, trials
from rung.ledger.alarms import Alarms
from rung.ledger.connection import connect, explain, migrate, one_at_a_time
from rung.ledger.history import Said, conclusion, history
from rung.ledger.nouns import (
    Arrival,
    End,
    Key,
    KeyRefused,
    KeyRole,
    Latency,
    LedgerError,
    PointerMoved,
    Promotion,
    Record,
    Summary,
    Tally,
    Trial,
    TrialRefused,
    UnknownDecision,
)
from rung.ledger.observed import Marks, Seen, Shadow
from rung.ledger.people import People
from rung.ledger.queue import Queue
from rung.ledger.rows import decode, micros, moment, plain, row
from rung.ledger.schema import decisions, keys, promotions, verdicts
from rung.ledger.search import Found, Search, search
from rung.ledger.writer import Writer

_KEYS = select(keys.c.name, keys.c.at, keys.c.revoked_at, keys.c.role)


def open_ledger(url: str) -> Ledger:
    """The ledger at `sqlite:////folder/file.db` or `postgresql://user@server/database`, created and migrated where needed."""
    engine = connect(url)
    migrate(engine)
    turn = Lock()
    return Ledger(engine, Writer(connect(url), turn), turn)


class Ledger:
    """What was decided, by which release, and what people said about it. `open_ledger` makes one.

    `record` is for one event loop; the other methods block for a query and may be called from any thread. All raise
    LedgerError when the database cannot be used, and work again by themselves once it can.
    """

    def __init__(self, engine: Engine, writer: Writer, turn: Lock) -> None:
        """Read and settle through one engine, record through the writer's own. Who settles takes turns with the writer: SQLite
        has one writer at a time, and lets those who wait for it in as chance has it."""
        self._engine = engine
        self._writer = writer
        self._turn = turn
        self.queue = Queue(self._transaction, self._change)
        self.alarms = Alarms(self._transaction)
        self.people = People(self._transaction)

    async def record(self, record: Record) -> None:
        """Return once the record is on disk. Raises LedgerError within five seconds if that fails."""
        await self._writer.write(row(record), record.drawn)

    def find(self, decision_id: str) -> Record | None:
        """What was recorded under this id."""
        with self._transaction() as connection:
            try:
                return decode(queries.locate(connection, decision_id)["body"], Record)
            except UnknownDecision:
                return None

    def find_all(self, decision_ids: Sequence[str]) -> Mapping[str, Record]:
        """What was recorded under these ids, some hundreds at once, by id; those unknown are left out."""
        with self._transaction() as connection:
            return {record.decision.id: record for record in queries.among(connection, decision_ids)}

    def list(
        self,
        workload: str,
        outcome: Outcome | None = None,
        since: datetime | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Sequence[Record]:
        """The workload's records, newest first; `before` is the id of the last one already seen."""
        with self._transaction() as connection:
            return queries.listing(connection, workload, queries.Page(outcome, since, limit, before))

    def arrived(self, workload: str, release: str, since: datetime, after: int = 0, limit: int = 10_000) -> Sequence[Arrival]:
        """What a release decided since a time, beyond the number `after`, in the order in which it was recorded."""
        with self._transaction() as connection:
            return queries.arrived(connection, (workload, release), micros(since), after, limit)

    def search(self, workload: str, wanted: Search, limit: int = 50, before: str | None = None) -> Found:
        """The workload's records that fit, newest first, as far back as a page's time reaches; `before` is the `onward` of what
        was found until then. Raises UnknownDecision."""
        with self._transaction() as connection:
            return search(connection, workload, wanted, limit, before)

    def history(self, decision_id: str) -> Sequence[Said]:
        """All that people said of a decision, in that order. Raises UnknownDecision."""
        with self._transaction() as connection:
            return history(connection, decision_id)

    def settle(self, verdict: Verdict, at: datetime) -> None:
        """Keep a verdict. A later one on the same decision is the one that counts; both stay. Nobody need look at it any more."""
        with self._change() as connection:
            judged = queries.judge(connection, verdict, at)
            connection.execute(insert(verdicts), judged)
            queue.close(connection, judged, verdict.by)

    def verdict(self, decision_id: str) -> Verdict | None:
        """The latest verdict on a decision."""
        said = self.conclusion(decision_id)
        return None if said is None or said.discarded else said.verdict

    def conclusion(self, decision_id: str) -> Said | None:
        """What came of a decision for whoever asked: the latest verdict, or else that the case was discarded."""
        with self._transaction() as connection:
            return conclusion(connection, decision_id)

    def settled(self, workload: str) -> Sequence[tuple[Record, Verdict]]:
        """Records with a verdict, each with its latest, oldest record first."""
        with self._transaction() as connection:
            return queries.settled(connection, workload)

    def waiting(self, workload: str, limit: int = 50) -> Sequence[Record]:
        """Records under review without a verdict, oldest first."""
        with self._transaction() as connection:
            return queries.waiting(connection, workload, limit)

    def count_waiting(self, workload: str) -> int:
        """How many records are under review without a verdict."""
        with self._transaction() as connection:
            return queries.count_waiting(connection, workload)

    def summary(self, workload: str, since: datetime | None = None) -> Summary:
        """The workload in numbers, since a time or altogether."""
        with self._transaction() as connection:
            return queries.summarise(connection, workload, since)

    def tallies(self, workload: str, since: datetime, until: datetime, step: int = 1) -> Sequence[Tally]:
        """The workload's decisions in sums by the hour, from the hour of `since` to before `until`, oldest first; those of `step`
        hours (from 1970 on) together."""
        with self._transaction() as connection:
            return tallies.tallies(connection, workload, micros(since), micros(until), step)

    def latencies(self, workload: str, since: datetime, until: datetime, step: int = 1) -> Sequence[Latency]:
        """How long they took, in the same hours."""
        with self._transaction() as connection:
            return tallies.times(connection, workload, micros(since), micros(until), step)

    def promote(self, promotion: Promotion, instead_of: str | None, evidence: Mapping[str, Any]) -> None:
        """Make a release the one that answers and end the trial against the other, in one transaction.

        Raises PointerMoved unless `instead_of` answers now.
        """
        with self._transaction() as connection:
            one_at_a_time(connection)
            current = queries.pointed(connection, promotion.workload)
            if current != instead_of:
                raise PointerMoved(
                    f"{promotion.workload}: {current and current[:12]} answers by now, and not {instead_of and instead_of[:12]}: "
                    "somebody else promoted or rolled back. Next: look at rung release history, and decide anew."
                )
            entry = queries.promotion_row(promotion, evidence)
            entry["at"] = max(entry["at"], queries.last_promotion(connection, promotion.workload) + 1)  # clocks may differ
            connection.execute(insert(promotions), entry)
            trials.finish_for(connection, promotion)

    def current_release(self, workload: str) -> str | None:
        """The release promoted last."""
        with self._transaction() as connection:
            return queries.pointed(connection, workload)

    def promotions(self, workload: str) -> Sequence[Promotion]:
        """Every promotion and rollback, oldest first."""
        with self._transaction() as connection:
            return queries.promoted(connection, workload)

    def begin_trial(self, trial: Trial) -> None:
        """Keep a trial that begins. Raises TrialRefused while another runs, PointerMoved unless `against` answers now."""
        with self._transaction() as connection:
            one_at_a_time(connection)
            if running := trials.newest(connection, trial.workload, running=True):
                raise TrialRefused(
                    f"{trial.workload}: release {running.release[:12]} is being tried since {running.at:%Y-%m-%d %H:%M} UTC, and "
                    "there is one trial at a time. Next: rung release trial shows it, rung release stop ends it."
                )
            if queries.pointed(connection, trial.workload) != trial.against:
                raise PointerMoved(
                    f"{trial.workload}: release {trial.against[:12]} does not answer by now: somebody else promoted or rolled "
                    "back. Next: look at rung release history, and decide anew."
                )
            trials.begin(connection, trial)

    def end_trial(self, trial: str, end: End) -> bool:
        """End a trial. Says whether that did it: of all who try, one does."""
        with self._transaction() as connection:
            return trials.finish(connection, schema.trials.c.id == trial, end)

    def trial(self, workload: str, running: bool = False) -> Trial | None:
        """The workload's last trial; with `running`, only one that has not ended."""
        with self._transaction() as connection:
            return trials.newest(connection, workload, running)

    def marks(self) -> Marks:
        """How far everything goes that is recorded now."""
        with self._transaction() as connection:
            return trials.marks(connection)

    def read_trial(self, trial: str, after: Marks, until: Marks) -> Seen:
        """What a trial brought after some marks, at most 10,000 of each kind; nothing is left once `Seen.until` is `until`."""
        with self._transaction() as connection:
            return trials.portion(connection, trial, after, until)

    def add_shadows(self, shadows: Sequence[Shadow]) -> None:
        """Keep what a challenger decided unseen, about cases that are recorded; others are left out."""
        with self._transaction() as connection:
            trials.add_shadows(connection, shadows)

    def unseen(self, trial: str, decision_ids: Sequence[str]) -> Mapping[str, Decision]:
        """What a trial's challenger decided unseen about these cases, by their id."""
        with self._transaction() as connection:
            return {decision.id: decision for decision in trials.unseen(connection, trial, decision_ids)}

    def add_key(self, name: str, digest: bytes, at: datetime, role: KeyRole = "caller") -> None:
        """Let a key in by its digest. Raises KeyRefused if a key of that name is in force or the digest was ever used."""
        try:
            with self._transaction() as connection:
                connection.execute(insert(keys), {"name": plain(name), "digest": digest, "at": micros(at), "role": role})
        except LedgerError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise KeyRefused(f"There is already a key named {name}. Next: revoke it, or choose another name.") from error
            raise

    def key(self, digest: bytes) -> Key | None:
        """The key of this digest, if it is in force."""
        with self._transaction() as connection:
            row = connection.execute(_KEYS.where(keys.c.digest == digest, keys.c.revoked_at.is_(None))).one_or_none()
        return None if row is None else _key(*row)

    def revoke_key(self, name: str, at: datetime) -> None:
        """Shut a key out from now on. Raises KeyRefused if no key of that name is in force."""
        in_force = update(keys).where(keys.c.name == plain(name), keys.c.revoked_at.is_(None))
        with self._transaction() as connection:
            if connection.execute(in_force.values(revoked_at=micros(at))).rowcount == 0:
                raise KeyRefused(f"No key named {name} is in force. Next: list the keys.")

    def list_keys(self) -> Sequence[Key]:
        """Every key there ever was, oldest first."""
        with self._transaction() as connection:
            return [_key(*row) for row in connection.execute(_KEYS.order_by(keys.c.seq))]

    def healthy(self) -> bool:
        """Whether the database answers."""
        try:
            with self._transaction() as connection:
                connection.execute(select(decisions.c.seq).limit(1))
        except LedgerError:
            return False
        return True

    async def close(self) -> None:
        """Finish what is being recorded and end every connection."""
        await self._writer.close()
        self._engine.dispose()

    @contextmanager
    def _change(self) -> Generator[Connection]:
        with self._turn, self._transaction() as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Generator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise explain(self._engine, error) from error


def _key(name: str, at: int, revoked: int | None, role: KeyRole) -> Key:
    return Key(name, moment(at), None if revoked is None else moment(revoked), role)
