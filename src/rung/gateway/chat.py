"""Turns OpenAI's chat completions into cases, and decisions into completions, plain or streamed. Knows no HTTP.

The case is the last message, which must be the user's; the ones before it are its context, under `messages`. The content of
the completion is the answer object as compact JSON. Where a person has to decide there is none: OpenAI's own field for an
answer that is not given, `refusal`, says so. Usage is zero: Rung counts decisions, not tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from rung.core import Case, Decision
from rung.gateway.refusal import Refusal
from rung.gateway.wire import encode, require_text

MESSAGES = 256
USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}

# What would change the answer's meaning, with the values that ask for nothing.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "stop": ([],),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "audio": (),
    "moderation": (),
    "web_search_options": (),
}


class Part(Struct):
    """A piece of a message; only text can be decided on."""

    type: Literal["text"]
    text: str


class Message(Struct, forbid_unknown_fields=True):
    """One turn, as a caller writes it or as a completion carried it."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part] | None = None
    name: str | None = None
    refusal: str | None = None
    annotations: list[Any] | None = None
    audio: None = None
    function_call: None = None
    tool_calls: None = None

    @property
    def text(self) -> str:
        """The content as one text."""
        content = self.content or ""
        return content if isinstance(content, str) else "\n".join(part.text for part in content)


class StreamOptions(Struct, forbid_unknown_fields=True):
    """What a stream carries besides the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Chat(Struct, forbid_unknown_fields=True):
    """The body of a chat completion: what is used, then what is refused unless neutral, then what makes no difference."""

    model: str
    messages: Annotated[list[Message], Meta(min_length=1, max_length=MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: dict[str, Any] | None = None

    n: Any = None
    stop: Any = None
    tools: Any = None
    tool_choice: Any = None
    functions: Any = None
    function_call: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    logit_bias: Any = None
    modalities: Any = None
    audio: Any = None
    moderation: Any = None
    web_search_options: Any = None

    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    parallel_tool_calls: bool | None = None


def case_of(chat: Chat, schema: Mapping[str, Any], asked_by: str) -> Case:
    """The case a chat asks about. Raises Refusal if it asks for something else as well."""
    for name, neutral in _NEUTRAL.items():
        value = getattr(chat, name)
        if value is not None and value not in neutral:
            raise Refusal(400, "unsupported_parameter", f"{name} is not supported here with this value: leave it out.", name)
    _require_format(chat.response_format or {"type": "text"}, schema)
    *earlier, last = chat.messages
    param = f"messages[{len(earlier)}]"
    if last.role != "user" or last.content is None:
        raise Refusal(400, "invalid_value", "The last message must be the user's: it is the case to decide.", param)
    turns = [{"role": message.role, "content": message.text} for message in earlier]
    user = chat.safety_identifier or chat.user or ""
    return Case(require_text(last.text, f"{param}.content"), {"messages": turns} if turns else {}, asked_by, user=user)


def completion(decision: Decision, model: str, created: int) -> bytes:
    """The decision as a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", **_said(decision)}, "logprobs": None, "finish_reason": "stop"}
    return encode({**_head(decision, model, created, "chat.completion"), "choices": [choice], "usage": USAGE})


def stream(decision: Decision, model: str, created: int, options: StreamOptions | None) -> bytes:
    """The decision as the server-sent events of a streamed completion. It is whole before the first of them is sent."""
    head = _head(decision, model, created, "chat.completion.chunk")
    usage = bool(options and options.include_usage)
    chunks = [encode({**head, "choices": [choice], **({"usage": None} if usage else {})}) for choice in _deltas(decision)]
    if usage:
        chunks.append(encode({**head, "choices": [], "usage": USAGE}))
    return b"".join(b"data: %b\n\n" % chunk for chunk in (*chunks, b"[DONE]"))


def _require_format(wanted: dict[str, Any], schema: Mapping[str, Any]) -> None:
    kind = wanted.get("type")
    if kind in ("text", "json_object"):
        return
    given = wanted.get("json_schema")
    if kind != "json_schema" or not isinstance(given, dict) or given.get("schema") != schema:  # pyright: ignore[reportUnknownMemberType]
        message = "The workload's own schema is the only format of its answers: leave response_format out."
        raise Refusal(400, "unsupported_parameter", message, "response_format")


def _head(decision: Decision, model: str, created: int, kind: str) -> dict[str, Any]:
    fingerprint = {"system_fingerprint": decision.release}
    return {"id": f"chatcmpl-{decision.id}", "object": kind, "created": created, "model": model, **fingerprint}


def _said(decision: Decision) -> dict[str, str | None]:
    if decision.answer is None:
        return {"content": None, "refusal": f"A person decides this case: GET /v1/decisions/{decision.id} tells the verdict."}
    return {"content": encode(decision.answer).decode(), "refusal": None}


def _deltas(decision: Decision) -> Iterator[dict[str, Any]]:
    for delta, reason in (
        ({"role": "assistant", "content": ""}, None),
        ({name: text for name, text in _said(decision).items() if text is not None}, None),
        ({}, "stop"),
    ):
        yield {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
