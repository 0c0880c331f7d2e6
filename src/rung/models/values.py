"""Turns a piece of text into the value that a scalar JSON Schema asks for, and finds values in texts. It knows no models."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from math import isfinite
from typing import Any, Protocol, cast

import re2
from text_to_num import text2num as untyped_text2num  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from rung.core import same
from rung.workload.patterns import EMAIL, compile_pattern

text2num = cast(Callable[[str, str], int], untyped_text2num)
Span = tuple[int, int]


class Values(Protocol):
    """The values of one scalar JSON Schema, in texts."""

    def read(self, span: str, day_first: bool = True) -> Any | None:
        """The value that a piece of text means, or None if it is no such value. `day_first`: whether 03/11 is in November."""

    def find(self, text: str, value: Any) -> list[Span]:
        """Character spans [start, end) of every mention of the value in the text, in order; [] where there is none."""
        ...


def open_values(schema: Mapping[str, Any]) -> Values:
    """What reads and finds the values of a schema's `enum` (with `synonyms`), `format: date`, number type, `format: email` or
    `pattern`, or else any text. Raises ValueError where a pattern is broken or one synonym names two values."""
    kinds = schema.get("type", "string")
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if "enum" in schema:
        return _Choices.of(schema["enum"], schema.get("synonyms", {}))
    if schema.get("format") == "date":
        return _Dates()
    if kinds & {"number", "integer"}:
        return _Numbers(whole="number" not in kinds)
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
        meant = [value for _, value in self._mentions(span)]
        return meant[0] if meant and all(same(value, meant[0]) for value in meant) else None

    def find(self, text: str, value: Any) -> list[Span]:
        return [span for span, meant in self._mentions(text) if same(meant, value)]

    def _mentions(self, text: str) -> Iterator[tuple[Span, Any]]:
        for match in self.written.finditer(text):
            if (word := _folded(match.group())) in self.meanings:
                yield match.span(), self.meanings[word]


def _folded(text: str) -> str:
    return " ".join(text.split()).lower()


def _between(parts: Sequence[str], gap: str) -> str:
    """A pattern for parts with gaps between them, as a word of its own: `EUR` is in `12EUR` and not in `EURO`, 8 not in 8,50."""
    first, last = parts[0][0], parts[-1][-1]
    before = r"(?<![^\W\d_])" if first.isalpha() else r"(?<!\w)(?<!\d[.,:/])" if first.isalnum() else ""
    after = r"(?![^\W\d_])" if last.isalpha() else r"(?!\w|[.,:/]\d)" if last.isalnum() else ""
    return before + gap.join(map(re.escape, parts)) + after


# January to December in English, German, French, Spanish, Italian, Dutch, Portuguese, Catalan, Polish, Czech, Swedish, Danish,
# Norwegian, Finnish, Hungarian and Romanian, without accents. Three letters of a name will do where they are enough.
_MONTH_NAMES = (
    "january januar janner janvier enero gennaio januari janeiro gener stycznia styczen leden ledna tammikuu ianuarie",
    "february februar feber fevrier febrero febbraio februari fevereiro febrer luty lutego unor unora helmikuu februarie",
    "march marz mrz mars marzo maart mrt marco marc marzec marca brezen brezna marts maaliskuu marcius martie",
    "april avril abril aprile kwiecien kwietnia duben dubna huhtikuu aprilis aprilie",
    "may mai mayo maggio mei maio maig maj maja kveten kvetna toukokuu majus",
    "june juni juin junio giugno junho juny czerwiec czerwca cerven cervna kesakuu junius iunie",
    "july juli juillet julio luglio julho juliol lipiec lipca cervenec cervence heinakuu julius iulie",
    "august aout agosto augustus agost sierpien sierpnia srpen srpna augusti elokuu augusztus",
    "september septembre septiembre setiembre settembre setembro setembre wrzesien wrzesnia zari syyskuu szeptember septembrie",
    "october oktober octobre octubre ottobre outubro pazdziernik pazdziernika rijen rijna lokakuu octombrie",
    "november novembre noviembre novembro listopad listopada listopadu marraskuu noiembrie",
    "december dezember decembre diciembre dicembre dezembro desembre grudzien grudnia prosinec prosince desember joulukuu",
)
_GAP = r"[\s.,/\-]{0,4}"
_OF = r"(?:(?:of|de|del|di|do|den|d['\u2019])\b\s{0,2})?"
_NAME = r"[^\W\d_]{3,12}"
_NTH = r"(?:st|nd|rd|th|er|[eao\u00ba\u00aa\u00b0])?"
_DATE = re.compile(
    rf"""(?<!\d)(?<!\d[./])(?<![^\W\d]-)(?=(?P<whole>(?:  # ahead: what looks like a date must not hide one that begins in it
      (?<!\d-)(?P<y1>\d{{4}})(?:[ ]?[./\-][ ]?(?P<m1>\d{{1,2}})[ ]?[./\-][ ]?(?P<d1>\d{{1,2}})(?!-\d)
                              |(?P<m2>\d\d)(?P<d2>\d\d))
    | (?P<a>\d{{1,2}})(?:[ ]{{0,2}}(?P<sep>[./\-])[ ]{{0,2}}(?P<b>\d{{1,2}})[ ]{{0,2}}
            (?:[./\-][ ]{{0,2}}['\u2019]?(?P<c>\d{{4}}|\d\d)|[ '\u2019](?P<c1>\d{{4}}))(?!(?P=sep)\d)
                         |(?<=\d\d)[ ](?P<b1>\d\d)[ ](?P<c2>\d{{4}}))
    | (?P<d3>\d{{1,2}}){_NTH}{_GAP}{_OF}(?P<n3>{_NAME}){_GAP}{_OF}['\u2019]?(?P<y3>\d{{4}}|\d\d(?![^\W_]))
    | (?P<y4>\d{{4}}){_GAP}(?P<n4>{_NAME}){_GAP}(?P<d4>\d{{1,2}})
    | (?<![^\W_])(?P<n5>{_NAME}){_GAP}(?P<d5>\d{{1,2}}){_NTH}(?:{_GAP}(?P<y5>\d{{4}})|[,.\s\-]{{0,2}}['\u2019,\-][ ]?(?P<y6>\d\d))
    )(?!\d|[.,:/]\d)))""",
    re.VERBOSE | re.IGNORECASE,
)
_LEAD = re.compile(r"[\s|(:,.]{0,8}(?:[^\W\d_]{1,14}[.,:]{0,2}\s{1,4}){0,3}")
_TIME = re.compile(
    r"(?:[,;]?\s{0,4}(?:T|um|at|@|\u00e0|kl\.?|alle|ore|om|-)?\s{0,4}[0-9]{1,2}[:.h][0-9]{2}(?:[:.][0-9]{2}(?:[.,][0-9]{1,9})?)?"
    r"\s{0,2}(?:[ap]\.?m\.?|uhr|h|hrs|z|[+\-][0-9]{2}:?[0-9]{2})?)?\s{0,2}\(?[^\W\d_]{0,4}[\s.,;:|)]{0,8}",
    re.IGNORECASE,
)
_LONGEST = 160  # characters that a date or a number with what is said around it may have


@dataclass(frozen=True, slots=True)
class _Dates:
    def read(self, span: str, day_first: bool = True) -> str | None:
        for match in _DATE.finditer(span) if len(span) <= _LONGEST else ():
            day = _dated(match, day_first)
            if day and _LEAD.fullmatch(span, 0, match.start()) and _TIME.fullmatch(span, match.end("whole")):
                return day
        return None

    def find(self, text: str, value: Any) -> list[Span]:
        return [(start, end) for start, end, readings in _dates_in(text) for day in readings if day == value]


def day_first(text: str) -> bool | None:
    """What the text's unambiguous numeric dates say about the others: day before month, month before day, or nothing."""
    votes = 0
    for match in _DATE.finditer(text):
        if match["a"] and _dated(match, True):
            votes += (int(match["a"]) > 12) - (int(match["b"] or match["b1"]) > 12)
    return votes > 0 if votes else None


@lru_cache(maxsize=4)
def _dates_in(text: str) -> tuple[tuple[int, int, frozenset[str]], ...]:
    """What looks like a date in a text: start, end, and what it may mean."""
    orders = [(match.span("whole"), {_dated(match, True), _dated(match, False)} - {None}) for match in _DATE.finditer(text)]
    return tuple((*span, frozenset(filter(None, days))) for span, days in orders if days)


def _dated(match: re.Match[str], day_first: bool) -> str | None:
    """The ISO date that a match means, or None where there is no such day."""
    part = {name[0]: text for name, text in match.groupdict().items() if text}
    year = int(part["y"] if "y" in part else part["c"])
    year += 0 if year > 99 else 2000 if year < 70 else 1900
    if "a" in part:
        one, other = int(part["a"]), int(part["b"])
        days = [(one, other), (other, one)] if day_first or part.get("s") == "." else [(other, one), (one, other)]
    else:
        days = [(int(part["d"]), _month(part["n"]) if "n" in part else int(part["m"]))]
    for day, month in days:
        with suppress(ValueError):  # no such day
            return date(year, month, day).isoformat()
    return None


@lru_cache(maxsize=4096)
def _month(name: str) -> int:
    """The number of a month from its name or an abbreviation, 0 where there is none such or more than one."""
    plain = "".join(filter(str.isalpha, unicodedata.normalize("NFKD", name.casefold().removesuffix("ta"))))  # kesakuuta
    names = [(name, month) for month, names in enumerate(_MONTH_NAMES, 1) for name in names.split()]
    whole = {month for name, month in names if name == plain}  # cerven is June, cervenec July
    months = whole or {month for name, month in names if name.startswith(plain) and not name.endswith(("kuu", "leden", "ledna"))}
    return months.pop() if len(months) == 1 else 0


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
class _Numbers:
    whole: bool

    def read(self, span: str, day_first: bool = True) -> float | None:
        value = parse_number(span)
        return int(value) if value is not None and value.is_integer() else None if self.whole else value

    def find(self, text: str, value: Any) -> list[Span]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return []
        found = [(span, piece) for span, number, piece in _numbers_in(text) if number == value]
        whole = [span for span, piece in found if not piece] or [span for span, _ in found]
        return whole or [span for span, number in _spelled_in(text) if number == value]


@lru_cache(maxsize=4)
def _numbers_in(text: str) -> tuple[tuple[Span, float, bool], ...]:
    """The numbers in a text, with their signs: span, value, and whether it is only a piece of a longer one."""
    dates = iter(_dates_in(text))
    first, last = 0, -1  # of the nearest date
    found: list[tuple[Span, float, bool]] = []
    for start, end, piece in _digits_in(text):
        while last <= start and (nearest := next(dates, None)):
            first, last = nearest[:2]
        for mention in _signed(text, start, end) if end <= first or last <= start else ():
            if (value := parse_number(text[slice(*mention)])) is not None:
                found.append((mention, value, piece))
                if re.fullmatch(r"[1-9][0-9]{0,2}[.,][0-9]{3}", text[start:end]):  # 1,624 kg
                    found.append((mention, value / 1000, True))
    return tuple(found)


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


_EMAIL = compile_pattern(EMAIL)
_AROUND = " \t\r\n\u00a0:;,|\u00a6\u00b7\u2022*_=~<>`"
_SEPARATING = r"[\s\-./#]"  # in identifiers
_DOTS = r"[.\u2026\u2013\u2014\-]"
_LEADER = re.compile(rf"\A(?:{_DOTS}*(?:\.\.|\u2026){_DOTS}*|{_DOTS}+(?=\s|\Z))")  # from column to column, or before an item
_PAIRS = ("()", "[]", "{}", '""', "\u201c\u201d", "\u201e\u201c", "\u00ab\u00bb", "\u00bb\u00ab")


@dataclass(frozen=True, slots=True)
class _Emails:
    shape: re2.Pattern | None

    def read(self, span: str, day_first: bool = True) -> str | None:
        found = {address for _, address in self._mentions(span)}
        return found.pop() if len(found) == 1 else None

    def find(self, text: str, value: Any) -> list[Span]:
        return [span for span, address in self._mentions(text) if address == value]

    def _mentions(self, text: str) -> Iterator[tuple[Span, str]]:
        for match in _EMAIL.finditer(text.encode("utf-8", "replace").decode()):
            address = text[match.start() : match.end()].lower()
            if self.shape is None or self.shape.fullmatch(address):
                yield (match.start(), match.end()), address


@dataclass(frozen=True, slots=True)
class _Strings:
    shape: re2.Pattern | None

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
            elif bare.endswith(closing) and opening not in bare[:-1]:
                bare = bare[:-1]
    return bare
