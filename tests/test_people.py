"""People: the verbs and the page that let them in, change what they may do and shut them out, and what is kept of it."""

from __future__ import annotations

import io
import os
import pty
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page

from browser import findings
from commands import RUNG, Caller
from gateway_stage import Stage, staged, workload
from rung.gateway.pages import hash_password
from rung.release.pointer import ledger_of
from rung.workload import load
from test_pages import PASSWORD, call, signed_in

KEPT = hash_password(PASSWORD)
SCRIPT = "<script>document.title='x'</script>"


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return workload(tmp_path).folder


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as running:
        yield running


def pipe(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def let_in(stage: Stage, **roles: str) -> None:
    for name, role in roles.items():
        stage.ledger.people.add(name, role, KEPT, datetime.now(UTC))  # type: ignore[arg-type]


# The command line


def test_a_person_is_added_changed_and_removed_and_each_change_is_noted(
    folder: Path, rung: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nobody may sign in" in rung("people", "list", folder).out
    pipe(monkeypatch, f"{PASSWORD}\n")
    assert rung("people", "add", folder, "ann", "--role", "reviewer").out == "ann may sign in as reviewer\n"
    assert rung("people", "role", folder, "ann", "admin").out == "ann is admin from now on\n"
    pipe(monkeypatch, "another password")
    before = ledger_of(load(folder)).people.secret("ann")
    assert rung("people", "password", folder, "ann").status == 0
    assert ledger_of(load(folder)).people.secret("ann") != before
    (one,) = rung("people", "list", folder, "--json").document
    assert (one["name"], one["role"]) == ("ann", "admin")
    assert rung("people", "remove", folder, "ann").status == 0
    assert rung("people", "list", folder, "--json").document == []
    noted = ledger_of(load(folder)).people.actions()
    assert [(each.what, each.subject, each.detail) for each in reversed(noted)] == [
        ("person added", "ann", "reviewer"),
        ("role changed", "ann", "admin"),
        ("password changed", "ann", ""),
        ("person removed", "ann", ""),
    ]
    assert all(each.by for each in noted)


def test_keys_are_made_with_a_role_and_revoked_and_it_is_noted(folder: Path, rung: Caller) -> None:
    assert rung("keys", "add", folder, "web").status == rung("keys", "add", folder, "desk", "--role", "reviewer").status == 0
    assert rung("keys", "revoke", folder, "web").status == 0
    told = rung("keys", "list", folder)
    assert [line.split()[:2] for line in told.out.splitlines()] == [["web", "caller"], ["desk", "reviewer"]]
    assert "role cannot be changed" in told.err and "revoke" in told.err
    listed = rung("keys", "list", folder, "--json").document
    assert [(one["name"], one["role"], one["revoked"] is None) for one in listed] == [
        ("web", "caller", False),
        ("desk", "reviewer", True),
    ]
    assert rung("keys", "add", folder, "x", "--role", "admin").status == rung("keys", "add", folder, "\x1b[31m").status == 2
    noted = ledger_of(load(folder)).people.actions()
    assert [(one.what, one.subject, one.detail) for one in reversed(noted)] == [
        ("key added", "web", "caller"),
        ("key added", "desk", "reviewer"),
        ("key revoked", "web", ""),
    ]
    assert all(one.by for one in noted)


def test_nobody_is_named_as_a_key_is(folder: Path, rung: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, PASSWORD)
    assert "nobody's name" in rung("people", "add", folder, "key:web", "--role", "viewer").err


def test_a_short_password_a_taken_name_and_a_stranger_are_named(
    folder: Path, rung: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe(monkeypatch, "short\n")
    ended = rung("people", "add", folder, "ann", "--role", "viewer")
    assert ended.status == 2 and "has 5 characters, and must have 10" in " ".join(ended.err.replace("│", " ").split())
    ledger_of(load(folder)).people.add("ann", "viewer", KEPT, datetime.now(UTC))
    pipe(monkeypatch, PASSWORD)
    assert "already somebody named ann" in rung("people", "add", folder, "ann", "--role", "viewer").err
    assert "nobody named bob" in rung("people", "role", folder, "bob", "admin").err
    assert rung("people", "add", folder, "\x1b[31m", "--role", "viewer").status == 2
    assert rung("people", "role", folder, "ann", "king").status == 2


def test_a_broken_file_is_no_reason_not_to_shut_somebody_out(folder: Path, rung: Caller) -> None:
    ledger_of(load(folder)).people.add("ann", "viewer", KEPT, datetime.now(UTC))
    (folder / "gold.jsonl").unlink()
    assert rung("people", "remove", folder, "ann").status == 0


def typed(folder: Path, *answers: str) -> tuple[int, str]:
    """`rung people add` at a terminal: what was typed is answered, and the terminal's picture of it."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(RUNG[0], [*RUNG, "people", "add", str(folder), "ann", "--role", "viewer"])
    seen = b""
    for prompt, answer in zip((b"Password for ann: ", b"The same again: "), answers, strict=False):
        while prompt not in seen:
            seen += os.read(terminal, 1024)
        os.write(terminal, answer.encode() + b"\n")
    try:
        while more := os.read(terminal, 1024):
            seen += more
    except OSError:  # the other end is shut
        pass
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode()


def test_at_a_terminal_the_password_is_typed_twice_and_not_shown(folder: Path) -> None:
    status, seen = typed(folder, PASSWORD, "correct house")
    assert status == 2 and "differently" in seen and PASSWORD not in seen
    assert ledger_of(load(folder)).people.list() == []
    status, seen = typed(folder, PASSWORD, PASSWORD)
    assert status == 0 and "ann may sign in as viewer" in seen and PASSWORD not in seen


# Who may see the pages


def test_the_first_person_shuts_the_pages_for_good_and_the_api_stays_open(stage: Stage) -> None:
    assert call(stage, "GET", "/")[1]["location"] == "/w/support/overview"
    let_in(stage, ann="admin")
    assert call(stage, "GET", "/")[1]["location"] == "/sign-in"
    assert call(stage, "GET", "/v1/models")[0] == 200
    stage.ledger.people.remove("ann", datetime.now(UTC))
    assert call(stage, "GET", "/")[1]["location"] == "/sign-in"
    assert "rung people add" in call(stage, "GET", "/sign-in")[2]


def test_only_an_admin_sees_and_changes_people(stage: Stage) -> None:
    let_in(stage, ola="operator")
    cookie = signed_in(stage, "ola")
    assert call(stage, "GET", "/people", cookie)[0] == 403
    assert call(stage, "POST", "/people/role", cookie, name="ola", role="admin")[0] == 403
    assert 'href="/people"' not in call(stage, "GET", "/w/support/overview", cookie)[2]
    assert stage.ledger.people.list()[0].role == "operator"


def test_an_admin_changes_roles_and_removes_people_and_it_is_noted(stage: Stage) -> None:
    let_in(stage, ada="admin", ann="viewer")
    cookie, theirs = signed_in(stage, "ada"), signed_in(stage, "ann")
    assert 'href="/people"' in call(stage, "GET", "/w/support/overview", cookie)[2]
    assert call(stage, "POST", "/people/role", cookie, name="ann", role="operator")[1]["location"] == "/people"
    assert call(stage, "POST", "/people/remove", cookie, name="ann")[0] == 303
    assert call(stage, "GET", "/", theirs)[1]["location"] == "/sign-in"  # at once
    noted = [(each.by, each.what, each.subject, each.detail) for each in stage.ledger.people.actions()]
    changed = [("ada", "person removed", "ann", ""), ("ada", "role changed", "ann", "operator")]
    assert noted == [*changed, ("ann", "signed in", "", ""), ("ada", "signed in", "", "")]
    page = call(stage, "GET", "/people", cookie)[2]
    assert "removed" in page and "operator" in page


def test_an_admin_sees_which_keys_are_in_force(stage: Stage) -> None:
    let_in(stage, ada="admin")
    for name in ("gone", "desk"):
        stage.ledger.add_key(name, name.encode(), datetime.now(UTC), "reviewer")
    stage.ledger.revoke_key("gone", datetime.now(UTC))
    page = call(stage, "GET", "/people", signed_in(stage, "ada"))[2]
    assert "key:desk" in page and "key:gone" not in page


def test_the_last_admin_stays_one(stage: Stage) -> None:
    let_in(stage, ada="admin", ann="viewer")
    cookie = signed_in(stage, "ada")
    for path, form in (("/people/role", {"name": "ada", "role": "viewer"}), ("/people/remove", {"name": "ada"})):
        status, _, page = call(stage, "POST", path, cookie, **form)
        assert status == 409 and "the only admin" in page
    assert call(stage, "POST", "/people/role", cookie, name="ann", role="king")[0] == 400
    assert call(stage, "POST", "/people/role", cookie, name="bob", role="admin")[0] == 409
    assert [one.role for one in stage.ledger.people.list()] == ["admin", "viewer"]


def test_with_nobody_added_the_page_says_how_to_begin(stage: Stage, tab: Page) -> None:
    tab.goto(stage.url + "/people")
    tab.get_by_text("rung people add WORKLOAD NAME --role admin").wait_for()
    assert findings(tab) == []


def test_people_are_changed_by_hand_and_names_are_text(stage: Stage, tab: Page) -> None:
    let_in(stage, ada="admin", **{SCRIPT: "viewer"})
    tab.goto(stage.url)
    tab.get_by_label("Name").fill("ada")
    tab.get_by_label("Password").fill(PASSWORD)
    tab.keyboard.press("Enter")
    tab.get_by_role("link", name="People").click()
    tab.get_by_label(f"Role of {SCRIPT}").select_option("reviewer")
    row = tab.get_by_role("row").filter(has=tab.get_by_label(f"Role of {SCRIPT}"))
    row.get_by_role("button", name="Save").click()
    tab.wait_for_url("**/people")
    assert tab.get_by_label(f"Role of {SCRIPT}").input_value() == "reviewer"
    assert findings(tab) == [] and tab.title() != "x"
    row.locator("summary").click()
    row.get_by_role("button", name="Remove for good").click()
    tab.get_by_label(f"Role of {SCRIPT}").wait_for(state="detached")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
