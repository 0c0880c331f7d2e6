"""Public fakes for tests, and what every recipe must hold. Models and servers answer, fail and misbehave as a script says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec
from aiohttp import web

from rung.core import Answer, Case, Problem, RungError, Specialist


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


def check_recipe(
    train: Callable[[], Specialist], load: Callable[[Path], Specialist], foreign: Path, folder: Path, texts: Sequence[str]
) -> None:
    """What a recipe's specialists must hold; raises AssertionError, with a sentence, where one does not.

    `train` trains anew each time it is called, on the same gold; `load` opens what was saved in a folder; `foreign` holds a
    specialist of other fields; `folder` is free to be written to. Trained twice they are the same bit for bit. They
    are kept in safetensors, ONNX and JSON alone, and opened again they answer `texts` with the same bits. A text asked alone gets
    the answer that it gets beside others, and its confidence to a thousandth: sums come in another order. Files that are
    missing, cut short, empty or another specialist's are refused with a `RungError`.
    """
    first, second = train(), train()
    first.save(folder / "first")
    second.save(folder / "second")
    files = {file.name: file.read_bytes() for file in (folder / "first").iterdir()}
    again = {file.name: file.read_bytes() for file in (folder / "second").iterdir()}
    assert files == again, f"trained twice, these differ: {[name for name in files if files[name] != again.get(name)]}"
    assert {Path(name).suffix for name in files} <= {".safetensors", ".onnx", ".json"}, f"kept as {sorted(files)}"
    said = asyncio.run(_ask(first, texts))
    assert said == asyncio.run(_ask(load(folder / "first"), texts)), "opened again, it answers otherwise"
    for text, together in zip(texts, said, strict=True):
        (alone,) = asyncio.run(_ask(first, [text]))
        near = all(abs(alone.field_confidence[name] - sure) < 1e-3 for name, sure in together.field_confidence.items())
        assert alone.fields == together.fields and near, f"asked alone, it answers otherwise: {text[:40]!r}"
    _refused(load, foreign, "another specialist's files")
    for name, content in files.items():
        for damaged in (None, b"", content[: len(content) // 2]):
            (folder / "first" / name).unlink()
            if damaged is not None:
                (folder / "first" / name).write_bytes(damaged)
            _refused(load, folder / "first", f"{name} {'missing' if damaged is None else f'cut to {len(damaged)} bytes'}")
            (folder / "first" / name).write_bytes(content)


async def _ask(model: Specialist, texts: Sequence[str]) -> list[Answer]:
    try:
        return await asyncio.gather(*[model.answer(Case(text)) for text in texts])
    finally:
        await model.close()


def _refused(load: Callable[[Path], Specialist], folder: Path, what: str) -> None:
    try:
        load(folder)
    except RungError:
        return
    raise AssertionError(f"{what}: opened all the same")


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
