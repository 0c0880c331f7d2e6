"""What several test files need: a ledger in each of the two databases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, Page

from browser import BrowserMissing, running_browser, watched
from postgres import PostgresMissing, running_postgres
from rung.ledger import Ledger, open_ledger
from small_workload import minilm, small

__all__ = ["minilm", "small"]  # fixtures of small_workload, shared by all

# No test may fail because the machine is busy: Hypothesis neither times examples nor their making. Fixtures that last a whole
# test are meant to.
settings.register_profile(
    "rung", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("rung")

_skipped: list[str] = []
_databases = count(1)


@pytest.fixture(scope="session")
def postgres() -> Generator[str]:
    """The socket folder of a PostgreSQL for this session."""
    server = running_postgres()
    try:
        folder = server.__enter__()
    except PostgresMissing as missing:
        _skipped.append(f"PostgreSQL: {missing}")
        pytest.skip(f"no PostgreSQL: {missing}")
    yield folder
    server.__exit__(None, None, None)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a ledger that does not exist yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    folder, name = request.getfixturevalue("postgres"), f"ledger{next(_databases)}"
    with psycopg.connect(host=folder, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://postgres@/{name}?host={folder}"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """An empty ledger."""
    opened = open_ledger(ledger_url)
    yield opened
    asyncio.run(opened.close())


@pytest.fixture(scope="session")
def chromium() -> Generator[Browser]:
    """A browser for this session."""
    started = running_browser()
    try:
        browser = started.__enter__()
    except BrowserMissing as missing:
        _skipped.append(f"a browser: {missing}")
        pytest.skip(str(missing))
    loop = asyncio.get_running_loop()  # Playwright's: it runs in this thread for as long as the browser does
    asyncio._set_running_loop(None)
    yield browser
    asyncio._set_running_loop(loop)
    started.__exit__(None, None, None)


@pytest.fixture(scope="session")
def browsing(chromium: Browser) -> Callable[[], AbstractContextManager[None]]:
    """For a `with` in which the browser is asked: elsewhere other tests run loops of their own."""

    @contextmanager
    def browse() -> Iterator[None]:
        asyncio._set_running_loop(chromium._impl_obj._loop)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)

    return browse


@pytest.fixture
def tab(chromium: Browser, browsing: Callable[[], AbstractContextManager[None]]) -> Iterator[Page]:
    """A page of its own; nothing may go wrong on it. While there is one, a test's own `asyncio.run` needs a thread."""
    with browsing():
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        wrong = watched(page)
        yield page
        context.close()
    assert wrong == []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason in _skipped:
        terminalreporter.write_line(f"NOT TESTED on {reason}", red=True, bold=True)
