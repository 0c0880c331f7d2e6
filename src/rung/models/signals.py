"""Turns a completion's text and tokens into the signals that a confidence is computed from.

It knows nothing about servers, requests or cases.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, cast

import msgspec

from rung.core import Fields

LEAST_LOGPROB = -100.0  # a token's; some servers write -9999 for "never", which would drown every other field
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # the last two are not DecodeErrors in msgspec

_KEY = re.compile(rb'[\s,]*+"(?:[^"\\]|\\.)*+"\s*+:\s*+')


class _Token(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int] | None = None  # what the token stands for where it is only a part of a character


class _Tokens(msgspec.Struct):
    content: list[_Token]


def measure_logprobs(raw: msgspec.Raw, content: bytes, at: slice) -> dict[str, float]:
    """By field the joint log-probability of its value's tokens; nothing where the server did not give them."""
    try:
        tokens = msgspec.json.decode(raw, type=_Tokens).content
        pieces = [token.token.encode() if token.bytes is None else bytes(token.bytes) for token in tokens]
    except (*UNREADABLE, ValueError):  # ValueError: a "byte" above 255
        tokens, pieces = [], []
    lead = b"".join(pieces).find(content)  # the server may have stripped space before and end-of-text marks after
    if lead < 0:
        return {}
    edges = list(accumulate(map(len, pieces), initial=-lead))
    totals = list(accumulate((min(0.0, max(LEAST_LOGPROB, token.logprob)) for token in tokens), initial=0.0))
    return {
        name: totals[bisect_left(edges, value.stop)] - totals[bisect_right(edges, value.start) - 1]
        for name, value in _values(content, at).items()
    }


def sum_up(joint: Mapping[str, float]) -> dict[str, float]:
    """Signals from what `measure_logprobs` gives: worst field, all fields, and whether they are known."""
    if not joint:
        return {"logprob_min": 0.0, "logprob_sum": 0.0, "logprob_known": 0.0}
    return {"logprob_min": min(joint.values()), "logprob_sum": sum(joint.values()), "logprob_known": 1.0}


def _values(content: bytes, at: slice) -> dict[str, slice]:
    """Where each top-level value of the JSON object at `at` lies in the content; empty if a key occurs twice."""
    spans: dict[str, slice] = {}
    position = content.index(b"{", at.start) + 1
    for name, raw in msgspec.json.decode(content[at], type=dict[str, msgspec.Raw]).items():
        key = _KEY.match(content, position)
        start = key.end() if key else position
        position = start + len(memoryview(raw))
        if content[start:position] != bytes(raw):
            return {}
        spans[name] = slice(start, position)
    return spans


def measure_copied(fields: Fields, text: str) -> float:
    """The share of string and number values, at any depth, that occur in the text; 1 if there are none."""
    folded = text.casefold()
    found: list[bool] = []
    left: list[Any] = [fields]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left.extend(cast(dict[str, Any], value).values())
        elif isinstance(value, list):
            left.extend(cast(list[Any], value))
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            found.append(str(value).removesuffix(".0").casefold() in folded)
    return sum(found) / len(found) if found else 1.0
