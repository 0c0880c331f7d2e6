from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway_stage import FakeLive, ask, decide, workload
from rung.core import Case, Decision
from rung.gateway import Gateway, application
from rung.ledger import open_ledger

PATHS = ["/v1/chat/completions", "/v1/workloads/support/decisions", "/v1/decisions/x/feedback"]

quick = settings(max_examples=150)
keys = st.sampled_from(
    ["model", "messages", "role", "content", "input", "context", "answer", "note", "stream", "n", "type", "text"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=9) | keys
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


class Unrecorded(FakeLive):
    """Decides without keeping: the ledger's own tests say what it keeps."""

    async def decide(self, case: Case) -> Decision:
        return decide(case)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("malformed")
    ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
    yield application([Unrecorded(workload(folder), ledger)], ledger, open_access=True)
    asyncio.run(ledger.close())


def tell(app: Gateway, path: str, body: bytes, method: str = "POST", **headers: str) -> int:
    status, said = asyncio.run(ask(app, method, path, body, headers))
    assert status < 500, (body, said)
    if status >= 400:
        assert set(json.loads(said)["error"]) == {"message", "type", "param", "code"}
    return status


@quick
@given(path=st.sampled_from(PATHS), body=st.binary(max_size=200))
@example(path=PATHS[0], body=b"")
@example(path=PATHS[0], body=b"[" * 200_000)
@example(path=PATHS[1], body=b'{"input": "\xff"}')
@example(path=PATHS[1], body=b'{"input": "\\ud800"}')
@example(path=PATHS[1], body=b'{"input": NaN}')
@example(path=PATHS[1], body=b'{"input": 1e999}')
@example(path=PATHS[1], body=b"\xef\xbb\xbf{}")
def test_bytes_that_are_not_a_request_are_the_callers_mistake(app: Gateway, path: str, body: bytes) -> None:
    assert 400 <= tell(app, path, body) < 500


@quick
@given(path=st.sampled_from(PATHS), body=values)
def test_json_of_any_shape_is_never_our_mistake(app: Gateway, path: str, body: Any) -> None:
    tell(app, path, json.dumps(body).encode())


@quick
@given(part=values, name=keys)
def test_an_almost_right_chat_is_never_our_mistake(app: Gateway, part: Any, name: str) -> None:
    chat: dict[str, Any] = {"model": "support", "messages": [{"role": "user", "content": "hello"}]}
    tell(app, PATHS[0], json.dumps({**chat, name: part}).encode())
    tell(app, PATHS[0], json.dumps({**chat, "messages": [{"role": "user", "content": "x", name: part}]}).encode())


@quick
@given(
    path=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "X"]),
)
def test_any_path_is_answered(app: Gateway, path: str, method: str) -> None:
    tell(app, f"/{path}", b"", method)
    tell(app, f"/v1/decisions/{path}", b"", method)


@quick
@given(value=st.text(st.characters(codec="latin-1"), max_size=40))
def test_any_header_is_answered(app: Gateway, value: str) -> None:
    for name in ("content-type", "content-length", "authorization", "host", "content-encoding", "expect"):
        tell(app, PATHS[0], b"{}", **{name: value})


@quick
@given(part=values, box=st.lists(scalars, max_size=5), name=st.sampled_from(["text", "box", "input"]))
def test_an_almost_right_page_is_never_our_mistake(app: Gateway, part: Any, box: list[Any], name: str) -> None:
    for line in (part, {"text": "hello", "box": box}, {"text": "hello", "box": [0, 0, 9, 9], name: part}):
        tell(app, PATHS[1], json.dumps({"input": [line]}).encode())


@pytest.mark.parametrize(
    "context",
    [
        b'{"a":' * 70 + b"1" + b"}" * 70,
        b'{"a": [' + b"1," * 20_001 + b"1]}",
    ],
)
def test_depth_and_number_of_values_are_bounded(app: Gateway, context: bytes) -> None:
    assert tell(app, PATHS[1], b'{"input": "hello", "context": ' + context + b"}") == 400


def test_nul_and_huge_integers_are_ordinary_input(app: Gateway) -> None:
    context = b'{"number": ' + b"9" * 300 + b', "text": "\\u0000"}'
    assert tell(app, PATHS[1], b'{"input": "a \\u0000 b", "context": ' + context + b"}") == 200
