"""The review queue over HTTP, as the review page and other programs use it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from aiohttp import web

from gateway_stage import FakeLive, Stage, ask, staged, workload
from records import NOON, accepted, for_review, record, settle
from rung.core import Case, Verdict
from rung.gateway import alarms, digest, new_key, watching
from rung.gateway.pages import hash_password
from rung.gateway.watching import Watch
from rung.ledger import KeyRole, Ledger
from rung.workload import Webhook
from test_pages import PASSWORD, signed_in


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path, open_access=False) as stage:
        yield stage


def person(ledger: Ledger, name: str, role: KeyRole = "reviewer") -> str:
    """A key of this name: programs review as people do."""
    key = new_key()
    ledger.add_key(name, digest(key), datetime.now(UTC), role)
    return key


def call(stage: Stage, key: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    status, said = asyncio.run(ask(stage.app, method, path, json.dumps(body).encode() if body is not None else b"", headers))
    return status, json.loads(said)


def test_a_case_is_taken_settled_and_followed_by_the_next(stage: Stage) -> None:
    one, two = record(stage.ledger, for_review(), for_review())
    ann = person(stage.ledger, "ann")
    status, said = call(stage, ann, "POST", "/v1/workloads/support/reviews/next", {})
    review = said["review"]
    assert status == 200 and review["decision"] == one.decision.id
    assert [field["name"] for field in review["fields"]] == ["intent", "order"]
    assert review["fields"][0]["labels"] == ["refund", "other"] and review["fields"][0]["value"] == "refund"
    assert review["attempts"][0]["problems"][0]["message"] == "no amount in the text"
    answer = {"intent": "refund", "order": None}
    status, said = call(stage, ann, "POST", f"/v1/reviews/{review['id']}/settle", {"answer": answer, "seconds": 3.5, "next": {}})
    assert status == 200 and said["review"]["decision"] == two.decision.id
    assert stage.ledger.verdict(one.decision.id).by == "key:ann"
    assert stage.ledger.queue.effort("support").seconds == 3.5


def test_what_somebody_holds_another_is_refused(stage: Stage) -> None:
    record(stage.ledger, for_review())
    ann, ben = person(stage.ledger, "ann"), person(stage.ledger, "ben")
    _, said = call(stage, ann, "POST", "/v1/workloads/support/reviews/next", {})
    number = said["review"]["id"]
    assert call(stage, ben, "POST", "/v1/workloads/support/reviews/next", {}) == (200, {"review": None})
    status, said = call(stage, ben, "POST", f"/v1/reviews/{number}/hold")
    assert (status, said["error"]["code"]) == (409, "review_taken") and "key:ann is looking" in said["error"]["message"]
    assert call(stage, ann, "POST", f"/v1/reviews/{number}/release")[0] == 200
    assert call(stage, ben, "POST", f"/v1/reviews/{number}/hold")[0] == 200


def test_an_answer_that_does_not_fit_is_refused_and_the_case_stays(stage: Stage) -> None:
    record(stage.ledger, for_review())
    ann = person(stage.ledger, "ann")
    number = call(stage, ann, "POST", "/v1/workloads/support/reviews/next", {})[1]["review"]["id"]
    status, said = call(stage, ann, "POST", f"/v1/reviews/{number}/settle", {"answer": {"intent": "refund", "order": "nonsense"}})
    assert status == 400 and said["error"]["param"] == "answer.order"
    assert call(stage, ann, "POST", f"/v1/reviews/{number}/hold")[0] == 200


def test_drafts_are_kept_and_what_is_settled_can_be_taken_back(stage: Stage) -> None:
    record(stage.ledger, for_review())
    ann = person(stage.ledger, "ann")
    number = call(stage, ann, "POST", "/v1/workloads/support/reviews/next", {})[1]["review"]["id"]
    call(stage, ann, "POST", f"/v1/reviews/{number}/draft", {"answer": {"intent": "other"}})
    assert call(stage, ann, "POST", f"/v1/reviews/{number}/hold")[1]["review"]["draft"] == {"intent": "other"}
    call(stage, ann, "POST", f"/v1/reviews/{number}/settle", {"answer": {"intent": "other", "order": None}})
    status, said = call(stage, ann, "POST", f"/v1/reviews/{number}/reopen")
    assert status == 200 and said["review"]["draft"] == {"intent": "other", "order": None}
    call(stage, ann, "POST", f"/v1/reviews/{number}/settle", {"discard": True})
    assert stage.ledger.queue.count("support") == {} and stage.ledger.settled("support") == []
    assert call(stage, ann, "POST", f"/v1/reviews/{number}/reopen")[1]["review"]["draft"] is None
    call(stage, ann, "POST", f"/v1/reviews/{number}/settle", {"discard": True, "answer": {"order": "AB"}, "note": "torn"})
    assert call(stage, ann, "POST", f"/v1/reviews/{number}/reopen")[1]["review"]["draft"] == {"order": "AB"}
    done = [(each.what, each.by, each.detail) for each in reversed(stage.ledger.people.actions())]
    assert done[2:] == [
        ("review reopened", "key:ann", ""),
        ("case discarded", "key:ann", "torn"),
        ("review reopened", "key:ann", ""),
    ]


def test_a_draft_is_its_authors_alone(stage: Stage) -> None:
    record(stage.ledger, for_review())
    ann, ben = person(stage.ledger, "ann"), person(stage.ledger, "ben")
    number = call(stage, ann, "POST", "/v1/workloads/support/reviews/next", {})[1]["review"]["id"]
    call(stage, ann, "POST", f"/v1/reviews/{number}/draft", {"answer": {"intent": "other"}})
    for key, draft in ((ben, None), (ann, {"intent": "other"})):
        stage.ledger.queue.hold(number, "key:ann", NOON, NOON)  # her time is over
        assert call(stage, key, "POST", "/v1/workloads/support/reviews/next", {})[1]["review"]["draft"] == draft
        call(stage, key, "POST", f"/v1/reviews/{number}/release")


def test_after_an_hour_nothing_is_taken_back_but_settled_anew(stage: Stage) -> None:
    late, discarded, timely = record(stage.ledger, for_review(), for_review(), for_review())
    ann, now, queue = person(stage.ledger, "ann"), datetime.now(UTC), stage.ledger.queue
    for number, one, minutes in ((1, late, 61), (3, timely, 59)):
        verdict = Verdict(one.decision.id, {"intent": "other"}, "key:ann")
        queue.settle(number, verdict, now - timedelta(minutes=minutes), None, False)
    queue.discard(2, "key:ann", now - timedelta(minutes=61))
    for number, one in ((1, late), (2, discarded)):
        status, said = call(stage, ann, "POST", f"/v1/reviews/{number}/reopen")
        path = f"/v1/decisions/{one.decision.id}/feedback"
        assert (status, said["error"]["code"]) == (409, "review_taken")
        assert path in said["error"]["message"] and "rung review" in said["error"]["message"]
        assert call(stage, ann, "POST", path, {"answer": {"intent": "refund", "order": None}})[0] == 200
        assert stage.ledger.verdict(one.decision.id).answer["intent"] == "refund"
    assert call(stage, ann, "POST", "/v1/reviews/3/reopen")[0] == 200


def test_who_may_look_again_is_told_nothing_of_what_was_settled(stage: Stage) -> None:
    (one,) = record(stage.ledger, for_review(), text="my card is lost, please block it")
    record(stage.ledger, for_review(), text="my card is lost, please block it now")
    ann, ben, web = person(stage.ledger, "ann"), person(stage.ledger, "ben"), person(stage.ledger, "web", "caller")
    first = call(stage, ann, "POST", "/v1/workloads/support/reviews/next", {})[1]["review"]["id"]
    verdict = Verdict(one.decision.id, {"intent": "other", "order": "ZZ1111"}, "key:ann")
    stage.ledger.queue.settle(first, verdict, datetime.now(UTC), None, True)

    def shown(key: str) -> str:
        third = call(stage, key, "POST", "/v1/reviews/2/hold")[1]
        asked = call(stage, key, "POST", "/v1/reviews/3/hold") if key == ben else ()
        listed = call(stage, key, "GET", "/v1/workloads/support/reviews")
        alike = [call(stage, key, "GET", f"/v1/reviews/{number}/similar") for number in (2, 3)]
        decision = call(stage, key, "GET", f"/v1/decisions/{one.decision.id}?wait=1")
        call(stage, key, "POST", "/v1/reviews/2/release")
        return json.dumps([third, asked, listed, alike, decision])

    assert "ZZ1111" in shown(ann) and "ZZ1111" not in shown(ben)
    path = f"/v1/decisions/{one.decision.id}"
    blind = call(stage, ben, "GET", path)[1]
    assert (blind["review"], blind["verdict"]) == ("blind", None)
    assert call(stage, web, "GET", path)[1]["verdict"]["answer"] == verdict.answer  # who may not review is not blind
    call(stage, ben, "POST", "/v1/reviews/3/settle", {"answer": {"intent": "refund", "order": None}})
    assert call(stage, ben, "GET", path)[1]["verdict"]["answer"] == verdict.answer and "ZZ1111" in shown(ben)


def test_only_what_is_wanted_is_given(stage: Stage) -> None:
    record(stage.ledger, for_review(), text="about a parcel")
    record(stage.ledger, for_review(), text="about a CARD")
    ann = person(stage.ledger, "ann")
    _, said = call(stage, ann, "POST", "/v1/workloads/support/reviews/next", {"wanted": {"words": "card"}})
    assert said["review"]["text"] == "about a CARD"
    assert call(stage, ann, "POST", "/v1/workloads/support/reviews/next", {"wanted": {"tier": "large"}})[1] == {"review": None}
    _, listed = call(stage, ann, "GET", "/v1/workloads/support/reviews")
    assert listed["waiting"] == 2 and [each["held_by"] for each in listed["reviews"]] == [None, "key:ann"]


def test_nothing_tells_a_drawn_case_from_an_unsure_one(stage: Stage) -> None:
    record(stage.ledger, accepted(), drawn=0.1)
    record(stage.ledger, for_review())
    ann = person(stage.ledger, "ann")
    shown = [call(stage, ann, "POST", "/v1/workloads/support/reviews/next", {})[1]["review"] for _ in range(2)]
    assert shown[0].keys() == shown[1].keys()
    said = json.dumps(shown)
    assert not any(word in said for word in ('"outcome"', '"trusted"', '"look"', "sample", "unsure"))


def test_what_was_settled_of_the_like_is_shown(stage: Stage) -> None:
    record(stage.ledger, for_review(), text="my card is lost, please block it")
    record(stage.ledger, for_review(), text="my card is lost, please block it now")
    ann = person(stage.ledger, "ann")
    first = call(stage, ann, "POST", "/v1/workloads/support/reviews/next", {})[1]["review"]["id"]
    body = {"answer": {"intent": "other", "order": None}, "next": {}}
    second = call(stage, ann, "POST", f"/v1/reviews/{first}/settle", body)[1]["review"]["id"]
    (like,) = call(stage, ann, "GET", f"/v1/reviews/{second}/similar")[1]["similar"]
    assert like["answer"]["intent"] == "other" and like["by"] == "key:ann"


def test_marked_text_becomes_the_fields_value(stage: Stage) -> None:
    ann = person(stage.ledger, "ann")
    body = {"field": "order", "text": " AB1234 "}
    assert call(stage, ann, "POST", "/v1/workloads/support/reviews/value", body) == (200, {"value": "AB1234"})
    assert call(stage, ann, "POST", "/v1/workloads/support/reviews/value", {"field": "no", "text": "x"})[0] == 400


def test_without_a_key_or_a_session_nothing_is_shown(stage: Stage) -> None:
    record(stage.ledger, for_review())
    assert call(stage, "", "POST", "/v1/workloads/support/reviews/next", {})[0] == 401
    assert call(stage, "", "GET", "/v1/workloads/support/reviews")[0] == 401
    assert call(stage, person(stage.ledger, "ann"), "POST", f"/v1/reviews/{2**80}/hold")[0] == 404


def test_once_people_sign_in_nobody_reviews_without_a_name(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        record(stage.ledger, for_review())
        assert call(stage, "", "GET", "/v1/workloads/support/reviews")[0] == 200  # open, on this machine
        stage.ledger.people.add("ann", "admin", "kept", NOON)
        for key in ("", "x"):
            status, said = call(stage, key, "GET", "/v1/workloads/support/reviews")
            assert (status, said["error"]["code"]) == (401, "not_signed_in")
            assert call(stage, key, "POST", "/v1/workloads/support/reviews/next", {})[0] == 401
        assert call(stage, "", "POST", "/v1/workloads/support/decisions", {"input": "money back"})[0] == 200


def test_feedback_has_no_name_until_people_sign_in_and_then_has_one(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        (one,) = record(stage.ledger, for_review())
        path, body = f"/v1/decisions/{one.decision.id}/feedback", {"answer": {"intent": "other", "order": None}}
        assert call(stage, "x", "POST", path, body)[1]["by"] == "anonymous"
        named = asyncio.run(stage.live.decide(Case("hello", asked_by="ada")))
        assert call(stage, "", "POST", f"/v1/decisions/{named.id}/feedback", body)[0] == 403
        for name, role in (("ann", "reviewer"), ("vic", "viewer")):
            stage.ledger.people.add(name, role, hash_password(PASSWORD), NOON)
        status, said = call(stage, "x", "POST", path, body)
        assert (status, said["error"]["code"]) == (401, "not_signed_in")

        def as_(name: str) -> tuple[int, Any]:
            status, said = asyncio.run(
                ask(stage.app, "POST", path, json.dumps(body).encode(), {"cookie": signed_in(stage, name)})
            )
            return status, json.loads(said)

        assert as_("ann")[1]["by"] == "ann"
        assert as_("vic")[0] == 403


def test_a_caller_settles_what_it_asked_and_a_reviewer_whatever_was(stage: Stage) -> None:
    web, shop, desk = person(stage.ledger, "web", "caller"), person(stage.ledger, "shop", "caller"), person(stage.ledger, "desk")
    stage.ledger.people.add("ann", "reviewer", hash_password(PASSWORD), NOON)
    asked = call(stage, web, "POST", "/v1/workloads/support/decisions", {"input": "a hard one"})[1]["id"]
    path, body = f"/v1/decisions/{asked}/feedback", {"answer": {"intent": "other", "order": None}}
    status, said = call(stage, shop, "POST", path, body)
    assert (status, said["error"]["code"]) == (403, "not_allowed") and "reviewer" in said["error"]["message"]
    assert stage.ledger.verdict(asked) is None and stage.ledger.queue.count("support") == {"unsure": 1}
    signed = asyncio.run(ask(stage.app, "POST", path, json.dumps(body).encode(), {"cookie": signed_in(stage, "ann")}))
    told = [json.loads(signed[1]), *(call(stage, key, "POST", path, body)[1] for key in (web, desk))]
    assert [each["by"] for each in told] == ["ann", "key:web", "key:desk"]


def test_a_key_and_a_person_of_one_name_are_two(stage: Stage) -> None:
    (one,) = record(stage.ledger, for_review())
    key = person(stage.ledger, "ann")
    stage.ledger.people.add("ann", "reviewer", hash_password(PASSWORD), NOON)
    cookie = {"cookie": signed_in(stage, "ann")}
    number = call(stage, key, "POST", "/v1/workloads/support/reviews/next", {})[1]["review"]["id"]
    assert asyncio.run(ask(stage.app, "POST", f"/v1/reviews/{number}/hold", b"", cookie))[0] == 409
    answer = {"answer": {"intent": "other", "order": None}}
    assert call(stage, key, "POST", f"/v1/reviews/{number}/settle", answer)[0] == 200
    assert asyncio.run(ask(stage.app, "POST", f"/v1/reviews/{number}/reopen", b"", cookie))[0] == 409
    assert call(stage, key, "POST", f"/v1/reviews/{number}/reopen")[0] == 200
    review = stage.ledger.queue.open_on(one.decision.id, "key:ann")
    assert review
    verdict = Verdict(one.decision.id, {"intent": "other", "order": None}, "key:ann")
    stage.ledger.queue.settle(review.seq, verdict, datetime.now(UTC), None, True)
    assert call(stage, key, "POST", "/v1/workloads/support/reviews/next", {}) == (200, {"review": None})
    second = json.loads(asyncio.run(ask(stage.app, "POST", "/v1/workloads/support/reviews/next", b"{}", cookie))[1])
    assert second["review"]["decision"] == one.decision.id  # blind, and for somebody else than the key


# Back to whoever asked


def test_a_caller_may_wait_for_the_person(stage: Stage) -> None:
    (one,) = record(stage.ledger, for_review())
    ann = person(stage.ledger, "ann")
    path = f"/v1/decisions/{one.decision.id}"
    assert call(stage, ann, "GET", path, None)[1]["review"] == "waiting"
    settling = Timer(0.6, lambda: stage.ledger.settle(Verdict(one.decision.id, {"intent": "other"}, "ben"), datetime.now(UTC)))
    settling.start()
    status, said = call(stage, ann, "GET", f"{path}?wait=30")
    assert status == 200 and said["verdict"]["answer"] == {"intent": "other"}
    assert said["review"] == "settled"
    status, said = call(stage, ann, "GET", f"{path}?wait=forever")
    assert (status, said["error"]["param"]) == (400, "wait")


def test_a_caller_who_waits_is_told_of_a_discard_and_who_put_the_case_aside_and_why(stage: Stage) -> None:
    (one, answered) = (*record(stage.ledger, for_review()), *record(stage.ledger, accepted()))
    ann, path = person(stage.ledger, "ann"), f"/v1/decisions/{one.decision.id}"
    now = datetime.now(UTC)
    discarding = Timer(0.6, lambda: stage.ledger.queue.discard(1, "key:ann", now, "an empty page"))
    discarding.start()
    said = call(stage, ann, "GET", f"{path}?wait=30")[1]
    assert (said["review"], said["verdict"]) == ("discarded", None)
    assert said["discarded"] == {"by": "key:ann", "note": "an empty page", "at": now.isoformat()}
    call(stage, ann, "POST", f"{path}/feedback", {"answer": {"intent": "other", "order": None}})
    said = call(stage, ann, "GET", path)[1]
    assert said["review"] == "settled" and said["verdict"]["by"] == "key:ann" and "discarded" not in said
    said = call(stage, ann, "GET", f"/v1/decisions/{answered.decision.id}")[1]
    assert (said["review"], said["verdict"]) == (None, None)


class Listener:
    """A webhook for a workload's verdicts, which answers as it is told to, and the watch that posts to it."""

    def __init__(self, folder: Path, ledger: Ledger, answers: list[int]) -> None:
        self.heard: list[Any] = []
        self.patience = 0.0  # seconds that it takes
        self._of, self._ledger, self._answers = workload(folder), ledger, answers

    async def _listen(self, request: web.Request) -> web.Response:
        self.heard.append(await request.json())
        await asyncio.sleep(self.patience)
        return web.Response(status=self._answers.pop(0) if self._answers else 200)

    async def __aenter__(self) -> Watch:
        app = web.Application()
        app.router.add_post("/", self._listen)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/"
        live = FakeLive(replace(self._of, review=replace(self._of.review, webhook=Webhook(url))), self._ledger)
        return Watch(live, self._ledger)

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


REFUND, OTHER = {"intent": "refund"}, {"intent": "other"}
EARLIER = datetime.now(UTC) - timedelta(hours=1)


def test_a_webhook_is_told_what_was_decided_and_corrected_and_again_if_it_was_not_there(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(tmp_path, ledger, [500] * 2 * alarms.TRIES)
    monkeypatch.setattr(watching, "AGAIN", -60.0)  # at once
    waiting, right, wrong = (*record(ledger, for_review()), *record(ledger, accepted(), accepted(), drawn=0.1))
    for one, answer in ((waiting, OTHER), (right, REFUND), (wrong, OTHER)):
        settle(ledger, Verdict(one.decision.id, answer, "ann"), EARLIER)

    async def play() -> None:
        async with listener as watch:
            await watch.look()
            assert len(listener.heard) == 2 * alarms.TRIES  # nobody took it
            await watch.look()
            await watch.look()

    asyncio.run(play())
    tried, heard = listener.heard[:-2], listener.heard[-2:]
    assert len({one["id"] for one in heard}) == 2 and {one["id"] for one in heard} == {one["id"] for one in tried}
    assert sorted((one["decision"], one["review"], one["answer"]["intent"], str(one["instead_of"])) for one in heard) == sorted(
        [(waiting.decision.id, "settled", "other", "None"), (wrong.decision.id, "settled", "other", str(REFUND))]
    )


def test_a_webhook_gets_a_days_verdicts_and_one_that_it_refuses_does_not_hold_up_the_others(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    listener, now = Listener(tmp_path, ledger, [422]), datetime.now(UTC)
    monkeypatch.setattr(watching, "AGAIN", -60.0)  # at once
    old, *new = record(ledger, *(for_review() for _ in range(103)))
    ledger.settle(Verdict(old.decision.id, OTHER, "ann"), now - timedelta(hours=25))
    for one in new:
        ledger.settle(Verdict(one.decision.id, OTHER, "ann"), now - timedelta(hours=23))

    async def play() -> None:
        async with listener as watch:
            for heard in (100, 102, 102):
                await watch._tell_verdicts()  # a part of them, for there is more to look at
                assert len(listener.heard) == heard

    asyncio.run(play())
    assert {one["decision"] for one in listener.heard} == {one.decision.id for one in new}
    assert "1 verdicts, given or taken back more than a day ago," in caplog.text
    assert "1 verdicts were refused, and are given up: webhook 127.0.0.1: HTTP 422" in caplog.text


def test_a_gateway_that_stops_as_it_posts_loses_no_verdict(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(tmp_path, ledger, [])
    monkeypatch.setattr(watching, "AGAIN", -60.0)  # its time is over at once
    (waiting,) = record(ledger, for_review())
    ledger.settle(Verdict(waiting.decision.id, OTHER, "ann"), EARLIER)

    async def play() -> None:
        async with listener as watch:
            listener.patience = 30.0
            telling = asyncio.create_task(watch._tell_verdicts())
            while not listener.heard:
                await asyncio.sleep(0.01)
            telling.cancel()
            listener.patience = 0.0
            for _ in range(2):
                await watch._tell_verdicts()

    asyncio.run(play())
    first, again = listener.heard
    assert first == again and again["decision"] == waiting.decision.id


def test_a_webhook_is_told_of_corrections_of_discards_and_of_what_is_taken_back(tmp_path: Path, ledger: Ledger) -> None:
    listener = Listener(tmp_path, ledger, [])
    waiting, drawn, torn = (*record(ledger, for_review()), *record(ledger, accepted(), drawn=0.1), *record(ledger, for_review()))

    async def play() -> None:
        async with listener as watch:
            for minute, by in enumerate(("ann", "key:web", "key:web")):
                verdict = Verdict(waiting.decision.id, OTHER if minute else REFUND, by)
                ledger.settle(verdict, EARLIER + timedelta(minutes=minute))
                await watch.look()
            settle(ledger, Verdict(drawn.decision.id, OTHER, "ann"), EARLIER + timedelta(minutes=3))
            await watch.look()
            ledger.queue.reopen(2, "ann", EARLIER + timedelta(minutes=4), EARLIER, EARLIER)
            await watch.look()
            ledger.queue.discard(3, "ann", EARLIER + timedelta(minutes=5), "torn")
            await watch.look()

    asyncio.run(play())
    assert [(one["decision"], one["review"], one["answer"], one["instead_of"]) for one in listener.heard] == [
        (waiting.decision.id, "settled", REFUND, None),
        (waiting.decision.id, "settled", OTHER, None),
        (waiting.decision.id, "settled", OTHER, None),
        (drawn.decision.id, "settled", OTHER, REFUND),
        (drawn.decision.id, "reopened", REFUND, REFUND),  # what was answered holds again
        (torn.decision.id, "discarded", None, None),
    ]
    assert len({one["id"] for one in listener.heard}) == 6
    times = [datetime.fromisoformat(one["at"]) for one in listener.heard]
    assert times == [EARLIER + timedelta(minutes=minute) for minute in range(6)]
