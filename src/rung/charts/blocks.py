"""What a page is made of: blocks written once, which come out both as HTML and as Markdown. Knows nothing about either.

Text is plain, whatever it holds; what is to be strong, fixed in width or a link is said with a run of its own:
`Paragraph(("Release ", Strong("specialist"), ": it keeps the promise."))`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SAFE = re.compile(r"#[^\s]*|https?://[^\s]+|(?![/\\])[\w.\-/%]+(?:#[^\s]*)?")


@dataclass(frozen=True, slots=True)
class Strong:
    """Words that matter more than those around them; so that Markdown sees it, set a space or a stop on either side."""

    text: str


@dataclass(frozen=True, slots=True)
class Mono:
    """A name or a command, set with fixed width."""

    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """Words that lead elsewhere: to http(s), a neighbouring file or a heading of this page. Raises ValueError for others."""

    text: str
    to: str

    def __post_init__(self) -> None:
        """Refuse an address that could run something, such as `javascript:`."""
        if not SAFE.fullmatch(self.to):
            raise ValueError(f"{self.to!r} is neither http(s), nor a relative path, nor a heading of the page")


Prose = str | Sequence[str | Strong | Mono | Link]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading under the page's title, which is level 1. Links reach it as GitHub's do: `#what-is-traded-away`."""

    text: str
    level: Literal[2, 3, 4] = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text. The first block of a page, if it is one, is set as its lead."""

    text: Prose


@dataclass(frozen=True, slots=True)
class Bullets:
    """Points of which none follows from another."""

    items: Sequence[Prose]


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to be read or copied exactly."""

    text: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One number that a reader takes away, and in `note` its n and interval."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """A few numbers to be seen at a glance."""

    facts: Sequence[Fact]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a header. `align` has a letter for each column, l or r; left out, the first is l and the others are r."""

    header: Sequence[str]
    rows: Sequence[Sequence[Prose]]
    align: str = ""

    def __post_init__(self) -> None:
        """Refuse rows of another length: a number under the wrong word is worse than none."""
        if any(len(row) != len(self.header) for row in self.rows) or len(self.columns) != len(self.header):
            raise ValueError(f"a row or the alignment has not the {len(self.header)} columns of the header")

    @property
    def columns(self) -> str:
        """The alignment of each column."""
        return self.align or "l" + "r" * (len(self.header) - 1)


@dataclass(frozen=True, slots=True)
class Callout:
    """A verdict, said in its title, and the sentence that gives its reason."""

    kind: Literal["good", "bad", "neutral"]
    title: str
    text: Prose = ""


@dataclass(frozen=True, slots=True)
class Details:
    """Blocks for those who want to know; shut until opened, and open in print."""

    summary: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What stands inside an SVG element of this size, in CSS pixels."""

    width: float
    height: float
    marks: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with the numbers behind it: drawn for a page, and again for a telephone, where shrunken letters are illegible."""

    title: str
    caption: str
    wide: Drawing
    narrow: Drawing
    data: Table


Block = Heading | Paragraph | Bullets | Code | Facts | Table | Callout | Details | Figure
