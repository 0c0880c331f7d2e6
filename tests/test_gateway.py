from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from openai import AuthenticationError, BadRequestError, InternalServerError, NotFoundError, OpenAI

import rung.gateway.guard
import rung.gateway.server
import rung.gateway.wire
from gateway_stage import RELEASE, SECRET, Stage, staged
from rung.gateway import GatewayError, digest, new_key, require_port, serving
from rung.gateway.keys import ROLES


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("open")) as running:
        yield running


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("locked"), open_access=False) as running:
        yield running


def client(stage: Stage, key: str = "unused") -> OpenAI:
    return OpenAI(base_url=f"{stage.url}/v1", api_key=key, max_retries=0)


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def post(stage: Stage, path: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(stage.url + path, content=content, headers={"content-type": "application/json", **headers}, timeout=10)


def error(response: httpx.Response) -> dict[str, Any]:
    problem = response.json()["error"]
    assert set(problem) == {"message", "type", "param", "code"} and problem["message"]
    return problem


def raw(stage: Stage, request: bytes, seconds: float = 5.0) -> bytes:
    """What comes back until the server ends the connection or is silent for a while."""
    with socket.create_connection(("127.0.0.1", stage.port), timeout=seconds) as line:
        received = b""
        try:
            line.sendall(request)
            while part := line.recv(65536):
                received += part
        except (TimeoutError, ConnectionError):
            pass
        return received


# The official client, unchanged


def test_a_completion_carries_the_answer_as_json(stage: Stage) -> None:
    raw_answer = client(stage).chat.completions.with_raw_response.create(model="support", messages=user("my money back"))
    answer = raw_answer.parse()
    assert json.loads(answer.choices[0].message.content or "") == {"intent": "refund"}
    assert answer.choices[0].finish_reason == "stop" and answer.model == "support" and answer.system_fingerprint == RELEASE
    assert answer.usage is not None and answer.usage.total_tokens == 0
    assert raw_answer.headers["x-rung-decision-id"] == answer.id.removeprefix("chatcmpl-")
    assert raw_answer.headers["x-rung-tier"] == "specialist"
    assert raw_answer.headers["x-rung-confidence"] == "0.99"
    assert raw_answer.headers["x-rung-release"] == RELEASE


def test_a_streamed_completion_adds_up_to_the_plain_one(stage: Stage) -> None:
    options: Any = {"include_usage": True}
    with client(stage).chat.completions.with_streaming_response.create(
        model="auto", messages=user("my money back"), stream=True, stream_options=options
    ) as response:
        assert response.headers["x-rung-tier"] == "specialist" and response.headers["x-rung-decision-id"]
        chunks = list(response.parse())
    assert chunks[0].choices[0].delta.role == "assistant"
    content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert json.loads(content) == {"intent": "refund"}
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_without_options_ends_with_the_finish_reason(stage: Stage) -> None:
    chunks = list(client(stage).chat.completions.create(model="support", messages=user("hello"), stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop" and all(chunk.usage is None for chunk in chunks)


def test_a_case_for_a_person_is_a_refusal_that_names_the_decision(stage: Stage) -> None:
    answer = client(stage).chat.completions.create(model="support", messages=user("a hard one"))
    message = answer.choices[0].message
    assert message.content is None and answer.id.removeprefix("chatcmpl-") in (message.refusal or "")
    chunks = list(client(stage).chat.completions.create(model="support", messages=user("a hard one"), stream=True))
    assert any("A person decides" in (chunk.choices[0].delta.refusal or "") for chunk in chunks)


def test_the_last_user_message_is_the_case_and_the_rest_its_context(stage: Stage) -> None:
    first = client(stage).chat.completions.create(model="support", messages=user("hello")).choices[0].message
    parts: Any = [{"type": "text", "text": "my money"}, {"type": "text", "text": "back"}]
    turns: Any = [
        {"role": "system", "content": "be kind"},
        *user("hello"),
        first.model_dump(),
        {"role": "user", "content": parts},
    ]
    client(stage).chat.completions.create(model="support", messages=turns)
    case = stage.live.asked[-1]
    assert case.text == "my money\nback" and case.asked_by == "anonymous"
    assert case.context["messages"] == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": '{"intent":"other"}'},
    ]


def test_models_are_the_workloads(stage: Stage) -> None:
    listed = list(client(stage).models.list())
    assert [model.id for model in listed] == ["support"]
    assert client(stage).models.retrieve("support").created == int(stage.live.since.timestamp())
    with pytest.raises(NotFoundError) as caught:
        client(stage).models.retrieve("gpt-4o")
    assert caught.value.code == "model_not_found"


def test_an_unknown_model_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFoundError) as caught:
        client(stage).chat.completions.create(model="gpt-4o", messages=user("hello"))
    assert caught.value.code == "model_not_found" and caught.value.param == "model" and "support" in caught.value.message


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"stop": ["\n"]}, "stop"),
        ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}},
            "response_format",
        ),
        ({"extra_body": {"surprise": 1}}, "surprise"),
        ({"temperature": "hot"}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": user("hello") * 257}, "messages"),
        ({"messages": [{"role": "assistant", "content": "hello"}]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "hello", "tool_call_id": "1"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0].type",
        ),
        ({"messages": user("x" * 100_001)}, "messages[0].content"),
        ({"messages": user("")}, "messages[0].content"),
        ({"messages": [*user("hello"), *user(" \n")]}, "messages[1].content"),
    ],
)
def test_what_would_change_the_meaning_is_a_bad_request_that_names_it(stage: Stage, given: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        client(stage).chat.completions.create(**{"model": "support", "messages": user("hello"), **given})
    assert caught.value.param == param and caught.value.type == "invalid_request_error" and caught.value.code


def test_what_makes_no_difference_is_accepted(stage: Stage) -> None:
    schema = dict(stage.live.workload.schema)
    harmless: Any = {
        "n": 1, "temperature": 0, "top_p": 1, "max_tokens": 9, "max_completion_tokens": 9, "seed": 1, "user": "u",
        "metadata": {"team": "a"}, "store": False, "tools": [], "tool_choice": "none", "logprobs": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}},
    }  # fmt: skip
    assert client(stage).chat.completions.create(model="support", messages=user("hello"), **harmless).choices


# Decisions and verdicts


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_a_blank_text_is_not_decided(stage: Stage, text: str) -> None:
    before = len(stage.live.asked)
    refused = post(stage, "/v1/workloads/support/decisions", {"input": text})
    assert refused.status_code == 400 and len(stage.live.asked) == before
    assert (error(refused)["code"], error(refused)["param"]) == ("invalid_value", "input")


def box(text: str, left: int, top: int) -> dict[str, Any]:
    return {"text": text, "box": [left, top, left + 10 * len(text), top + 10]}


def test_a_scanned_page_is_decided_as_the_text_it_holds(stage: Stage) -> None:
    page = [box("49.90", 400, 20), box("money back", 0, 21), box("Lamps & Co", 0, 0)]
    decided = post(stage, "/v1/workloads/support/decisions", {"input": page, "context": {"channel": "scan"}})
    assert decided.status_code == 200 and decided.json()["answer"] == {"intent": "refund"}
    record = stage.ledger.find(decided.json()["id"])
    assert record is not None and record.case.text == "Lamps & Co\nmoney back  49.90"


@pytest.mark.parametrize(
    ("page", "code", "why"),
    [
        (
            [box("fine", 0, 0), {"text": "Total", "box": [0, 0, 1]}],
            "invalid_value",
            "line 2 of the page has no box of four numbers",
        ),
        (["Total"], "invalid_value", "line 1 of the page is not an object"),
        ([], "invalid_value", "blank"),
        ([box(" ", 0, 0)], "invalid_value", "blank"),
        ([box("x" * 60_000, 0, 0), box("x" * 60_000, 0, 20)], "string_above_max_length", "120001 characters"),
        ({"text": "Total"}, "invalid_value", "Expected `str | array`"),
    ],
)
def test_a_page_of_another_form_is_refused_with_its_line(stage: Stage, page: Any, code: str, why: str) -> None:
    before = len(stage.live.asked)
    refused = post(stage, "/v1/workloads/support/decisions", {"input": page})
    assert refused.status_code == 400 and len(stage.live.asked) == before
    assert (error(refused)["code"], error(refused)["param"]) == (code, "input") and why in error(refused)["message"]


def test_a_decision_can_be_asked_for_looked_up_and_settled(stage: Stage) -> None:
    asked = post(stage, "/v1/workloads/support/decisions", {"input": "a hard one", "context": {"channel": "chat"}})
    decided = asked.json()
    assert asked.status_code == 200 and asked.headers["x-rung-decision-id"] == decided["id"]
    assert decided["outcome"] == "review" and decided["answer"] is None and decided["problems"]
    assert stage.live.asked[-1].context == {"channel": "chat"}
    found = httpx.get(f"{stage.url}/v1/decisions/{decided['id']}").json()
    assert {name: found[name] for name in decided} == decided
    assert found["verdict"] is None and found["workload"] == "support" and datetime.fromisoformat(found["at"]).tzinfo
    assert found["attempts"][0]["tier"] == "specialist" and not found["attempts"][0]["trusted"]
    settled = post(
        stage, f"/v1/decisions/{decided['id']}/feedback", {"answer": {"intent": "refund", "order": None}, "note": "said so"}
    )
    assert settled.status_code == 200
    verdict = httpx.get(f"{stage.url}/v1/decisions/{decided['id']}").json()["verdict"]
    assert verdict == {"answer": {"intent": "refund", "order": None}, "by": "anonymous", "note": "said so"}


def test_a_verdict_must_fit_the_workload_and_a_known_decision(stage: Stage) -> None:
    id = post(stage, "/v1/workloads/support/decisions", {"input": "hello"}).json()["id"]
    wrong = post(stage, f"/v1/decisions/{id}/feedback", {"answer": {"intent": "refunds", "order": None}})
    assert wrong.status_code == 400 and error(wrong)["param"] == "answer.intent"
    unknown = post(stage, "/v1/decisions/none/feedback", {"answer": {"intent": "refund"}})
    assert unknown.status_code == 404 and error(unknown)["code"] == "decision_not_found"
    assert httpx.get(f"{stage.url}/v1/decisions/none").status_code == 404


def test_a_verdict_may_hold_whatever_json_holds(stage: Stage) -> None:
    id = post(stage, "/v1/workloads/support/decisions", {"input": "hello"}).json()["id"]
    for order in (b"9" * 400, b"1e300", b'"\\u0000"', b"[" * 60 + b"]" * 60, b'"AB1234"'):
        settled = post(
            stage, f"/v1/decisions/{id}/feedback", b'{"answer": {"intent": "other", "order": ' + order + b'}, "note": "\\u0000"}'
        )
        assert settled.status_code == (200 if order == b'"AB1234"' else 400)


# Who may ask


def test_only_a_key_in_force_opens_the_door_and_its_name_is_recorded(locked: Stage) -> None:
    for key in ("wrong", new_key()):
        with pytest.raises(AuthenticationError) as caught:
            client(locked, key).models.list()
        assert caught.value.code == "invalid_api_key"
    key = new_key()
    locked.ledger.add_key("billing", digest(key), datetime.now(UTC))
    answer = client(locked, key).chat.completions.create(model="support", messages=user("hello"))
    record = locked.ledger.find(answer.id.removeprefix("chatcmpl-"))
    assert record is not None and record.case.asked_by == "key:billing"
    feedback = {"answer": {"intent": "other", "order": None}}
    bearer = f"Bearer {key}"
    post(locked, f"/v1/decisions/{record.decision.id}/feedback", feedback, authorization=bearer)
    verdict = locked.ledger.verdict(record.decision.id)
    assert verdict is not None and verdict.by == "key:billing"


def test_a_revoked_key_stops_working(locked: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rung.gateway.keys.REMEMBERED", 0.0)
    key = new_key()
    locked.ledger.add_key("leaver", digest(key), datetime.now(UTC))
    assert list(client(locked, key).models.list())
    locked.ledger.revoke_key("leaver", datetime.now(UTC))
    with pytest.raises(AuthenticationError):
        client(locked, key).models.list()


def test_every_route_but_health_and_readiness_is_closed_without_a_key(locked: Stage) -> None:
    closed = [
        ("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/v1/models/support"), ("GET", "/metrics"),
        ("POST", "/v1/workloads/support/decisions"), ("GET", "/v1/decisions/x"), ("POST", "/v1/decisions/x/feedback"),
    ]  # fmt: skip
    for method, path in closed:
        refused = httpx.request(method, locked.url + path)
        assert refused.status_code == 401 and error(refused)["code"] == "invalid_api_key", path
    assert httpx.get(f"{locked.url}/healthz").status_code == httpx.get(f"{locked.url}/readyz").status_code == 200


def test_a_key_does_what_its_role_may_and_no_more(locked: Stage) -> None:
    keys = {role: new_key() for role in ROLES}
    for role, key in keys.items():
        locked.ledger.add_key(f"the {role}", digest(key), datetime.now(UTC), role)
    bearer = {role: {"authorization": f"Bearer {key}"} for role, key in keys.items()}
    id = post(locked, "/v1/workloads/support/decisions", {"input": "a hard one"}, **bearer["caller"]).json()["id"]
    feedback = {"answer": {"intent": "other", "order": None}}
    wanted: list[tuple[str, str, str, Any]] = [
        ("viewer", "GET", "/v1/models", None),
        ("viewer", "GET", "/v1/models/support", None),
        ("viewer", "GET", f"/v1/decisions/{id}", None),
        ("viewer", "GET", "/metrics", None),
        ("caller", "POST", "/v1/workloads/support/decisions", {"input": "hello"}),
        ("caller", "POST", "/v1/chat/completions", {"model": "support", "messages": user("hello")}),
        ("reviewer", "GET", "/v1/workloads/support/reviews", None),
        ("reviewer", "POST", "/v1/workloads/support/reviews/next", {}),
        ("reviewer", "POST", "/v1/reviews/1/draft", feedback),
        ("reviewer", "POST", "/v1/reviews/1/settle", feedback),
        ("reviewer", "POST", "/v1/reviews/1/reopen", None),
        ("reviewer", "POST", "/v1/reviews/1/hold", None),
        ("reviewer", "GET", "/v1/reviews/1/similar", None),
        ("reviewer", "POST", "/v1/reviews/1/release", None),
        ("reviewer", "POST", "/v1/workloads/support/reviews/value", {"field": "order", "text": "AB1234"}),
        ("caller", "POST", f"/v1/decisions/{id}/feedback", feedback),
    ]
    for least, method, path, body in wanted:
        for role in ROLES:
            kind = {"content-type": "application/json"}
            reply = httpx.request(method, locked.url + path, json=body, headers=kind | bearer[role], timeout=10)
            if ROLES.index(role) < ROLES.index(least):
                assert reply.status_code == 403 and error(reply)["code"] == "not_allowed", (role, path)
            else:
                assert reply.status_code == 200, (role, path, reply.text)
    assert locked.ledger.verdict(id).by == "key:the reviewer"  # said last


def test_what_a_proxy_passes_on_is_not_this_machine(stage: Stage) -> None:
    for name in ("x-forwarded-for", "x-forwarded-proto", "X-Forwarded-Host", "forwarded", "x-real-ip", "via"):
        passed = httpx.get(f"{stage.url}/v1/models", headers={name: "127.0.0.1"})
        assert passed.status_code == 403 and error(passed)["code"] == "host_not_allowed", name
        assert "rung keys add" in error(passed)["message"] and "docs/operating.md" in error(passed)["message"]
    nginx = b"GET /people HTTP/1.%d\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n\r\n"  # as it asks by default, until 1.29.7
    assert b" 403 " in raw(stage, nginx % 0) and b"host_not_allowed" in raw(stage, nginx % 0)
    assert b" 200 " in raw(stage, nginx % 1)


def test_with_keys_a_proxy_may_pass_on_what_it_will(locked: Stage) -> None:
    key = new_key()
    locked.ledger.add_key("proxied", digest(key), datetime.now(UTC))
    old = f"GET /v1/models HTTP/1.0\r\nx-real-ip: 1.2.3.4\r\nauthorization: Bearer {key}\r\n\r\n"
    assert b" 200 " in raw(locked, old.encode())


def test_open_access_answers_no_name_but_this_machines(stage: Stage) -> None:
    for host in ("localhost", f"127.0.0.1:{stage.port}", "[::1]:1", "LOCALHOST", "127.0.0.2"):
        assert httpx.get(f"{stage.url}/v1/models", headers={"host": host}).status_code == 200
    rebound = httpx.get(f"{stage.url}/v1/models", headers={"host": "evil.example"})
    assert rebound.status_code == 403 and error(rebound)["code"] == "host_not_allowed"
    assert b" 403 " in raw(stage, b"GET /v1/models HTTP/1.0\r\n\r\n")
    assert b" 403 " in raw(stage, b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\nconnection: close\r\n\r\n")


def test_a_web_page_cannot_send_what_it_may_send_unasked(stage: Stage) -> None:
    simple = post(stage, "/v1/workloads/support/decisions", {"input": "x"}, **{"content-type": "text/plain"})
    assert simple.status_code == 415 and error(simple)["code"] == "unsupported_media_type"
    assert httpx.options(f"{stage.url}/v1/models", headers={"origin": "https://evil.example"}).status_code == 405


# What goes wrong


def test_every_refusal_has_the_four_fields(stage: Stage) -> None:
    for path, status in (("/nowhere", 404), ("/v1/models/", 404), ("/v1/models/%ff%00", 404)):
        assert httpx.get(stage.url + path).status_code == status and error(httpx.get(stage.url + path))
    wrong = httpx.get(f"{stage.url}/v1/chat/completions")
    assert wrong.status_code == 405 and wrong.headers["allow"] == "POST" and error(wrong)["code"] == "method_not_allowed"


def test_what_cannot_be_recorded_is_not_answered_and_says_nothing_secret(stage: Stage) -> None:
    with pytest.raises(InternalServerError) as caught:
        client(stage).chat.completions.create(model="support", messages=user("unrecorded"), stream=True)
    assert caught.value.status_code == 503 and caught.value.code == "ledger_unavailable"
    assert caught.value.response.headers["retry-after"] == "1" and SECRET not in caught.value.response.text


def test_a_mistake_of_ours_is_told_without_the_case(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    refused = post(stage, "/v1/workloads/support/decisions", {"input": "broken 4111 1111 1111 1111"})
    assert refused.status_code == 500 and error(refused)["type"] == "server_error"
    assert "4111" not in refused.text + caplog.text and "ValueError" in caplog.text


def test_a_large_body_is_refused_however_it_is_sent(stage: Stage) -> None:
    large = json.dumps({"input": "x" * (1 << 20)}).encode()
    parts = (large[start : start + 65536] for start in range(0, len(large), 65536))
    kind = {"content-type": "application/json"}
    with httpx.Client() as line:
        for content in (large, large * 8, parts):
            refused = line.post(f"{stage.url}/v1/workloads/support/decisions", content=content, headers=kind)
            assert refused.status_code == 413 and error(refused)["code"] == "request_too_large"
        assert line.get(f"{stage.url}/v1/models").status_code == 200


def test_a_body_that_dawdles_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rung.gateway.wire, "BODY_SECONDS", 0.2)
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
    )
    assert raw(stage, head).startswith(b"HTTP/1.1 408 ")


def test_a_large_header_is_refused(stage: Stage) -> None:
    with socket.create_connection(("127.0.0.1", stage.port), timeout=5) as line:
        line.sendall(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 66_000)
        assert line.recv(65536).startswith(b"HTTP/1.1 431 ")
    allowed = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx: " + b"a" * 60_000 + b"\r\n\r\n"
    assert raw(stage, allowed).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "start", [b"", b"\r\n", b"GET /v1/models HTTP/1.1\r\nhost: loc", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n1"]
)
def test_a_request_that_never_arrives_is_ended(stage: Stage, monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setattr(rung.gateway.server, "HEADER_SECONDS", 0.2)
    monkeypatch.setattr(rung.gateway.server, "REQUEST_SECONDS", 0.3)
    began = time.monotonic()
    raw(stage, start)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "request_line",
    [b"GET /\xff HTTP/1.1", b"nonsense", b"GET http:// HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"GET * HTTP/1.1", b"GET / HTTP/9.9"],
)
def test_what_is_not_http_is_a_bad_request_in_the_same_words(stage: Stage, request_line: bytes) -> None:
    answer = raw(stage, request_line + b"\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] in (b"400", b"404") and set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


def test_an_offer_to_upgrade_is_passed_over_but_never_the_body_after_it(stage: Stage) -> None:
    offer = b"host: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n"
    assert raw(stage, b"GET /v1/models HTTP/1.1\r\n" + offer + b"\r\n").startswith(b"HTTP/1.1 200 ")
    smuggled = b"GET /healthz HTTP/1.1\r\n\r\n"
    head = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-type: application/json\r\n" + offer
    for request in (head + b"content-length: 25\r\n\r\n" + smuggled, head + b"\r\n" + smuggled):
        answer = raw(stage, request)
        assert answer.startswith(b"HTTP/1.1 400 ") and b"upgrade_unsupported" in answer and answer.count(b"HTTP/1.1") == 2


def test_a_flood_of_trailers_is_refused(stage: Stage) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    assert b"header_too_large" in raw(stage, head + b"transfer-encoding: chunked\r\n\r\n0\r\nx: " + b"a" * 90_000)


def test_beyond_the_limit_callers_are_asked_to_come_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rung.gateway.guard, "CONCURRENT", 0)
    full = httpx.get(f"{stage.url}/v1/models")
    assert full.status_code == 503 and error(full)["code"] == "overloaded" and full.headers["retry-after"] == "1"
    assert httpx.get(f"{stage.url}/healthz").status_code == 200


def test_a_caller_who_leaves_does_no_harm(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    head = b"POST /v1/workloads/support/decisions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", stage.port)) as line:
        line.sendall(head + b"content-length: 99\r\n\r\n{")
    with socket.create_connection(("127.0.0.1", stage.port)) as line:
        line.sendall(head + b'content-length: 16\r\n\r\n{"input":"slow"}')
        time.sleep(0.1)
    time.sleep(1.2)
    assert not caplog.records
    assert httpx.get(f"{stage.url}/healthz").json() == {"status": "ok"}


# What is watched


def test_metrics_count_decisions_and_requests_by_route(stage: Stage) -> None:
    post(stage, "/v1/workloads/support/decisions", {"input": "hello"})
    text = httpx.get(f"{stage.url}/metrics").text
    assert 'rung_decisions_total{outcome="accepted",tier="specialist",workload="support"}' in text
    assert 'rung_decision_seconds_bucket{le="0.005",outcome="accepted",tier="specialist",workload="support"}' in text
    assert 'rung_http_requests_total{route="/v1/workloads/{name}/decisions",status="200"}' in text
    assert 'rung_cost_dollars_total{outcome="accepted"' in text


def test_a_ledger_that_is_gone_makes_the_gateway_not_ready_but_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with staged(tmp_path) as running:
        monkeypatch.setattr(type(running.ledger), "healthy", lambda _: False)
        unready = httpx.get(f"{running.url}/readyz")
        assert unready.status_code == 503 and error(unready)["code"] == "not_ready"
        assert httpx.get(f"{running.url}/healthz").status_code == 200


# Where it may stand, and how it stops


def test_a_port_that_is_taken_is_named_together_with_the_option(stage: Stage) -> None:
    with pytest.raises(GatewayError, match=rf"{stage.port} .* --port"):
        require_port("127.0.0.1", stage.port)


async def open_on(host: str, stage: Stage) -> None:
    async with serving(stage.app, host, 0):
        pass


def test_open_access_is_refused_where_others_could_ask(stage: Stage) -> None:
    with pytest.raises(GatewayError, match="make a key"):
        asyncio.run(open_on("0.0.0.0", stage))


CHILD = """
import asyncio, sys
from pathlib import Path
import uvloop
from gateway_stage import FakeLive, workload
from rung.gateway import application, serve
from rung.ledger import open_ledger

async def main(folder):
    ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
    app = application([FakeLive(workload(folder), ledger)], ledger, open_access=True)
    await serve(app, "127.0.0.1", 0, lambda url: print(url, flush=True))
    await ledger.close()
    print("closed", flush=True)

uvloop.run(main(Path(sys.argv[1])))
"""


def test_sigterm_lets_requests_in_flight_end(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": here}
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None and child.stderr is not None
        url = child.stdout.readline().strip()
        answers: list[httpx.Response] = []
        body = {"input": "a slow one"}
        asking = threading.Thread(target=lambda: answers.append(httpx.post(f"{url}/v1/workloads/support/decisions", json=body)))
        asking.start()
        time.sleep(0.4)
        child.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/healthz")
        asking.join(10)
        assert child.wait(10) == 0
        assert answers[0].status_code == 200 and answers[0].json()["outcome"] == "accepted"
        assert child.stdout.read() == "closed\n" and child.stderr.read() == ""
