"""Turns dates as people print them, in many languages, into ISO dates. Knows nothing about anything else in a text."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

Span = tuple[int, int]

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
class Dates:
    """Dates as ISO writes them."""

    def read(self, span: str, day_first: bool = True) -> str | None:
        """The date a piece of text means."""
        for match in _DATE.finditer(span) if len(span) <= _LONGEST else ():
            day = _dated(match, day_first)
            if day and _LEAD.fullmatch(span, 0, match.start()) and _TIME.fullmatch(span, match.end("whole")):
                return day
        return None

    def find(self, text: str, value: Any) -> list[Span]:
        """Where the text may mean this date, whichever way its numbers are read."""
        return [span for span, *readings in dates_in(text) if value in readings]

    def mentions(self, text: str, day_first: bool = True) -> list[tuple[Span, Any]]:
        """Every date in the text."""
        return [(span, day if day_first else month) for span, day, month in dates_in(text)]


@lru_cache(maxsize=4)  # every field of a text asks
def day_first(text: str) -> bool | None:
    """What the text's unambiguous numeric dates say about the others: day before month, month before day, or nothing."""
    votes = 0
    for match in _DATE.finditer(text):
        if match["a"] and _dated(match, True):
            votes += (int(match["a"]) > 12) - (int(match["b"] or match["b1"]) > 12)
    return votes > 0 if votes else None


@lru_cache(maxsize=4)
def dates_in(text: str) -> tuple[tuple[Span, str, str], ...]:
    """What looks like a date in a text: where, and what it means day first and month first."""
    read = [(match.span("whole"), _dated(match, True), _dated(match, False)) for match in _DATE.finditer(text)]
    return tuple((span, day, month) for span, day, month in read if day and month)


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
