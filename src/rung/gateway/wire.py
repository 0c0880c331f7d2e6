"""Turns a request's body into a typed object within fixed bounds, and an object into a response. Knows no routes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rung.boxes import read_page
from rung.gateway.refusal import Refusal

BODY_BYTES = 1 << 20
BODY_SECONDS = 10.0  # within which a body must have arrived
DEPTH = 64  # objects and arrays inside each other
VALUES = 20_000  # objects, arrays, strings and numbers in one body
TEXT = 100_000  # characters in one case

Shape = TypeVar("Shape")
_AT = re.compile(r"(?P<message>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_FIELD = re.compile(r"Object (?P<trouble>contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)
_TROUBLE = {
    "contains unknown": ("unrecognized_request_argument", "Unrecognized request argument supplied: "),
    "missing required": ("missing_required_parameter", "Missing required parameter: "),
}


async def read(request: Request, shape: type[Shape]) -> Shape:
    """The request's body as an object of this shape. Raises Refusal whatever is wrong with it."""
    _require_json(request)
    document = parse(await receive(request))
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        raise _mismatch(str(error)) from None


def parse(body: bytes) -> Any:
    """What a body says in JSON, if it is neither too deep nor too much. Raises Refusal."""
    document = _decode(body)
    _measure(document)
    return document


def require_text(text: str, param: str) -> str:
    """The text, if it is one to decide: not blank, and no longer than a case may be."""
    if not text.strip():
        raise Refusal(400, "invalid_value", "The text is blank: there is nothing to decide.", param)
    if len(text) > TEXT:
        message = f"The text has {len(text)} characters; a case may have {TEXT}."
        raise Refusal(400, "string_above_max_length", message, param)
    return text


def require_input(given: str | list[Any], param: str) -> str:
    """The text to decide, given as it is or as the lines of a scanned page. Raises Refusal that says which line is none."""
    if isinstance(given, str):
        return require_text(given, param)
    try:
        text = read_page(given)
    except ValueError as error:
        raise Refusal(400, "invalid_value", f"This is not a scanned page: {error}.", param) from None
    return require_text(text, param)


def encode(value: object) -> bytes:
    """The value as JSON, whatever a model put into an answer: integers beyond 64 bits, halves of a character, any object."""
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError):
        return json.dumps(value, default=repr, separators=(",", ":")).encode()


def respond(value: object, headers: Mapping[str, str] | None = None) -> Response:
    """The value as a JSON response."""
    return Response(encode(value), headers=headers, media_type="application/json")


def _require_json(request: Request) -> None:
    # It also keeps web pages away from an open gateway on this machine: a browser asks before it sends JSON elsewhere.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or request.headers.get("content-encoding", "identity") != "identity":
        raise Refusal(415, "unsupported_media_type", "Send the body as application/json, uncompressed.")
    if "upgrade" in request.headers:  # httptools passes over the body then; Java's client offers h2c unless told not to
        raise Refusal(400, "upgrade_unsupported", "Speak HTTP/1.1 and leave the header Upgrade out.")


async def receive(request: Request) -> bytes:
    """The request's body. Raises Refusal for one that is too large or does not arrive."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES:
                    raise Refusal(413, "request_too_large", f"The body is larger than {BODY_BYTES} bytes.")
    except TimeoutError:
        message = f"The body did not arrive within {BODY_SECONDS:.0f} s."
        raise Refusal(408, "request_timeout", message, headers={"connection": "close"}) from None
    return bytes(body)


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except UnicodeDecodeError as error:
        raise Refusal(400, "invalid_json", f"The body is not UTF-8: byte {error.start}.") from None
    except RecursionError:  # msgspec's own bound, far beyond ours
        raise _too_deep() from None
    except msgspec.DecodeError as error:
        raise Refusal(400, "invalid_json", f"The body is not JSON: {error}") from None


def _measure(document: Any) -> None:
    """Walk the document level by level, no further than it may reach."""
    level = [document]
    seen = 0
    for _ in range(DEPTH + 1):
        level = [child for node in level for child in _children(node)]
        seen += len(level)
        if seen > VALUES:
            raise Refusal(400, "too_many_values", f"The body holds more than {VALUES} values.")
        if not level:
            return
    raise _too_deep()


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(cast("dict[str, Any]", node).values())
    return cast("list[Any]", node) if isinstance(node, list) else []


def _too_deep() -> Refusal:
    return Refusal(400, "too_deep", f"The body nests objects and arrays more than {DEPTH} deep.")


def _mismatch(text: str) -> Refusal:
    """What msgspec found wrong, in OpenAI's words."""
    at = _AT.fullmatch(text)
    message, path = (at["message"], at["path"]) if at else (text, None)
    if field := _FIELD.fullmatch(message):
        code, words = _TROUBLE[field["trouble"]]
        param = ".".join(filter(None, (path, field["name"])))
        return Refusal(400, code, words + param, param)
    return Refusal(400, "invalid_value", f"{message}, at {path}." if path else f"{message}.", path)
