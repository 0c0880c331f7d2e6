"""Turns text with personal data into text with placeholders, and an answer with placeholders into one with the originals.

It knows the patterns of four kinds, not names or addresses, and it masks strings only: a card as a JSON number stays.
"""

from __future__ import annotations

import string
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, count
from typing import Any, cast

import re2

from rung.core import Answer, Case, Fields, Model, Problem

Span = tuple[int, int]
Finder = Callable[[str], Iterator[Span]]

_CARD_LENGTHS = range(13, 20)  # digits
_IBAN_LENGTHS = range(15, 35)  # letters and digits
_PHONE_LENGTHS = range(7, 16)  # digits

_VALUES = {character: int(character, 36) for character in string.ascii_letters + string.digits}  # in an IBAN

_GAP = r"[\p{Zs}\t\p{Pd}]{0,2}"  # what people put between groups: spaces and hyphens of any make
_LOCAL = r"[\p{L}\p{N}.!#$%&'*+/=?^_`{|}~-]+"
_DOMAIN = r"(?:[\p{L}\p{N}-]+\.)+[\p{L}\p{N}-]{2,}"
_HEAD = r"[A-Za-z]{2}[0-9]{2}"  # country and check digits
_DAY = r"\p{Nd}{1,2}[./\p{Pd}]"  # or a month
_YEAR = r"(?:19|20)\p{Nd}{2}"

_EMAIL = re2.compile(f"{_LOCAL}(?:@{_DOMAIN})+")
_DIGITS = re2.compile(r"\p{Nd}+")
_CARD = re2.compile(rf"\p{{Nd}}(?:{_GAP}\p{{Nd}})+")
_IBAN_HEAD = re2.compile(_HEAD)
_IBAN = re2.compile(rf"^{_HEAD}(?:{_GAP}[A-Za-z0-9]){{11,30}}")
_PHONE = re2.compile(r"([+(]{0,2}\p{Nd}(?:[\p{Zs}\t\p{Pd}./()]{0,3}\p{Nd})+)(?: ?(?:x|ext\.?) ?\p{Nd}{1,6})?")
_DATED = re2.compile(rf"^(?:{_YEAR}[./\p{{Pd}}]{_DAY}\p{{Nd}}|{_DAY}{_DAY}{_YEAR}|{_DAY}{_DAY}\p{{Nd}}{{2}}(?:[\p{{Zs}}\t]|$))")
# What tells a telephone number from other digits: how it begins, ten digits as in North America, or how it is grouped.
_DIALLED = re2.compile(
    r"[+(].*|0\p{Nd}.*|1?\p{Nd}{10}|"
    r"(?:1[\p{Zs}\p{Pd}])?\p{Nd}{2,4}(?:[\p{Zs}\p{Pd}()]{1,2}\p{Nd}{2,7})+|\p{Nd}{2,4}(?:\.\p{Nd}{2,4}){2,}"
)
_PLACEHOLDER = re2.compile(r"\[[A-Z]+_[0-9]+\]")


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text in which placeholders such as `[EMAIL_1]` stand for what was found; `found` has the originals by placeholder."""

    text: str
    found: Mapping[str, str]


def redact(text: str, kinds: Iterable[str]) -> Redacted:
    """Mask the kinds given (email, phone, card, iban) in a time linear in the text's length.

    The same value gets the same placeholder, and no placeholder is one that the text already holds.
    """
    mask = _Mask(kinds, text)
    return Redacted(mask(text), mask.found)


def restore(fields: Fields, found: Mapping[str, str]) -> dict[str, Any]:
    """The answer with the originals where its strings, at any depth, hold their placeholders."""

    def original(text: str) -> str:
        spans = _matches(_PLACEHOLDER, text)
        return _replaced(text, ((start, end, found.get(text[start:end], text[start:end])) for start, end in spans))

    return _each_string(fields, original)


class Redacting:
    """A `core.Model` that asks another one about the redacted case and restores its answer."""

    def __init__(self, model: Model, kinds: Iterable[str]) -> None:
        """`model` never sees what the patterns of `kinds` find in the text, the context, the caller's name or objections."""
        self._model = model
        self._kinds = frozenset(kinds)

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        """What the model answers."""
        mask = _Mask(self._kinds, repr((case, objections)))
        context = _each_string(case.context, mask)
        redacted = replace(case, text=mask(case.text), context=context, asked_by=mask(case.asked_by))
        told = tuple(Problem(problem.check, mask(problem.message)) for problem in objections)
        answer = await self._model.answer(redacted, told)
        return replace(answer, fields=restore(answer.fields, mask.found))

    async def close(self) -> None:
        """Close the model."""
        await self._model.close()


class _Mask:
    """Redacts texts that go together: one numbering, which leaves out the placeholders that `written` already holds."""

    def __init__(self, kinds: Iterable[str], written: str) -> None:
        self.found: dict[str, str] = {}
        self._kinds = frozenset(kinds)
        self._written = {written[start:end] for start, end in _matches(_PLACEHOLDER, written)}
        self._numbers = {kind: count(1) for kind in self._kinds}
        self._names: dict[tuple[str, str], str] = {}

    def __call__(self, text: str) -> str:
        for finders in _ROUNDS:
            spans = ((span, kind) for kind in finders if kind in self._kinds for span in finders[kind](text))
            text = _replaced(text, [(*span, self._placeholder(kind, text[slice(*span)])) for span, kind in _merged(spans)])
        return text

    def _placeholder(self, kind: str, original: str) -> str:
        if (kind, original) not in self._names:
            names = (f"[{kind.upper()}_{number}]" for number in self._numbers[kind])
            name = next(name for name in names if name not in self._written)
            self._names[kind, original] = name
            self.found[name] = original
        return self._names[kind, original]


def _matches(pattern: re2.Pattern, text: str) -> Iterator[Span]:
    return ((match.start(), match.end()) for match in pattern.finditer(text))


def _emails(text: str) -> Iterator[Span]:
    return _matches(_EMAIL, text)


def _cards(text: str) -> Iterator[Span]:
    """Every stretch of whole groups of digits that has a card's length and check digit: other numbers may stand beside it."""
    for begin, end in _matches(_CARD, text):
        run = text[begin:end]
        groups = [*_matches(_DIGITS, run)]
        edges = [*accumulate((stop - start for start, stop in groups), initial=0)]  # of the groups, counted in digits
        sums = _luhn_sums([int(character) for character in run if character.isdecimal()])
        for first, low in enumerate(edges[:-1]):
            longest = bisect_right(edges, low + _CARD_LENGTHS[-1])
            for last in range(bisect_left(edges, low + _CARD_LENGTHS[0]), longest):
                high = edges[last]
                if (sums[high % 2][high] - sums[high % 2][low]) % 10 == 0:
                    yield begin + groups[first][0], begin + groups[last - 1][1]


def _luhn_sums(digits: list[int]) -> list[list[int]]:
    """Running sums (ISO/IEC 7812-1, annex B) for stretches that end at an even and at an odd position."""
    pairs = [(digit, sum(divmod(2 * digit, 10))) for digit in digits]
    return [[*accumulate((pair[(at + shift) % 2] for at, pair in enumerate(pairs)), initial=0)] for shift in (1, 0)]


def _ibans(text: str) -> Iterator[Span]:
    """Every stretch up to the end of a word or number that has an IBAN's length and check digits (ISO 13616)."""
    for start, _ in _matches(_IBAN_HEAD, text):
        ahead = text[start : start + 3 * _IBAN_LENGTHS.stop]
        for _, end in _matches(_IBAN, ahead):
            yield from ((start, start + stop) for stop in _iban_ends(ahead[:end]))


def _iban_ends(run: str) -> Iterator[int]:
    check = int(f"{_VALUES[run[0]]}{_VALUES[run[1]]}{run[2:4]}")
    remainder, length, digits = 0, 4, 2
    for end, character in enumerate(run[4:], 5):
        value = _VALUES.get(character)
        if value is None:  # a gap
            continue
        remainder = (remainder * (10 if value < 10 else 100) + value) % 97
        length, digits = length + 1, digits + (value < 10)
        # An account is mostly digits; an order number and the words after it are not.
        if length in _IBAN_LENGTHS and 2 * digits >= length and (remainder * 10**6 + check) % 97 == 1 and _ends(run, end):
            yield end


def _ends(run: str, end: int) -> bool:
    """Whether a word or a number ends here."""
    last, after = run[end - 1], run[end : end + 1]
    return last.isdigit() != after.isdigit() or last.isalpha() != after.isalpha()


def _phones(text: str) -> Iterator[Span]:
    for match in _PHONE.finditer(text):
        start, number = match.start(), text[match.start(1) : match.end(1)]
        if text[max(start - 1, 0) : start].isalpha() and not number.startswith("+"):  # the end of an order number
            continue
        if sum(map(str.isdecimal, number)) in _PHONE_LENGTHS and _DIALLED.fullmatch(number) and not _DATED.search(number):
            yield start, match.end()


# Proven kinds first: only digits that they leave over may be a telephone number.
_ROUNDS: tuple[Mapping[str, Finder], ...] = ({"email": _emails, "iban": _ibans, "card": _cards}, {"phone": _phones})
KINDS = tuple(kind for finders in _ROUNDS for kind in finders)


def _merged(spans: Iterable[tuple[Span, str]]) -> list[tuple[Span, str]]:
    """Overlapping spans as one, named after the first to begin, or the longest of those."""
    merged: list[tuple[Span, str]] = []
    for (start, end), kind in sorted(spans, key=lambda found: (found[0][0], -found[0][1])):
        if merged and start < merged[-1][0][1]:
            (first, last), kind = merged.pop()
            start, end = first, max(last, end)
        merged.append(((start, end), kind))
    return merged


def _replaced(text: str, replacements: Iterable[tuple[int, int, str]]) -> str:
    pieces: list[str] = []
    position = 0
    for start, end, replacement in replacements:
        pieces += [text[position:start], replacement]
        position = end
    return "".join([*pieces, text[position:]])


def _each_string(value: Any, change: Callable[[str], str]) -> Any:
    """The JSON value with every string changed, keys too, and every number that reads as something to change."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {_each_string(key, change): _each_string(item, change) for key, item in items}
    if isinstance(value, list | tuple):
        return [_each_string(item, change) for item in cast("list[Any]", value)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if change(str(value)) == str(value) else change(str(value))
    return value
