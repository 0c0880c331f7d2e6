"""Turns numbers and amounts as people print them into floats, and finds them in texts. Knows nothing about schemas."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any, cast

from text_to_num import text2num as untyped_text2num  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from rung.models.dates import Span, dates_in

text2num = cast(Callable[[str, str], int], untyped_text2num)
_LONGEST = 160  # characters that a number with what is said around it may have

_SIGNS = "\u2212\u2013-"  # the hyphen last: these stand in character classes
_MONEY = (
    r"(?:[a-z]{0,2}[$\u00a2\u00a3\u00a5\u0e3f\u20a0-\u20cf]|(?:euros?|dollars?|pounds?|sterling|fran(?:cs?|ken)|s?fr|z\u0142(?:oty(?:ch)?)?|zl|kr"
    r"(?:onor|oner)?|k\u010d|ft|lei|rs|yen|yuan|eur|usd|gbp|chf|sek|pln|dkk|nok|czk|huf|ron|bgn|try|jpy|cny|inr|aud|cad|nzd|sgd|hkd"
    r"|zar|brl|mxn|aed|ils|krw|thb|isk|uah)(?![^\W\d_])\.?)"
)
# Thousands in groups of three (in India of two before the last), one separator throughout; then a decimal part.
_SEPARATORS = ".,'\u2019 \u00a0\u202f"
_DIGITS = (
    rf"(?:(?P<grouped>[1-9][0-9]{{0,2}}(?P<separator>[{_SEPARATORS}])"
    rf"(?:[0-9]{{2,3}}(?P=separator))*[0-9]{{3}})(?:(?!(?P=separator))[.,](?P<cents>[0-9]+))?"
    r"|(?P<whole>[0-9]+)(?:[.,](?P<decimals>[0-9]+))?)"
)
_NUMBER = re.compile(
    rf"(?P<open>\()?\s?(?P<sign>[+{_SIGNS}]?)\s?(?:{_MONEY}|[x\u00d7@\u00e0])?\s?(?P<inner>[+{_SIGNS}]?){_DIGITS}"
    rf"(?P<tail>:?[.,{_SIGNS}]*)\s?(?:{_MONEY}|[x\u00d7])?(?P<close>\))?",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[0-9]+(?:[.,'\u2019\u00a0\u202f][0-9]+)*")
_CENTS = re.compile(r"(?:[0-9]+|[1-9][0-9]{0,2}(?:[.,'\u2019\u00a0\u202f][0-9]{3})+)([.,])[0-9]{2}")
_SPACED = re.compile(r"[1-9][0-9]{0,2}(?: [0-9]{3}){1,4}(?:[.,][0-9]+)?(?![0-9])")
_SIGN_BEFORE = re.compile(rf"(?:^|[^\w{_SIGNS}]|{_MONEY})(?P<sign>[{_SIGNS}])(?P<gap>\s?)(?:{_MONEY}\s?)?\Z", re.IGNORECASE)
_OPENING = re.compile(rf"\(\s?(?:{_MONEY}\s?)?\Z", re.IGNORECASE)
_CLOSING = re.compile(rf"\s?(?:{_MONEY})?\)", re.IGNORECASE)
_PART_BEFORE = re.compile(
    rf"(?:(?<![^\W\d_])(?!(?:{_MONEY}|[x\u00d7\u00e0])\Z)[^\W\d_]+|_|\w-|[0-9][:/{_SIGNS}])\Z", re.IGNORECASE
)
_PART_AFTER = re.compile(
    rf"[:/{_SIGNS}][0-9]|\s?[%\u2030]|-[^\W\d_]|_|(?!{_MONEY})(?:[^\W\d_]{{4}}|(?:st|nd|rd|th)\b|(?!x[0-9])[^\W\d_]+[0-9])",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[^\W\d_]{2,60}(?:[\s\-]{1,3}[^\W\d_]{1,60})*")
_MONEY_AROUND = re.compile(rf"^{_MONEY}\s+|\s+{_MONEY}\Z", re.IGNORECASE)


def parse_number(text: str) -> float | None:
    """A number as people write it: `1,249.00`, `49,90 EUR`, `1'250.-`, `(61.50)`, `61.50-`, `twelve`; None where it is none.

    A separator before exactly three closing digits groups thousands, unless it is the second kind in the number or only a
    zero stands before it; otherwise the last separator is the decimal one.
    """
    if len(text) > _LONGEST:
        return None
    number = _NUMBER.fullmatch(text.strip(" \t\r\n\u00a0|*:;=_"))
    if number is None:
        return _spelled(text)
    if bool(number["open"]) != bool(number["close"]) or (number["sign"] and number["inner"]):
        return None
    whole = number["whole"] or re.sub("[^0-9]", "", number["grouped"])
    value = float(f"{whole}.{number['cents'] or number['decimals'] or 0}")
    if not isfinite(value):
        return None
    behind = number["tail"] if number["grouped"] or number["decimals"] else ""
    minus = [mark for mark in (number["sign"], number["inner"], behind, number["open"]) if mark and mark in (*_SIGNS, "(")]
    return None if len(minus) > 1 else -value if minus else value


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers as people write them; `whole`: integers alone."""

    whole: bool

    def read(self, span: str, day_first: bool = True) -> float | None:
        """The number a piece of text means."""
        value = parse_number(span)
        return int(value) if value is not None and value.is_integer() else None if self.whole else value

    def mentions(self, text: str, day_first: bool = True) -> list[tuple[Span, Any]]:
        """Every number in the text, in digits."""
        found = [(span, number) for span, number, piece in _numbers_in(text) if not piece]
        return [(span, int(number) if number.is_integer() else number) for span, number in found if self._fits(number)]

    def _fits(self, number: float) -> bool:
        return not self.whole or number.is_integer()

    def find(self, text: str, value: Any) -> list[Span]:
        """Where the number stands, in digits or else in words."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return []
        found = [(span, piece) for span, number, piece in _numbers_in(text) if number == value]
        whole = [span for span, piece in found if not piece] or [span for span, _ in found]
        return whole or [span for span, number in _spelled_in(text) if number == value]


@lru_cache(maxsize=4)
def _numbers_in(text: str) -> tuple[tuple[Span, float, bool], ...]:
    """The numbers in a text, with their signs: span, value, and whether that is a piece of a longer one or unlikely."""
    decimal = _decimal_sign(text)
    dates = iter(dates_in(text))
    first, last = 0, -1  # of the nearest date
    found: list[tuple[Span, float, bool]] = []
    for start, end, piece in _digits_in(text):
        while last <= start and (nearest := next(dates, None)):
            first, last = nearest[0]
        for mention in _signed(text, start, end) if end <= first or last <= start else ():
            if (value := parse_number(text[slice(*mention)])) is not None:
                thousands = re.fullmatch(r"[1-9][0-9]{0,2}([.,])[0-9]{3}", text[start:end])  # 1,624 kg
                small = thousands is not None and thousands[1] == decimal
                found.append((mention, value, piece or small))
                found += [(mention, value / 1000, piece or not small)] if thousands else []
    return tuple(found)


def _decimal_sign(text: str) -> str | None:
    """What parts a text's cents from the rest, as 49.90 does; None where nothing says so, or both signs do."""
    spans = [span for span, _, _ in dates_in(text)]
    tokens = (match for match in _TOKEN.finditer(text) if not any(start <= match.start() < end for start, end in spans))
    signs = {cents[1] for match in tokens if (cents := _CENTS.fullmatch(match.group()))}
    return signs.pop() if len(signs) == 1 else None


def _digits_in(text: str) -> Iterator[tuple[int, int, bool]]:
    """Where digits may be a number: start, end, and whether they are only a piece of a longer one, as 250 is of 1 250,00.
    But a point makes both of `2 100.00` likely: a space parts columns too."""
    last, piece = 0, False
    for token in _TOKEN.finditer(text):
        if token.start() >= last and (whole := _SPACED.match(text, token.start())):
            last, piece = whole.end(), "." not in whole.group()
            yield *whole.span(), False
        yield *token.span(), piece and token.start() < last


def _signed(text: str, start: int, end: int) -> Iterator[Span]:
    """The digits between start and end with what makes them negative, and bare where they may be meant so; none if a part."""
    before, after = text[max(start - 16, 0) : start], text[end : end + 16]
    sign = _SIGN_BEFORE.search(before)
    if _PART_AFTER.match(after) or (not sign and _PART_BEFORE.search(before)):
        return
    if sign:
        yield start - len(before) + sign.start("sign"), end
    elif not text[start:end].isdigit() and re.match(rf"[{_SIGNS}](?![\w{_SIGNS}])", after):
        yield start, end + 1
        return
    elif (opening := _OPENING.search(before)) and (closing := _CLOSING.match(after)):
        yield start - len(before) + opening.start(), end + closing.end()
    if not sign or sign["gap"]:  # `- 64` may be a list's dash
        yield start, end


@lru_cache(maxsize=4096)
def _spelled(text: str) -> float | None:
    """A whole number in words, if no two languages disagree about it."""
    words = _MONEY_AROUND.sub("", text.strip())
    if not _WORDS.fullmatch(words):
        return None
    values: set[int] = set()
    for language in ("en", "de", "fr", "es", "it", "nl", "pt"):
        with suppress(ValueError):  # no number in this language
            values.add(text2num(words.lower(), language))
    return float(values.pop()) if len(values) == 1 else None


def _spelled_in(text: str) -> Iterator[tuple[Span, float]]:
    """The numbers in words in a text, each as long as it goes."""
    found: tuple[Span, float] | None = None
    for word in re.finditer(r"[^\W\d_]{1,60}", text):
        if found and (value := parse_number(text[found[0][0] : word.end()])) is not None:
            found = (found[0][0], word.end()), value
        elif not found or word.group().lower() not in ("and", "und", "et", "y", "e", "en"):
            yield from (found,) if found else ()
            value = _spelled(word.group())
            found = None if value is None else (word.span(), value)
    yield from (found,) if found else ()
