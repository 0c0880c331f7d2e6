"""The endpoint model against a server that answers, fails and misbehaves."""

import asyncio
import logging
import time
import traceback
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rung.cascade.redaction import Redacting
from rung.core import Answer, Case, Problem
from rung.models.endpoint import LARGEST_BODY, OPENS_AFTER, EndpointError, EndpointModel
from rung.testing import FakeEndpoint, FakeModel, Reply
from rung.workflows import judging, train
from rung.workflows.rehearsal import EndpointSilent
from rung.workload import Endpoint, EndpointTier, Price
from small_workload import write_workload

SCHEMA = {
    "type": "object",
    "properties": {
        "intent": {"enum": ["refund", "other"]},
        "amount": {"type": ["number", "null"]},
        "items": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
    "required": ["intent"],
}
KEY = "sk-very-secret-0123456789"
GOOD = {"intent": "refund", "amount": 12.5}
CASE = Case("Please refund my 12.50, it was charged twice.")


def model_at(url: str, timeout: float = 3.0, price: Price | None = None, key: str | None = KEY, **options: Any) -> EndpointModel:
    endpoint = Endpoint("local", url, "core", "open", "inside", price or Price())
    return EndpointModel(EndpointTier("slm", endpoint, "phi", timeout), "Triage the message.", SCHEMA, key, **options)


def ask(
    script: Callable[[dict[str, Any]], Reply], objections: tuple[Problem, ...] = (), case: Case = CASE, **options: Any
) -> tuple[Answer, FakeEndpoint]:
    async def run() -> tuple[Answer, FakeEndpoint]:
        async with FakeEndpoint(script) as server:
            model = model_at(server.url, **options)
            try:
                return await model.answer(case, objections), server
            finally:
                await model.close()

    return asyncio.run(run())


def refusal(script: Callable[[dict[str, Any]], Reply], **options: Any) -> EndpointError:
    with pytest.raises(EndpointError) as caught:
        ask(script, **options)
    return caught.value


def in_turn(*replies: Reply) -> Callable[[dict[str, Any]], Reply]:
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def system_prompt(body: dict[str, Any]) -> str:
    return body["messages"][0]["content"]


def test_a_good_answer_becomes_fields_signals_and_seconds():
    answer, server = ask(lambda _: Reply(GOOD, delay=0.02))
    assert answer.fields == GOOD
    assert answer.field_confidence == {}
    assert answer.signals == {"logprob_min": 0.0, "logprob_sum": 0.0, "logprob_known": 0.0, "copied": 1.0, "repaired": 0.0}
    assert 0.02 <= answer.seconds < 2
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_the_request_asks_for_a_closed_strict_schema_at_temperature_zero():
    _, server = ask(lambda _: Reply(GOOD), examples=(("hello", {"intent": "other", "amount": None}),))
    (body,) = server.bodies
    assert (body["model"], body["temperature"], body["logprobs"]) == ("phi", 0, True)
    asked = body["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["strict"] is True
    schema = asked["json_schema"]["schema"]
    assert schema["required"] == ["intent", "amount", "items"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["items"]["items"]["required"] == ["name"]
    assert schema["properties"]["items"]["items"]["additionalProperties"] is False
    assert [turn["role"] for turn in body["messages"]] == ["system", "user", "assistant", "user"]
    assert system_prompt(body).startswith("Triage the message.")
    assert body["messages"][2]["content"] == '{"intent":"other","amount":null}'
    assert body["messages"][-1]["content"] == CASE.text
    assert "required" not in SCHEMA["properties"]["items"]["items"]  # the workload's own schema is left as it was


def test_without_a_key_no_authorization_is_sent():
    _, server = ask(lambda _: Reply(GOOD), key=None)
    assert "Authorization" not in server.headers[0]


def test_token_logprobs_become_joint_logprobs_of_the_fields():
    content = '{"intent": "refund", "amount": 12.5}'
    tokens = [("{", -9.0), ('"intent"', -9.0), (":", -9.0), (' "', -0.1), ("ref", -0.2), ("und", -0.3), ('",', -0.4)]
    tokens += [(' "amount":', -9.0), (" 12", -0.01), (".5", -0.02), ("}", -9.0), ("<|end|>", -9.0)]
    signals = ask(lambda _: Reply(content, tokens=tokens))[0].signals
    assert signals["logprob_known"] == 1.0
    assert signals["logprob_min"] == pytest.approx(-1.0)
    assert signals["logprob_sum"] == pytest.approx(-1.03)


def test_a_character_split_over_two_tokens_is_found_by_its_bytes():
    content = '{"a":"é"}'
    tokens = [
        {"token": '{"a":"', "logprob": -0.5, "bytes": list(b'{"a":"')},
        {"token": "\\xc3", "logprob": -1.0, "bytes": [0xC3]},
        {"token": "\\xa9", "logprob": -2.0, "bytes": [0xA9]},
        {"token": '"}', "logprob": -0.25, "bytes": list(b'"}')},
    ]
    choice = {"message": {"content": content}, "logprobs": {"content": tokens}}
    signals = ask(lambda _: Reply(body=msgspec.json.encode({"choices": [choice]})))[0].signals
    assert signals["logprob_sum"] == pytest.approx(-3.75)


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ('{"a": 1}', [("other text", -1.0)]),
        ('{"a": 1, "a": 2}', [('{"a": 1, "a": 2}', -1.0)]),
        ("{}", [("{}", -1.0)]),
        ('{"a": 1}', []),
    ],
)
def test_logprobs_that_do_not_fit_the_answer_count_as_unknown(content: str, tokens: list[tuple[str, float]]):
    assert ask(lambda _: Reply(content, tokens=tokens))[0].signals["logprob_known"] == 0.0


@pytest.mark.parametrize("odd", [{"tokens": ["a"], "token_logprobs": [-1]}, [1], {"content": [{"token": "x", "logprob": None}]}])
def test_logprobs_in_an_odd_shape_do_not_cost_the_answer(odd: Any):
    body = msgspec.json.encode({"choices": [{"message": {"content": '{"a": 1}'}, "logprobs": odd}]})
    answer, _ = ask(lambda _: Reply(body=body))
    assert (answer.fields, answer.signals["logprob_known"]) == ({"a": 1}, 0.0)


def test_copied_is_the_share_of_values_that_occur_in_the_text():
    said = {"order": "ab1", "amount": 12.0, "rude": True, "date": None, "items": [{"name": "invented"}], "note": "Refund"}
    answer, _ = ask(lambda _: Reply(said), case=Case("Refund AB1: 12 euros"))
    assert answer.signals["copied"] == pytest.approx(3 / 4)
    assert ask(lambda _: Reply({"rude": False}))[0].signals["copied"] == 1.0


def test_the_cost_follows_from_usage_and_price():
    answer, _ = ask(lambda _: Reply(GOOD, usage=(2000, 500)), price=Price(input=3.0, output=15.0))
    assert answer.cost == pytest.approx(2000 * 3e-6 + 500 * 15e-6)


def test_the_cost_of_a_rented_machine_follows_from_seconds():
    answer, _ = ask(lambda _: Reply(GOOD, delay=0.02), price=Price(hour=3600.0))
    assert answer.cost == pytest.approx(answer.seconds)


def test_a_token_that_was_never_to_come_does_not_drown_the_rest():
    tokens = [('{"a": ', 0.0), ("1", -9999.0), (', "b": ', 0.0), ("2", -1e308), ("}", -1e308)]
    signals = ask(lambda _: Reply('{"a": 1, "b": 2}', tokens=tokens))[0].signals
    assert (signals["logprob_min"], signals["logprob_sum"]) == (-100.0, -200.0)


def test_usage_that_is_not_reported_is_estimated_from_characters():
    answer, server = ask(lambda _: Reply('{"a": 12}', usage=None), price=Price(input=1e6, output=1e9))
    prompt = sum(len(turn["content"]) for turn in server.bodies[0]["messages"])
    assert answer.cost == pytest.approx(-(-prompt // 4) + 3000)


def test_objections_are_told_to_the_model():
    objections = (Problem("schema", "amount: -3 is less than 0"), Problem("names_order", "a refund names an order"))
    _, server = ask(lambda _: Reply(GOOD), objections)
    said = server.bodies[0]["messages"][-1]
    assert said["role"] == "user"
    assert said["content"].startswith(CASE.text)
    assert "- schema: amount: -3 is less than 0\n- names_order: a refund names an order" in said["content"]


def test_the_context_follows_the_text_as_json():
    case = Case(CASE.text, {"messages": [{"role": "user", "content": "Grüße"}], "at": date(2026, 11, 21)})
    _, server = ask(lambda _: Reply(GOOD), (Problem("schema", "no amount"),), case)
    text, context, objections = server.bodies[0]["messages"][-1]["content"].split("\n\n---\n")
    assert text == CASE.text
    assert context.endswith('\n{"messages": [{"role": "user", "content": "Grüße"}], "at": "2026-11-21"}')
    assert "- schema: no amount" in objections


def test_a_redacted_context_leaves_redacted():
    async def run() -> None:
        async with FakeEndpoint(lambda _: Reply(GOOD)) as server:
            model = Redacting(model_at(server.url), ["email"])
            await model.answer(Case("Refund me.", {"messages": [{"role": "user", "content": "I am ada@example.com"}]}))
            assert "I am [EMAIL_1]" in server.bodies[0]["messages"][-1]["content"]
            assert "ada@" not in msgspec.json.encode(server.bodies).decode()
            await model.close()

    asyncio.run(run())


def test_what_was_answered_inside_or_in_other_words_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def kept(boundary: str) -> int:
        served = {"url": "http://127.0.0.1:9/v1", "size": "core", "weights": "open", "price": {"hour": 1.0}}
        tiers = [{"endpoint": "slm", "model": "phi", "timeout": "50ms"}]
        workload = write_workload(
            tmp_path, 60, {"slm": served | {"boundary": boundary}}, tiers=tiers, boundary={"may_leave": "anything"}
        )
        with pytest.raises(EndpointSilent):
            train(workload)
        return len([*(workload.state / "cache").glob("answers-*.jsonl")])

    assert [kept("inside"), kept("inside"), kept("outside")] == [1, 1, 2]
    monkeypatch.setattr(judging, "Prompt", ["other words"])
    assert kept("outside") == 3


@pytest.mark.parametrize("failure", [Reply(status=503), Reply(status=429), Reply(status=408), Reply(cut=True, content=GOOD)])
def test_a_passing_failure_is_tried_again(failure: Reply):
    answer, server = ask(in_turn(failure, Reply(GOOD)))
    assert answer.fields == GOOD
    assert len(server.bodies) == 2


def test_retry_after_is_honoured_when_it_fits():
    answer, server = ask(in_turn(Reply(status=429, headers={"Retry-After": "0.2"}), Reply(GOOD)))
    assert answer.seconds >= 0.2
    assert len(server.bodies) == 2


def test_retry_after_beyond_the_deadline_fails_at_once():
    started = time.monotonic()
    error = refusal(lambda _: Reply(status=429, headers={"Retry-After": "60"}))
    assert error.code == "endpoint_unavailable"
    assert time.monotonic() - started < 1


def test_the_deadline_holds_when_the_server_hangs():
    started = time.monotonic()
    error = refusal(lambda _: Reply(hang=True), timeout=0.2)
    assert error.code == "endpoint_timeout"
    assert 0.2 <= time.monotonic() - started < 1


def test_the_deadline_covers_all_tries_together():
    started = time.monotonic()
    error = refusal(lambda _: Reply(status=500, delay=0.1), timeout=0.3)
    assert error.code in ("endpoint_timeout", "endpoint_unavailable")
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("status", [400, 401, 404, 307])
def test_other_refusals_are_not_tried_again(status: int):
    tried: list[int] = []

    def script(_: dict[str, Any]) -> Reply:
        tried.append(status)
        return Reply(status=status, body=b'{"error": {"message": "no such model"}}', headers={"Location": "/v1/elsewhere"})

    error = refusal(script)
    assert error.code == "endpoint_refused"
    assert f"HTTP {status}" in str(error)
    assert "no such model" in str(error)
    assert len(tried) == 1


def test_a_server_that_is_not_there_is_unavailable():
    async def run() -> str:
        async with FakeEndpoint(lambda _: Reply(GOOD)) as server:
            model = model_at(server.url, timeout=0.4)
        with pytest.raises(EndpointError) as caught:
            await model.answer(CASE)
        await model.close()
        return caught.value.code

    assert asyncio.run(run()) == "endpoint_unavailable"


def test_the_breaker_opens_lets_one_probe_through_and_recovers():
    async def run() -> None:
        replies = [Reply(status=503, headers={"Retry-After": "60"})] * (OPENS_AFTER + 1) + [Reply(GOOD)]
        async with FakeEndpoint(in_turn(*replies)) as server:
            model = model_at(server.url, cooldown=0.3)

            async def attempt() -> str:
                try:
                    return str((await model.answer(CASE)).fields["intent"])
                except EndpointError as error:
                    return "left alone" if "left alone" in str(error) else error.code

            assert [await attempt() for _ in range(OPENS_AFTER)] == ["endpoint_unavailable"] * OPENS_AFTER
            assert await attempt() == "left alone"
            assert len(server.bodies) == OPENS_AFTER
            await asyncio.sleep(0.3)
            probes = await asyncio.gather(attempt(), attempt(), attempt())
            assert sorted(probes) == ["endpoint_unavailable", "left alone", "left alone"]
            assert len(server.bodies) == OPENS_AFTER + 1
            await asyncio.sleep(0.3)
            assert await attempt() == "refund"
            assert await asyncio.gather(attempt(), attempt(), attempt()) == ["refund"] * 3
            await model.close()

    asyncio.run(run())


def test_nonsense_does_not_open_the_breaker():
    async def run() -> None:
        async with FakeEndpoint(lambda _: Reply("hm")) as server:
            model = model_at(server.url)
            for _ in range(OPENS_AFTER + 1):
                with pytest.raises(EndpointError, match="no JSON object"):
                    await model.answer(CASE)
            assert len(server.bodies) == OPENS_AFTER + 1
            await model.close()

    asyncio.run(run())


def test_what_a_server_refuses_by_name_is_never_sent_again():
    def script(body: dict[str, Any]) -> Reply:
        for name in ("response_format", "logprobs"):
            if name in body:
                return Reply(status=400 if name == "logprobs" else 422, body=f'{{"error": "{name} unsupported"}}'.encode())
        return Reply(f"Here it is:\n```json\n{msgspec.json.encode(GOOD).decode()}\n```\nAnything else?")

    async def run() -> None:
        async with FakeEndpoint(script) as server:
            model = model_at(server.url)
            answers = await asyncio.gather(model.answer(CASE), model.answer(CASE))
            assert [answer.fields for answer in answers] == [GOOD, GOOD]
            assert answers[0].signals["repaired"] == 1.0
            asked = len(server.bodies)
            await model.answer(CASE)
            assert len(server.bodies) == asked + 1
            assert "response_format" not in server.bodies[-1]
            assert "logprobs" not in server.bodies[-1]
            assert '"additionalProperties":false' in system_prompt(server.bodies[-1])
            assert "JSON Schema" not in system_prompt(server.bodies[0])
            await model.close()

    asyncio.run(run())


def refusing(error: Any) -> Reply:
    return Reply(status=400, body=msgspec.json.encode(error))


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "Unsupported value", "param": "temperature"}},
        {"error": {"message": "'temperature' does not support 0 with this model", "param": None}},
        {"error": "temperature unsupported"},
        {"object": "error", "message": "temperature is unknown"},
        {"detail": [{"loc": ["body", "temperature"], "msg": "Extra inputs are not permitted", "input": 0}]},
        {"message": {"detail": [{"loc": ["body", "temperature"], "msg": "Extra inputs are not permitted"}]}},
    ],
)
def test_a_server_says_in_many_shapes_what_it_refuses(error: Any):
    answer, server = ask(lambda body: refusing(error) if "temperature" in body else Reply(GOOD))
    assert answer.fields == GOOD
    assert server.bodies[1].keys() == {"model", "messages", "logprobs", "response_format"}


@pytest.mark.parametrize(
    "echo",
    [
        lambda body: {"detail": [{"loc": ["body", "messages"], "msg": "logprobs? too long", "input": body}]},
        lambda body: {"error": {"message": f"too long: {body}", "param": "messages"}},
        lambda body: {"error": {"message": "too long", "param": None, "request": body}},
        lambda body: {"error": {"message": f"too long: {body}"}},  # even what looks like an objection changes nothing for good
    ],
)
def test_a_refusal_for_another_reason_changes_no_later_request(echo: Callable[[Any], Any]):
    async def run() -> None:
        async with FakeEndpoint(lambda body: refusing(echo(body)) if "LONG" in str(body) else Reply(GOOD)) as server:
            model = model_at(server.url)
            await model.answer(CASE)
            with pytest.raises(EndpointError, match="too long"):
                await model.answer(Case("LONG temperature logprobs response_format"))
            await model.answer(CASE)
            assert server.bodies[-1] == server.bodies[0]
            assert {"temperature", "logprobs", "response_format"} <= server.bodies[-1].keys()
            await model.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "reply",
    [
        Reply("I would say a refund.", usage=(2000, 500)),
        Reply('{"intent": "refu', finish_reason="length", usage=(2000, 500)),
        Reply(None, refusal="I cannot help with that.", usage=(2000, 500)),
        Reply("{", finish_reason="content_filter", usage=(2000, 500)),
        Reply(body=b'{"choices": [], "usage": {"prompt_tokens": 2000, "completion_tokens": 500}}'),
    ],
)
def test_an_unusable_completion_is_paid_for_like_any_other(reply: Reply):
    assert refusal(lambda _: reply, price=Price(input=3.0, output=15.0)).cost == pytest.approx(2000 * 3e-6 + 500 * 15e-6)


def test_a_call_that_brings_no_completion_costs_nothing():
    assert refusal(lambda _: Reply(status=401), price=Price(input=3.0, output=15.0)).cost == 0.0


@pytest.mark.parametrize(
    "reply",
    [
        Reply("I would say a refund."),
        Reply("[1, 2]"),
        Reply("```json\n[1]\n```"),
        Reply("```" + " " * 500_000),
        Reply('{"a": ' + "[" * 20_000 + "]" * 20_000 + "}"),
        Reply('{"a": ' + "1" * 5000 + "}"),
        Reply(None),
        Reply('{"intent": "refu', finish_reason="length"),
        Reply(body=b"<html>hello</html>"),
        Reply(body=b"\xff\xfe"),
        Reply(body=b'{"choices": []}'),
        Reply(body=b'{"choices": [{"message": {"content": "\xff"}}]}'),
        Reply(body=b'{"choices": ' + b"[" * 100_000),
        Reply(body=b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        Reply(body=b'{"error": {"message": "busy"}}'),
        Reply(GOOD, usage=(-1, 5)),
        Reply(body=b" " * (LARGEST_BODY + 1)),
        Reply(status=503, body=b" " * (LARGEST_BODY + 1)),
    ],
    ids=range(18),
)
def test_nonsense_is_one_error_and_no_crash(reply: Reply):
    started = time.monotonic()
    assert refusal(lambda _: reply).code == "endpoint_nonsense"
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("reply", [Reply(None, refusal="I cannot help with that."), Reply("{", finish_reason="content_filter")])
def test_a_model_that_declines_is_a_refusal(reply: Reply):
    assert refusal(lambda _: reply).code == "endpoint_refused"


@pytest.mark.parametrize("padding", ["", "x" * 290])
def test_the_key_shows_in_no_error_and_no_log(padding: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    said = f"{padding}bad key {KEY}".encode()
    script = in_turn(Reply(status=503, body=said), Reply(status=401, body=said))
    error = refusal(script)
    shown = "".join(traceback.format_exception(error)) + caplog.text + repr(error.__context__)
    assert KEY[:9] not in shown


def test_a_key_no_header_can_carry_is_an_error_that_does_not_show_it():
    with pytest.raises(EndpointError) as caught:
        model_at("http://127.0.0.1:9/v1", key="secret\nkey")
    assert "secret" not in str(caught.value)


def test_the_newline_after_a_key_is_not_part_of_it():
    _, server = ask(lambda _: Reply(GOOD), key=f"{KEY}\n")
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_a_fake_model_answers_raises_or_hangs_as_its_script_says():
    async def run() -> None:
        said = [Answer(GOOD), ValueError("no"), None]
        model = FakeModel(lambda _case, _objections: said[len(model.asked) - 1])
        assert (await model.answer(CASE)).fields == GOOD
        with pytest.raises(ValueError, match="no"):
            await model.answer(CASE, (Problem("a", "b"),))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(model.answer(CASE), 0.01)
        await model.close()
        assert model.closed
        assert model.asked == [(CASE, ()), (CASE, (Problem("a", "b"),)), (CASE, ())]

    asyncio.run(run())
