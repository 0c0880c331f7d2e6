"""Turns a database URL into an engine whose commits are on disk, and its failures into words. Knows nothing about decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from rung.ledger.nouns import LedgerError
from rung.ledger.schema import VERSION

LOCK_WAIT = 2  # seconds a statement waits for another program's lock, and a connection for the server

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "sqlite": {"timeout": LOCK_WAIT},
    "postgresql": {"connect_timeout": LOCK_WAIT, "tcp_user_timeout": 1000 * LOCK_WAIT},
}
_SETTINGS = {
    "sqlite": ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"),
    "postgresql": ("SET synchronous_commit = on", f"SET lock_timeout = '{LOCK_WAIT}s'"),
}
_ONE_AT_A_TIME = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(7238105)"}
_NEXT = {
    "sqlite": "Check that the disk has room, that the file may be written and that no other program keeps it locked",
    "postgresql": "Check that the server runs, that the address is right and that no other program locks its tables",
}


def connect(url: str) -> Engine:
    """An engine for a SQLite file or a PostgreSQL database. Creates the file's folder; opens no connection yet."""
    try:
        parsed = make_url(url)
        dialect = parsed.get_backend_name()
        if dialect not in _SETTINGS or (dialect == "sqlite" and parsed.database in (None, "", ":memory:")):
            raise ArgumentError("neither a SQLite file nor a PostgreSQL database")
        if dialect == "sqlite":
            Path(parsed.database or "").parent.mkdir(parents=True, exist_ok=True)
        # The ping makes a restarted server cost nobody a failed record; a file does not restart.
        ping = dialect == "postgresql"
        engine = create_engine(parsed, connect_args=_ARGUMENTS[dialect], pool_pre_ping=ping, pool_timeout=LOCK_WAIT)
    except ArgumentError as error:
        raise LedgerError(f"Not a ledger's address: {error}. Next: give one like sqlite:////var/lib/rung/ledger.db.") from error
    except ModuleNotFoundError as error:
        raise LedgerError(f"A ledger in PostgreSQL needs {error.name}. Next: pip install 'rung[postgres]'.") from error
    except OSError as error:
        raise LedgerError(f"The folder for the ledger {url} cannot be made: {error}. Next: choose another place.") from error
    event.listen(engine, "connect", _make_durable(_SETTINGS[dialect]))
    return engine


def migrate(engine: Engine) -> None:
    """Bring the tables to this version of Rung, creating them where there are none."""
    try:
        with engine.connect() as connection:
            if _version(connection) == VERSION:
                return
        with engine.begin() as connection:
            one_at_a_time(connection)  # two programs may open a new ledger at once
            _upgrade(connection)
    except SQLAlchemyError as error:
        raise explain(engine, error) from error


def one_at_a_time(connection: Connection) -> None:
    """Begin a transaction that no other such one runs beside, in any program."""
    connection.exec_driver_sql(_ONE_AT_A_TIME[connection.dialect.name])


def explain(engine: Engine, error: BaseException) -> LedgerError:
    """What a failure of the database means to the user."""
    cause = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return LedgerError(
        f"The ledger cannot be used: {cause}. Where: {engine.url!r}. Next: {_NEXT[engine.dialect.name]}; "
        "Rung goes on by itself as soon as it can."
    )


def _make_durable(settings: tuple[str, ...]) -> Any:
    def apply(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for setting in settings:
            cursor.execute(setting)
        cursor.close()
        connection.commit()  # PostgreSQL would take the settings back with the transaction they were made in

    return apply


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "rung.ledger:migrations")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise LedgerError(
            f"The ledger {connection.engine.url!r} was written by another version of Rung: {error}. Next: pip install -U rung."
        ) from error
