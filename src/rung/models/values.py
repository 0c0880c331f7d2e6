"""Turns a piece of text into the value that a scalar JSON Schema asks for, and finds values in texts. It knows no models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import re2

from rung.core import same
from rung.models.dates import Dates, Span, day_first
from rung.models.numbers import Numbers, parse_number
from rung.workload.patterns import EMAIL, compile_pattern, types_of

__all__ = ["Span", "Values", "day_first", "open_values", "parse_number"]


class Values(Protocol):
    """The values of one scalar JSON Schema, in texts."""

    def read(self, span: str, day_first: bool = True) -> Any | None:
        """The value that a piece of text means, or None if it is no such value. `day_first`: whether 03/11 is in November."""

    def mentions(self, text: str, day_first: bool = True) -> Sequence[tuple[Span, Any]] | None:
        """Every value in the text and where it stands; None for values that any text may be."""
        ...

    def find(self, text: str, value: Any) -> list[Span]:
        """Character spans [start, end) of every mention of the value in the text, in order; [] where there is none."""
        ...


def open_values(schema: Mapping[str, Any]) -> Values:
    """What reads and finds the values of a schema's `enum` (with `synonyms`), `format: date`, number type, `format: email` or
    `pattern`, or else any text. Raises ValueError where a pattern is broken or one synonym names two values."""
    types = types_of(schema)
    if "enum" in schema:
        return _Choices.of(schema["enum"], schema.get("synonyms", {}))
    if schema.get("format") == "date":
        return Dates()
    if types & {"number", "integer"}:
        return Numbers(whole="number" not in types)
    shape = compile_pattern(f"^(?:{schema['pattern']})$") if "pattern" in schema else None
    return _Emails(shape) if schema.get("format") == "email" else _Strings(shape)


@dataclass(frozen=True, slots=True)
class _Choices:
    meanings: Mapping[str, Any]  # every way to write a value, folded -> the value
    written: re.Pattern[str]

    @classmethod
    def of(cls, values: list[Any], synonyms: Mapping[str, list[str]]) -> _Choices:
        meanings: dict[str, Any] = {}
        for value in values:
            name = value if isinstance(value, str) else str(value).lower()  # True is `true` in JSON
            for word in (name, *synonyms.get(name, ())) if value is not None else ():
                if not same(meanings.setdefault(_folded(word), value), value):
                    raise ValueError(f"{word!r} stands for two values: {meanings[_folded(word)]!r} and {value!r}")
        longest_first = sorted(filter(None, meanings), key=len, reverse=True)
        return cls(
            meanings, re.compile("|".join(_between(word.split(), r"\s+") for word in longest_first) or r"(?!)", re.IGNORECASE)
        )

    def read(self, span: str, day_first: bool = True) -> Any | None:
        meant = [value for _, value in self.mentions(span)]
        return meant[0] if meant and all(same(value, meant[0]) for value in meant) else None

    def find(self, text: str, value: Any) -> list[Span]:
        return [span for span, meant in self.mentions(text) if same(meant, value)]

    def mentions(self, text: str, day_first: bool = True) -> list[tuple[Span, Any]]:
        return list(self._matches(text))

    def _matches(self, text: str) -> Iterator[tuple[Span, Any]]:
        for match in self.written.finditer(text):
            if (word := _folded(match.group())) in self.meanings:
                yield match.span(), self.meanings[word]


def _folded(text: str) -> str:
    return " ".join(text.split()).lower()


def _between(parts: Sequence[str], gap: str) -> str:
    """A pattern for parts with gaps between them, as a word of its own: `EUR` is in `12EUR` and not in `EURO`, 8 not in 8,50."""
    first, last = parts[0][0], parts[-1][-1]
    before = r"(?<![^\W\d_])" if first.isalpha() else r"(?<![^\W_])(?<!\d[.,:/])" if first.isalnum() else ""
    after = r"(?![^\W\d_])" if last.isalpha() else r"(?![^\W_]|[.,:/]\d)" if last.isalnum() else ""
    return before + gap.join(map(re.escape, parts)) + after


_EMAIL = compile_pattern(EMAIL)
_AROUND = " \t\r\n\u00a0:;,|\u00a6\u00b7\u2022*_=~<>`"
_SEPARATING = r"[\s\-./#]"  # in identifiers
_DOTS = r"[.\u2026\u2013\u2014\-]"
_LEADER = re.compile(rf"\A(?:{_DOTS}*(?:\.\.|\u2026){_DOTS}*|{_DOTS}+(?=\s|\Z))")  # from column to column, or before an item
_INCHES = re.compile(r"[0-9]\"\Z")
_PAIRS = ("()", "[]", "{}", '""', "\u201c\u201d", "\u201e\u201c", "\u00ab\u00bb", "\u00bb\u00ab")


@dataclass(frozen=True, slots=True)
class _Emails:
    shape: re2.Pattern | None

    def read(self, span: str, day_first: bool = True) -> str | None:
        found = {address for _, address in self.mentions(span)}
        return found.pop() if len(found) == 1 else None

    def find(self, text: str, value: Any) -> list[Span]:
        return [span for span, address in self.mentions(text) if address == value]

    def mentions(self, text: str, day_first: bool = True) -> list[tuple[Span, Any]]:
        return list(self._matches(text))

    def _matches(self, text: str) -> Iterator[tuple[Span, str]]:
        for match in _EMAIL.finditer(text.encode("utf-8", "replace").decode()):
            address = text[match.start() : match.end()].lower()
            if self.shape is None or self.shape.fullmatch(address):
                yield (match.start(), match.end()), address


@dataclass(frozen=True, slots=True)
class _Strings:
    shape: re2.Pattern | None

    def mentions(self, text: str, day_first: bool = True) -> None:
        return None

    def read(self, span: str, day_first: bool = True) -> str | None:
        span = span.encode("utf-8", "replace").decode()  # RE2 reads UTF-8, which has no half of a surrogate pair
        bare = _bare(span)
        if self.shape is None:
            return bare or None
        squeezed = re.sub(_SEPARATING, "", bare).upper()  # people write LF 204-981 for LF204981
        return next((text for text in (span, bare, squeezed) if self.shape.fullmatch(text)), None)

    def find(self, text: str, value: Any) -> list[Span]:
        """As it stands, or else in other case or spacing, or else within words: OCR loses spaces."""
        if not isinstance(value, str) or not value.strip():
            return []
        if self.shape:
            letters = re.sub(_SEPARATING, "", value) or value
            spans = [match.span() for match in re.finditer("#?" + _between(letters, rf"{_SEPARATING}*"), text, re.IGNORECASE)]
            return [span for span in spans if self.read(text[slice(*span)]) == value]
        letters = "".join(value.split())
        within = r"\s+".join(map(re.escape, value.split())) if len(letters) > 3 else r"(?!)"
        for pattern in (_between(value.split(), r"\s+"), "(?i:" + _between(letters, r"\s*") + ")", within):
            if spans := [match.span() for match in re.finditer(pattern, text)]:
                return spans
        return []


def _bare(text: str) -> str:
    """A text on one line, without the punctuation around it that is no part of it."""
    bare = " ".join(text.split())
    for _ in range(8):  # as many layers as anyone has: a hostile text must not take long
        bare = _LEADER.sub("", bare.strip(_AROUND))
        bare = _LEADER.sub("", bare[::-1])[::-1]
        bare = bare[:-1] if bare[-1:] == "." and bare[-2:-1].isdigit() else bare
        for opening, closing in _PAIRS:
            if bare.startswith(opening) and bare.find(closing, 1) in (-1, len(bare) - 1):
                bare = bare[1:].removesuffix(closing)
            elif bare.endswith(closing) and opening not in bare[:-1] and not _INCHES.search(bare):
                bare = bare[:-1]
    return bare
