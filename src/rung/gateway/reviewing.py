"""Turns requests into reviews that are taken, drafted, settled and taken back: what the review page asks, and any program may.

Knows nothing about how a verdict is completed or who is asked about what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from msgspec import Meta, Struct, field
from starlette.requests import Request
from starlette.responses import Response

from rung.core import Verdict
from rung.gateway.guard import Endpoint, Guard, GuardedRoute
from rung.gateway.refusal import Refusal
from rung.gateway.wire import read, respond
from rung.ledger import Ledger, Review, ReviewTaken
from rung.models.values import open_values
from rung.review import Like, Question, ReviewError, open_questions, question, settle_review, similar, undo
from rung.workload import Workload

if TYPE_CHECKING:
    from rung.release.live import Live

LISTED = 500  # open reviews that are looked through for those that fit a filter
LONGEST_NOTE = 10_000  # characters
LONGEST_TIME = 3_600.0  # seconds that a review is taken to have needed at most: somebody was at lunch

LONGEST_NUMBER = 19  # digits: a database's integers have no more

Result = TypeVar("Result")
Seconds = Annotated[float, Meta(ge=0)]


class Wanted(Struct, forbid_unknown_fields=True):
    """Which reviews: whose text holds these words, whose suggestion has this value in a field, which this tier was asked about
    last, to which a check objects."""

    words: str = ""
    field: str = ""
    value: str = ""
    tier: str = ""
    objected: bool = False

    def fits(self, one: Question) -> bool:
        """Whether this one is wanted."""
        said = (one.suggestion or {}).get(self.field) if self.field else None
        return (
            self.words.casefold() in one.text.casefold()
            and (not self.field or (said is not None and str(said) == self.value))
            and (not self.tier or bool(one.tries and one.tries[-1].tier == self.tier))
            and (not self.objected or any(each.problems for each in one.tries))
        )


class Next(Struct, forbid_unknown_fields=True):
    """The body of a request for a review."""

    wanted: Wanted | None = None


class Draft(Struct, forbid_unknown_fields=True):
    """The body of a draft: what there is of an answer so far."""

    answer: dict[str, Any]


class Settled(Struct, forbid_unknown_fields=True):
    """The body of a verdict on a review, or, to `discard` it, of none: then the note says why, and the answer is the draft of who
    takes that back. With `next` the answer brings another review."""

    answer: dict[str, Any] = field(default_factory=dict[str, Any])
    note: Annotated[str, Meta(max_length=LONGEST_NOTE)] = ""
    seconds: Seconds | None = None
    discard: bool = False
    next: Next | None = None


class Selected(Struct, forbid_unknown_fields=True):
    """Characters of a text that a person has marked for a field."""

    field: str
    text: Annotated[str, Meta(max_length=LONGEST_NOTE)]


class Reviews:
    """The review queue over HTTP; `routes` are what it answers. It blocks on the ledger in threads."""

    def __init__(self, lives: Mapping[str, Live], ledger: Ledger) -> None:
        """Answer for these workloads."""
        self._lives = lives
        self._ledger = ledger

    def routes(self, guard: Guard) -> list[GuardedRoute]:
        """For reviewers, and for programs with a reviewer's key."""

        def route(path: str, endpoint: Endpoint, method: str = "POST") -> GuardedRoute:
            return GuardedRoute(path, endpoint, guard, "reviewer", method=method, role="reviewer")

        return [
            route("/v1/workloads/{name}/reviews", self._list, "GET"),
            route("/v1/workloads/{name}/reviews/next", self._next),
            route("/v1/workloads/{name}/reviews/value", self._read),
            route("/v1/reviews/{id}/hold", self._hold),
            route("/v1/reviews/{id}/release", self._release),
            route("/v1/reviews/{id}/draft", self._draft),
            route("/v1/reviews/{id}/settle", self._settle),
            route("/v1/reviews/{id}/reopen", self._reopen),
            route("/v1/reviews/{id}/similar", self._similar, "GET"),
        ]

    async def _list(self, request: Request) -> Response:
        workload, by = self._workload(request.path_params["name"]), request.state.caller

        def look() -> dict[str, Any]:
            ask, queue = open_questions(workload), self._ledger.queue
            found = [_line(review, ask(review)) for review in queue.list(workload.name, by, LISTED)]
            return {"waiting": sum(queue.count(workload.name, by).values()), "reviews": found}

        return respond(await asyncio.to_thread(look))

    async def _next(self, request: Request) -> Response:
        asked, workload = await read(request, Next), self._workload(request.path_params["name"])
        return _shown(await asyncio.to_thread(self._take, workload, request.state.caller, asked.wanted))

    async def _hold(self, request: Request) -> Response:
        def hold() -> Question:
            workload, review = self._find(request)
            now = datetime.now(UTC)
            held = self._ledger.queue.hold(review.seq, request.state.caller, now, now + workload.review.lease)
            return question(workload, held)

        return _shown(await _done(hold))

    async def _release(self, request: Request) -> Response:
        await asyncio.to_thread(self._ledger.queue.release, _number(request), request.state.caller)
        return _shown(None)

    async def _draft(self, request: Request) -> Response:
        body = await read(request, Draft)

        def keep() -> None:
            workload, review = self._find(request)
            now = datetime.now(UTC)
            self._ledger.queue.draft(review.seq, request.state.caller, body.answer, now, now + workload.review.lease)

        await _done(keep)
        return respond({"drafted": _number(request)})

    async def _settle(self, request: Request) -> Response:
        body, by = await read(request, Settled), request.state.caller

        def settle() -> Question | None:
            workload, review = self._find(request)
            seconds = None if body.seconds is None else min(body.seconds, LONGEST_TIME)
            if body.discard:
                self._ledger.queue.discard(review.seq, by, datetime.now(UTC), body.note, body.answer)
            else:
                verdict = Verdict(review.record.decision.id, body.answer, by, body.note)
                settle_review(self._ledger, workload, review, verdict, datetime.now(UTC), seconds)
            return self._take(workload, by, body.next.wanted) if body.next else None

        return _shown(await _done(settle), settled=_number(request))

    async def _reopen(self, request: Request) -> Response:
        def reopen() -> Question:
            workload, review = self._find(request)
            return question(workload, undo(self._ledger, workload, review.seq, request.state.caller, datetime.now(UTC)))

        return _shown(await _done(reopen))

    async def _similar(self, request: Request) -> Response:
        def look() -> Sequence[Like]:
            workload, review = self._find(request)
            return similar(self._ledger, workload, question(workload, review), request.state.caller)

        return respond({"similar": [_like(each) for each in await asyncio.to_thread(look)]})

    async def _read(self, request: Request) -> Response:
        body, workload = await read(request, Selected), self._workload(request.path_params["name"])
        schema = next((each.schema for each in workload.fields if each.name == body.field), None)
        if schema is None:
            raise Refusal(400, "unknown_field", f"There is no field {body.field[:100]!r}.", "field")
        value = open_values(schema).read(body.text.strip())
        return respond({"value": body.text.strip() if value is None else value})

    def _workload(self, name: str) -> Workload:
        if name not in self._lives:
            raise Refusal(404, "workload_not_found", f"There is no workload {name[:100]!r} here.", "name")
        return self._lives[name].workload

    def _find(self, request: Request) -> tuple[Workload, Review]:
        number = _number(request)
        review = self._ledger.queue.find(number)
        if review is None or review.record.workload not in self._lives:
            raise Refusal(404, "review_not_found", f"There is no review {number} here.", "id")
        return self._workload(review.record.workload), review

    def _take(self, workload: Workload, by: str, wanted: Wanted | None) -> Question | None:
        """The next review that this person may have, of those wanted, held for them."""
        queue, now = self._ledger.queue, datetime.now(UTC)
        until = now + workload.review.lease
        if wanted is None or wanted == Wanted():
            review = queue.take(workload.name, by, now, until)
            return review and question(workload, review)
        ask = open_questions(workload)
        for review in queue.list(workload.name, by, LISTED):
            if (review.holder in (None, by) or (review.until and review.until < now)) and wanted.fits(ask(review)):
                try:
                    return ask(queue.hold(review.seq, by, now, until))
                except ReviewTaken:  # somebody was faster
                    continue
        return None


def _number(request: Request) -> int:
    """The review that the address names; 0, which none has, for what is no number."""
    said = request.path_params["id"]
    return int(said) if said.isascii() and said.isdecimal() and len(said) < LONGEST_NUMBER else 0


def _shown(one: Question | None, **said: int) -> Response:
    return respond({**said, "review": one and _document(one)})


async def _done(work: Callable[[], Result]) -> Result:
    """What the work gives, done in a thread; what is wrong with a review or a verdict is the caller's to mend."""
    try:
        return await asyncio.to_thread(work)
    except ReviewTaken as error:
        raise Refusal(409, "review_taken", str(error)) from error
    except ReviewError as error:
        name = error.problems[0].message.split(":")[0] if error.problems else ""
        raise Refusal(400, "invalid_answer", str(error), f"answer.{name}" if name else "answer") from error


def _document(one: Question) -> dict[str, Any]:
    return {
        "id": one.review,
        "decision": one.decision,
        "text": one.text,
        "context": dict(one.context),
        "fields": [
            {
                "name": each.name,
                "fill": each.fill,
                "value": each.value,
                "confidence": each.confidence,
                "labels": list(each.labels),
                "types": list(each.kinds),
                "spans": [{"start": span.start, "end": span.end, "path": list(span.path)} for span in each.copied],
            }
            for each in one.fields
        ],
        "confidence": one.confidence,
        "attempts": [
            {
                "tier": each.tier,
                "confidence": each.confidence,
                "problems": [{"check": problem.check, "message": problem.message} for problem in each.problems],
                "error": each.error,
            }
            for each in one.tries
        ],
        "draft": None if one.draft is None else dict(one.draft),
        "waiting_since": one.waiting_since.isoformat(),
    }


def _line(review: Review, one: Question) -> dict[str, Any]:
    held = review.until if review.until and review.until > datetime.now(UTC) else None
    return {
        "id": one.review,
        "decision": one.decision,
        "text": one.text[:200],
        "suggestion": None if one.suggestion is None else dict(one.suggestion),
        "confidence": one.confidence,
        "waiting_since": one.waiting_since.isoformat(),
        "held_by": review.holder if held else None,
        "held_until": held.isoformat() if held else None,
    }


def _like(one: Like) -> dict[str, Any]:
    verdict = one.settled.verdict
    told = {"decision": verdict.decision, "text": one.settled.record.case.text[:500], "answer": dict(verdict.answer)}
    return {**told, "by": verdict.by, "at": one.settled.at.isoformat(), "likeness": round(one.likeness, 3)}
