"""Turns requests into decisions, look-ups and verdicts: the routes and the outer edge. Knows nothing about sockets."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import traceback
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from msgspec import Meta, Struct, field
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from rung.cascade.checks import watch_checks
from rung.core import Attempt, Case, Decision, RungError, Verdict
from rung.gateway import chat, pages
from rung.gateway.guard import Guard, GuardedRoute, is_loopback
from rung.gateway.keys import Keys
from rung.gateway.metrics import Metrics
from rung.gateway.refusal import Refusal
from rung.gateway.reviewing import Reviews
from rung.gateway.traces import open_spans
from rung.gateway.watching import Watch
from rung.gateway.wire import read, require_input, respond
from rung.ledger import Ledger, Record, Said
from rung.review import ReviewError, settle

if TYPE_CHECKING:
    from rung.release.live import Live

NOTE = 10_000  # characters of a verdict's note
LONGEST_WAIT = 60.0  # seconds that a request may wait for a person
PATIENT = 128  # such requests at once; further ones are answered as things are
GLANCE = 0.25  # seconds between two looks for a verdict
LEFT = 499  # what a request counts as when its caller has left before the answer

_PASSED_ON = b"forwarded", b"via", b"x-forwarded-", b"x-real-ip"  # how headers begin that proxies add
_LOCAL = (
    "Without API keys only this machine may ask: of localhost, 127.0.0.1 or [::1], in HTTP/1.1, and through no proxy. "
    "Next: `rung keys add`, and start the gateway anew; docs/operating.md says what a proxy has to tell."
)

_log = logging.getLogger("rung.gateway")


class Asked(Struct, forbid_unknown_fields=True):
    """The body of a request for a decision."""

    input: str | list[Any]  # a text, or the lines of a scanned page
    context: dict[str, Any] = field(default_factory=dict[str, Any])
    user: str = ""  # the person it is asked for: what a trial may draw by, and no model is told


class Feedback(Struct, forbid_unknown_fields=True):
    """The body of a verdict."""

    answer: dict[str, Any]
    note: Annotated[str, Meta(max_length=NOTE)] = ""
    score: Annotated[float, Meta(ge=0, le=1)] | None = None  # how relevant the decision's answer was


class Gateway:
    """The ASGI application; `application` makes one. It owns the releases and the ledger only where it is told so."""

    def __init__(self, lives: Sequence[Live], ledger: Ledger, open_access: bool, owns: bool = False) -> None:
        """Stand around these releases; `owns` closes them and the ledger when the server says that it ends."""
        self.open_access = open_access
        self._lives = {live.workload.name: live for live in lives}
        self._ledger = ledger
        self._owns = owns
        self._tasks: list[asyncio.Task[None]] = []
        self._metrics = Metrics()
        self._spans = open_spans()
        self._patient = 0  # requests that wait for a person
        self._checking = asyncio.Lock()
        self._checked = (False, 0.0)
        visitors = pages.Visitors(ledger, open_access)
        guard = Guard(Keys(ledger, open_access), visitors)
        self._watches = {name: Watch(live, ledger) for name, live in self._lives.items()}
        site = pages.Site(self._watches, ledger, guard, visitors)
        self._router = Router(
            [
                GuardedRoute("/v1/chat/completions", self._complete, guard, "caller", method="POST"),
                GuardedRoute("/v1/models", self._list_models, guard, "viewer"),
                GuardedRoute("/v1/models/{name}", self._show_model, guard, "viewer"),
                GuardedRoute("/v1/workloads/{name}/decisions", self._decide, guard, "caller", method="POST"),
                GuardedRoute("/v1/decisions/{id}", self._show_decision, guard, "viewer"),
                GuardedRoute("/v1/decisions/{id}/feedback", self._settle, guard, "caller", method="POST", role="reviewer"),
                GuardedRoute("/metrics", self._show_metrics, guard, "viewer"),
                GuardedRoute("/healthz", self._show_health, guard, None),
                GuardedRoute("/readyz", self._show_readiness, guard, None),
                *Reviews(self._lives, ledger).routes(guard),
                *pages.routes(site),
            ],
            redirect_slashes=False,
            default=_no_route,
            lifespan=self._following,
        )

    @asynccontextmanager
    async def _following(self, _: object) -> AsyncGenerator[None]:
        """For as long as the server runs, each workload answers with the release that is promoted."""
        self._follow()
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._spans:
                await self._spans.close()
            if self._owns:
                for live in self._lives.values():
                    await live.close()
                await self._ledger.close()

    def _follow(self) -> None:
        chores = [*(live.follow() for live in self._lives.values()), *(watch.keep() for watch in self._watches.values())]
        self._tasks = [asyncio.create_task(chore) for chore in chores]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        if self._owns and all(task.done() for task in self._tasks):  # the server has said nothing of its lifespan
            self._follow()
        status = LEFT

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._require_host(scope)
            await self._router(scope, receive, watch)
        except ClientDisconnect:
            pass
        except Exception as error:  # noqa: BLE001  # the outer edge: whatever it is, the caller gets an answer
            refusal = _refusal(error)
            if status == LEFT:
                await refusal.response()(scope, receive, watch)
        finally:
            route = scope.get("route")
            self._metrics.answered(route.path if isinstance(route, Route) else "none", status)

    def _require_host(self, scope: Scope) -> None:
        """Without keys, refuse what a web page could make a browser send by giving its own name this machine's address, and what
        a proxy may have passed on from somewhere else: nginx before 1.29.7 tells nothing of it, but speaks HTTP/1.0."""
        if not self.open_access:
            return
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        passed = scope["http_version"] < "1.1" or any(name.startswith(_PASSED_ON) for name, _ in scope["headers"])
        if passed or [is_loopback(_hostname(host)) for host in hosts] != [True]:
            raise Refusal(403, "host_not_allowed", _LOCAL)

    async def _complete(self, request: Request) -> Response:
        asked = await read(request, chat.Chat)
        live = self._live(asked.model, "model")
        case = chat.case_of(asked, live.workload.schema, request.state.caller)
        decision = await self._decision(live, case, request)
        model, now = live.workload.name, int(time.time())
        if asked.stream:
            body, kind = chat.stream(decision, model, now, asked.stream_options), "text/event-stream"
        else:
            body, kind = chat.completion(decision, model, now), "application/json"
        return Response(body, headers=_headers(decision), media_type=kind)

    async def _decide(self, request: Request) -> Response:
        live = self._live(request.path_params["name"], None)
        asked = await read(request, Asked)
        case = Case(require_input(asked.input, "input"), asked.context, request.state.caller, user=asked.user)
        decision = await self._decision(live, case, request)
        return respond(decision.document(), _headers(decision))

    async def _decision(self, live: Live, case: Case, request: Request) -> Decision:
        began, checks = time.time_ns(), watch_checks() if self._spans else ()
        decision = await live.decide(case)
        self._metrics.decided(live.workload.name, decision)
        if self._spans:
            self._spans.add(live.workload, decision, began, request.headers, checks)
        return decision

    async def _list_models(self, request: Request) -> Response:
        return respond({"object": "list", "data": [_model(live) for live in self._lives.values()]})

    async def _show_model(self, request: Request) -> Response:
        return respond(_model(self._live(request.path_params["name"], "model")))

    async def _show_decision(self, request: Request) -> Response:
        record = await self._record(request.path_params["id"])
        said = await self._said(record.decision, _patience(request.query_params.get("wait")))
        blind = False  # only a reviewer may be asked about the decision, too, not knowing what was settled
        if said is not None and request.state.reviewer:
            blind = await asyncio.to_thread(self._ledger.queue.blind, record.decision.id, request.state.caller)
        return respond(
            {
                **record.decision.document(),
                "attempts": [_attempt(attempt) for attempt in record.decision.attempts],
                **({"review": "blind", "verdict": None} if blind else _concluded(record.decision, said)),
                "trial": record.assignment and {"id": record.assignment.trial, "arm": record.assignment.arm},
                "workload": record.workload,
                "at": record.at.isoformat(),
            }
        )

    async def _said(self, decision: Decision, patience: float) -> Said | None:
        """What came of it among people; of a case that waits for one, as soon as that is, or None after so many seconds."""
        until = time.monotonic() + (patience if decision.answer is None and self._patient < PATIENT else 0.0)
        self._patient += 1
        try:
            while True:
                said = await asyncio.to_thread(self._ledger.conclusion, decision.id)
                if said is not None or time.monotonic() >= until:
                    return said
                await asyncio.sleep(GLANCE)
        finally:
            self._patient -= 1

    async def _settle(self, request: Request) -> Response:
        feedback = await read(request, Feedback)
        record = await self._record(request.path_params["id"])
        if not request.state.reviewer and request.state.caller != record.case.asked_by:
            raise Refusal(
                403, "not_allowed", "Others asked for this decision: settle it with the key that did, or as a reviewer."
            )
        verdict = Verdict(record.decision.id, feedback.answer, request.state.caller, feedback.note, feedback.score)
        workload = self._lives[record.workload].workload
        try:
            settled = await asyncio.to_thread(settle, self._ledger, workload, verdict, datetime.now(UTC))
        except ReviewError as error:
            field = error.problems[0].message.split(":")[0] if error.problems else "answer"
            param = "answer" if field == "answer" else f"answer.{field}"
            raise Refusal(400, "invalid_answer", str(error), param) from error
        return respond({"decision": settled.decision, **_verdict(settled)})

    async def _show_metrics(self, request: Request) -> Response:
        await self._metrics.look(self._watches.values(), self._ledger)
        return Response(self._metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def _show_health(self, request: Request) -> Response:
        return respond({"status": "ok"})

    async def _show_readiness(self, request: Request) -> Response:
        if not await self._ready():
            raise Refusal(503, "not_ready", "The ledger cannot be used now.", headers={"retry-after": "1"})
        ready = {"status": "ready", "releases": {name: live.release for name, live in self._lives.items()}}
        behind = {name: live.pointed for name, live in self._lives.items() if live.pointed not in (None, live.release)}
        return respond(ready | ({"promoted": behind} if behind else {}))  # what should answer, and cannot be opened yet

    async def _ready(self) -> bool:
        """Whether the ledger answers, asked once a second at most: anybody may ask, and each time costs a query."""
        async with self._checking:
            ready, until = self._checked
            if time.monotonic() >= until:
                ready = await asyncio.to_thread(self._ledger.healthy)
                self._checked = ready, time.monotonic() + 1.0
            return ready

    def _live(self, name: str, param: str | None) -> Live:
        if name == "auto" and len(self._lives) == 1:
            name = next(iter(self._lives))
        if name not in self._lives:
            known = ", ".join(self._lives) or "none"
            raise Refusal(404, "model_not_found", f"There is no workload {name[:100]!r} here. There is: {known}.", param)
        return self._lives[name]

    async def _record(self, decision_id: str) -> Record:
        record = await asyncio.to_thread(self._ledger.find, decision_id)
        if record is None or record.workload not in self._lives:
            raise Refusal(404, "decision_not_found", f"There is no decision {decision_id[:100]!r} here.", "id")
        return record


def application(lives: Sequence[Live], ledger: Ledger, *, open_access: bool, owns: bool = False) -> Gateway:
    """The ASGI application around these releases. With `open_access` nobody needs a key and only this machine may ask.

    One that `owns` the releases and the ledger closes them when the server's lifespan ends. Under a server that says nothing of
    its lifespan, or where it is mounted in another application, it follows promotions from the first request on, and closes
    nothing: nobody tells it when.

    Raises `TracesError` where the environment asks for traces and the extra `otel` is missing.
    """
    return Gateway(lives, ledger, open_access, owns)


async def _no_route(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        raise Refusal(404, "not_found", f"There is nothing at {scope['path'][:100]!r}.")
    await send({"type": "websocket.close"})


def _refusal(error: Exception) -> Refusal:
    """What the caller is told. Only a Refusal's words leave: others' may hold addresses, or another caller's text."""
    if isinstance(error, Refusal):
        return error
    code = error.code if isinstance(error, RungError) else "internal_error"
    if code == "ledger_unavailable":
        _log.error("%s", error)
        message = "The ledger cannot be used now, and nothing is answered that is not recorded: try again."
        return Refusal(503, code, message, headers={"retry-after": "1"})
    _log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    return Refusal(500, code, "Something went wrong here. The server's log tells where.")


def _patience(said: str | None) -> float:
    """The seconds that `wait` asks for. Raises Refusal."""
    if said is None:
        return 0.0
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", said) or float(said) > LONGEST_WAIT:
        raise Refusal(400, "invalid_value", f"`wait` is a number of seconds, at most {LONGEST_WAIT:.0f}.", "wait")
    return float(said)


def _hostname(host: str) -> str:
    """A Host header without its port and the brackets around an IPv6 address."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower().removeprefix("[").removesuffix("]")


def _headers(decision: Decision) -> dict[str, str]:
    return {
        "cache-control": "no-store",
        "x-rung-decision-id": decision.id,
        "x-rung-tier": quote(decision.tier, safe="/:-._", errors="replace"),
        "x-rung-confidence": str(round(decision.confidence, 6)),
        "x-rung-release": decision.release,
    }


def _model(live: Live) -> dict[str, Any]:
    return {"id": live.workload.name, "object": "model", "created": int(live.since.timestamp()), "owned_by": "rung"}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "tier": attempt.tier,
        "answer": None if attempt.answer is None else dict(attempt.answer.fields),
        "confidence": round(attempt.confidence, 6),
        "trusted": attempt.trusted,
        "problems": [{"check": problem.check, "message": problem.message} for problem in attempt.problems],
        "cost": attempt.cost,
        "seconds": round(attempt.seconds, 6),
    }


def _concluded(decision: Decision, said: Said | None) -> dict[str, Any]:
    """What came of a decision among people, in a word, with the verdict, or with who put it aside and why."""
    if said is None:
        return {"review": "waiting" if decision.answer is None else None, "verdict": None}
    if not said.discarded:
        return {"review": "settled", "verdict": _verdict(said.verdict)}
    why = {"by": said.verdict.by, "note": said.verdict.note, "at": said.at.isoformat()}
    return {"review": "discarded", "verdict": None, "discarded": why}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    told = {"answer": dict(verdict.answer), "by": verdict.by, "note": verdict.note}
    return told if verdict.score is None else {**told, "score": verdict.score}
