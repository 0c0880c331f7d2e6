"""Starts a throw-away PostgreSQL for one test session: its own folder, a Unix socket only, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg


class PostgresMissing(Exception):
    """This machine cannot give the tests a PostgreSQL; the text says why."""


@contextmanager
def running_postgres() -> Generator[str]:
    """The folder of the socket of a server that trusts whoever may enter it; raises PostgresMissing."""
    binaries, account = _binaries(), _account()
    folder = Path(tempfile.mkdtemp(prefix="rung-pg-"))
    try:
        if account:
            os.chown(folder, account.pw_uid, account.pw_gid)
        _initialise(account, binaries, folder)
        options = ["-D", f"{folder}/data", "-k", str(folder), "-c", "listen_addresses=", "-c", "max_connections=50"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(_as(account, [f"{binaries}/postgres", *options]), cwd=folder, stdout=log, stderr=log)
        try:
            _await(server, folder)
            yield str(folder)
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing in it is worth a checkpoint
            server.wait(30)
    finally:
        shutil.rmtree(folder)


def _binaries() -> Path:
    on_path = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = [Path(on_path).parent] if on_path else debian
    if not found or not (found[-1] / "initdb").exists():
        raise PostgresMissing("PostgreSQL is not installed (apt-get install postgresql)")
    return found[-1]


def _account() -> pwd.struct_passwd | None:
    """Whom the server has to run as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _as(account: pwd.struct_passwd | None, command: Sequence[str]) -> list[str]:
    setpriv = shutil.which("setpriv")
    if account and not setpriv:
        raise PostgresMissing("the tests run as root, PostgreSQL may not, and there is no setpriv to change the account")
    identity = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"] if account else []
    # The server must not outlive a test run that was killed.
    return [setpriv, *identity, "--pdeathsig", "QUIT", *command] if setpriv else list(command)


def _initialise(account: pwd.struct_passwd | None, binaries: Path, folder: Path) -> None:
    options = ["-D", f"{folder}/data", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    done = subprocess.run(_as(account, [f"{binaries}/initdb", *options]), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PostgresMissing(f"initdb failed: {done.stderr.strip()}")


def _await(server: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 30
    while server.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(host=str(folder), user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise PostgresMissing(f"the server did not start: {(folder / 'log').read_text(errors='replace')[-500:]}")
