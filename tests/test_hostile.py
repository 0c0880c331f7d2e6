"""Whatever anybody typed, anywhere, is text on every page: no script of theirs runs, and no element of theirs is made."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page

from gateway_stage import RELEASE, staged
from records import NOON, accepted, run
from rung.core import Answer, Attempt, Case, Outcome, Problem, Verdict
from rung.ledger import Action, Alarm, Ledger, Promotion, Record

CORPUS = [
    "<script>window.owned = 1</script>",
    '"><img src=x onerror="window.owned = 1">',
    "'><svg/onload=window.owned=1>",
    "</textarea></title></style><script>window.owned=1</script>",
    "javascript:window.owned=1//",
    "{{ ''.__class__ }}{% print(1) %}${window.owned=1}",
    "<details open ontoggle=window.owned=1>",
    "\u202e<b onmouseover=window.owned=1>x</b>\u0000",
    '<a href="javascript:window.owned=1">x</a>',
    "<iframe srcdoc='<script>parent.owned=1</script>'></iframe>",
]
PAGES = (
    "overview",
    "overview?range=30d",
    "money",
    "review",
    "review/queue",
    "review/alike",
    "decisions",
    "decisions?words=<script>window.owned=1</script>&tier=%22><img/src/onerror=window.owned=1>",
    "releases",
    "workload",
    "playground",
    "report",
    "alarms",
)


def fill(ledger: Ledger, bad: str) -> list[str]:
    """This text wherever somebody may put one; gives the decisions."""
    made: list[str] = []

    async def write() -> None:
        for outcome in (Outcome.ACCEPTED, Outcome.REVIEW, Outcome.REVIEW):
            case = Case(bad, {bad: bad, "channel": bad}, bad, user=bad)
            fields = {"intent": bad, "order": bad}
            attempts = (
                Attempt(bad, Answer(fields, {"intent": 0.5}), (Problem(bad, bad),), 0.5, 0.01),
                Attempt("specialist", None, (Problem("model", bad),)),
            )
            answer = fields if outcome is Outcome.ACCEPTED else None
            tier = bad if answer else "person"
            decision = accepted(id=case.id, outcome=outcome, answer=answer, attempts=attempts, tier=tier, release=RELEASE)
            await ledger.record(Record("support", case, decision, NOON, drawn=0.5 if answer else None))
            made.append(case.id)

    run(write())
    ledger.settle(Verdict(made[0], {"intent": bad, "order": None}, bad, bad), NOON)
    ledger.settle(Verdict(made[1], {"intent": bad, "order": None}, bad, bad), NOON)
    cluster = {"cases": 3, "share": 0.1, "reference_share": 0.0, "examples": made}
    ledger.alarms.ring(Alarm("support", bad, bad, bad, NOON, {"clusters": [cluster]}))
    ledger.people.note(Action(NOON, bad, bad, bad, bad))
    return made


@pytest.mark.parametrize("bad", CORPUS, ids=range(len(CORPUS)))
def test_no_page_runs_what_was_typed(bad: str, tmp_path: Path, tab: Page) -> None:
    with staged(tmp_path) as stage:
        made = fill(stage.ledger, bad)
        stage.ledger.promote(Promotion("support", RELEASE, NOON - timedelta(days=1), bad, bad), None, {})
        (alarm,) = stage.ledger.alarms.list("support")
        paths = [f"/w/support/{page}" for page in PAGES]
        paths += [
            f"/w/support/decisions/{made[0]}",
            f"/w/support/decisions/{made[2]}",
            f"/w/support/alarms/{alarm.seq}",
            "/people",
        ]
        for path in paths:
            reply = tab.goto(stage.url + path)
            assert reply and reply.status == 200, path
            if path.endswith("/review"):
                tab.locator("#desk:not([hidden])").wait_for()
            tab.mouse.move(300, 300)
            assert tab.evaluate("window.owned") is None, path
            assert tab.title().endswith("Rung"), path
            assert tab.locator("iframe, img, main script, main [onerror], main [ontoggle], a[href^=javascript]").count() == 0, (
                path
            )
