"""Public fakes for tests: models and servers that answer, fail and misbehave as a script says. They know no thresholds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from aiohttp import web

from rung.core import Answer, Case, Problem


@dataclass(frozen=True, slots=True)
class Reply:
    """What a `FakeEndpoint` does with one request.

    `content` is the model's text (a mapping is sent as JSON), `tokens` are (text, log-probability) pairs, `usage` is (prompt,
    completion) tokens. `body` replaces the whole completion. After `delay` seconds the reply is sent; with `cut` the connection
    breaks in the middle of it, with `hang` it never comes.
    """

    content: Mapping[str, Any] | str | None = ""
    usage: tuple[int, int] | None = (100, 10)
    tokens: Sequence[tuple[str, float]] | None = None
    finish_reason: str = "stop"
    refusal: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    delay: float = 0.0
    cut: bool = False
    hang: bool = False


class FakeEndpoint:
    """An OpenAI-compatible chat server on a free loopback port, for the length of an `async with`.

    `script` maps a request's body to its `Reply`. `url` ends in `/v1`; `bodies` and `headers` keep what was received, in order.
    """

    def __init__(self, script: Callable[[dict[str, Any]], Reply]) -> None:
        """Listen only once entered."""
        self.url = ""
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self._script = script

    async def __aenter__(self) -> Self:
        """Start listening."""
        self._closing = asyncio.Event()
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Release whatever hangs, and stop."""
        self._closing.set()
        await self._runner.cleanup()

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        self.bodies.append(msgspec.json.decode(await request.read()))
        reply = self._script(self.bodies[-1])
        if reply.hang or reply.delay:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), None if reply.hang else reply.delay)
        body = _encode(reply)
        headers = {"Content-Type": "application/json", **reply.headers}
        if not reply.cut:
            return web.Response(status=reply.status, headers=headers, body=body)
        response = web.StreamResponse(status=reply.status, headers={**headers, "Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response


class FakeModel:
    """A `core.Model` whose `script` returns an answer, returns an exception to be raised, or returns None to hang.

    `asked` keeps every (case, objections) in order, `closed` says whether `close` was called.
    """

    def __init__(self, script: Callable[[Case, tuple[Problem, ...]], Answer | Exception | None]) -> None:
        """Keep the script."""
        self.asked: list[tuple[Case, tuple[Problem, ...]]] = []
        self.closed = False
        self._script = script

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        """What the script says."""
        self.asked.append((case, objections))
        says = self._script(case, objections)
        if isinstance(says, Exception):
            raise says
        return says if says is not None else await asyncio.Future[Answer]()

    async def close(self) -> None:
        """Note that it was called."""
        self.closed = True


def _encode(reply: Reply) -> bytes:
    """The body to send."""
    if reply.body is not None:
        return reply.body
    content = msgspec.json.encode(reply.content).decode() if isinstance(reply.content, Mapping) else reply.content
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": content, "refusal": reply.refusal},
        "finish_reason": reply.finish_reason,
    }
    if reply.tokens is not None:
        choice["logprobs"] = {"content": [{"token": text, "logprob": value} for text, value in reply.tokens]}
    completion: dict[str, Any] = {"id": "fake", "object": "chat.completion", "choices": [choice]}
    if reply.usage is not None:
        completion["usage"] = dict(zip(("prompt_tokens", "completion_tokens"), reply.usage, strict=True))
    return msgspec.json.encode(completion)
