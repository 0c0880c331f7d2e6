"""Turns blocks into one HTML page that needs nothing else: no script, no request, one style that its policy names by hash."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files

from rung.charts.blocks import (
    Block,
    Bullets,
    Callout,
    Code,
    Details,
    Drawing,
    Facts,
    Figure,
    Heading,
    Link,
    Mono,
    Paragraph,
    Prose,
    Strong,
    Table,
)
from rung.charts.markup import clean, element, escape, rounded

STYLE = files("rung.charts").joinpath("page.css").read_text("utf-8")
POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "img-src data:; base-uri 'none'; form-action 'none'"
)
"""What a page may do, as a Content-Security-Policy. Each page carries it; a server may send it too."""

TIED = re.compile(r"(?<=\d) (?=(?:%|[nµm]?s|min|h|k|M|bn)(?!\w))|(?<=\bn) (?== \d)|(?<=\bn =) (?=\d)")  # what no line may part
ICONS = {"good": "M4.5 8.3l2.4 2.4 4.6-5", "bad": "M5.3 5.3l5.4 5.4M10.7 5.3l-5.4 5.4", "neutral": "M8 7.4v4M8 4.6v.1"}


def render_html(title: str, blocks: Sequence[Block]) -> str:
    """The whole page. Equal blocks give equal bytes."""
    head = (
        '<meta charset="utf-8"/>',
        element("meta", None, http_equiv="Content-Security-Policy", content=POLICY),
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
        '<meta name="referrer" content="no-referrer"/>',
        element("title", escape(title)),
        f"<style>{STYLE}</style>",
    )
    main = element("main", "\n".join(("", element("h1", escape(title)), render_fragment(blocks), "")))
    page = element("html", "\n".join(("", "<head>", *head, "</head>", "<body>", main, "</body>", "")), lang="en")
    return f"<!doctype html>\n{page}\n"


def render_fragment(blocks: Sequence[Block], numbered: bool = True) -> str:
    """The blocks alone, for a page that has this style and a frame of its own. Figures are numbered from one; not numbered, on a
    page of several fragments, they are told apart by their titles."""
    return _Renderer(numbered).blocks(blocks)


class _Renderer:
    """One pass over a page: which ids are taken, and how many figures it has had."""

    def __init__(self, numbered: bool) -> None:
        self._ids: set[str] = set()
        self._figures = 0
        self._numbered = numbered

    def blocks(self, blocks: Sequence[Block]) -> str:
        return "\n".join(map(self._block, blocks))

    def _block(self, block: Block) -> str:
        match block:
            case Heading(text, level):
                return element(f"h{level}", escape(text), id=self._id(text))
            case Paragraph(text):
                return element("p", _prose(text))
            case Bullets(items):
                return element("ul", "".join(element("li", _prose(item)) for item in items))
            case Code(text):
                return element("pre", element("code", escape(text)))
            case Facts():
                return _facts(block)
            case Table():
                return _table(block)
            case Callout():
                return _callout(block)
            case Details(summary, inner):
                return element("details", f"{element('summary', escape(summary))}\n{self.blocks(inner)}")
            case Figure():
                return self._figure(block)

    def _figure(self, figure: Figure) -> str:
        self._figures += 1
        name = self._id(f"figure {self._figures if self._numbered else figure.title}")
        number = f"Figure {self._figures}. " if self._numbered else ""
        title = element("strong", number + escape(figure.title), id=name)
        caption = element("figcaption", title + _tied(figure.caption))
        drawings = (_drawing(figure.wide, "wide", name), _drawing(figure.narrow, "narrow", name))
        data = element("details", element("summary", "Data") + _table(figure.data))
        return element("figure", "\n".join((caption, *drawings, data)))

    def _id(self, text: str) -> str:
        """An id that no other element has, made as GitHub makes them of headings."""
        slug = re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", clean(text).strip().lower())) or "section"
        free = next(name for name in (slug, *(f"{slug}-{n}" for n in range(1, len(self._ids) + 2))) if name not in self._ids)
        self._ids.add(free)
        return free


def _prose(prose: Prose) -> str:
    return "".join(map(_run, (prose,) if isinstance(prose, str) else prose))


def _run(run: str | Strong | Mono | Link) -> str:
    match run:
        case str():
            return _tied(run)
        case Strong(text):
            return element("strong", escape(text))
        case Mono(text):
            return element("code", escape(text))
        case Link(text, to):
            return element("a", escape(text), href=to)


def _tied(text: str) -> str:
    """Running text, in which a number stays with its unit on one line."""
    return escape(TIED.sub("\u00a0", text))


def _facts(facts: Facts) -> str:
    told = (
        element("dt", escape(fact.label))
        + element("dd", _tied(fact.value), class_="value")
        + (element("dd", _tied(fact.note), class_="note") if fact.note else "")
        for fact in facts.facts
    )
    return element("dl", "".join(element("div", each) for each in told), class_="facts")


def _table(table: Table) -> str:
    kinds = ["r" if letter == "r" else None for letter in table.columns]
    header = "".join(
        element("th", escape(word), scope="col", class_=kind) if word else element("td", class_=kind)
        for word, kind in zip(table.header, kinds, strict=True)
    )
    rows = (
        "".join(
            element("td" if column else "th", _prose(cell), scope=None if column else "row", class_=kind)
            for column, (cell, kind) in enumerate(zip(row, kinds, strict=True))
        )
        for row in table.rows
    )
    body = "\n".join(element("tr", row) for row in rows)
    inside = element("table", f"<thead>{element('tr', header)}</thead>\n<tbody>\n{body}\n</tbody>")
    return element("div", inside, class_="scroll", tabindex="0")  # so that the arrow keys can scroll it


def _callout(callout: Callout) -> str:
    sign = element("circle", None, cx=8, cy=8, r=8, class_="fill") + element("path", None, d=ICONS[callout.kind])
    icon = element("svg", sign, viewBox="0 0 16 16", aria_hidden="true")
    verdict = element("p", icon + element("span", _tied(callout.title)), class_="verdict")
    reason = element("p", _prose(callout.text)) if callout.text else ""
    return element("div", verdict + reason, class_=f"callout {callout.kind}")


def _drawing(drawing: Drawing, kind: str, name: str) -> str:
    size = f"0 0 {rounded(drawing.width)} {rounded(drawing.height)}"
    return element("svg", drawing.marks, class_=kind, viewBox=size, width=drawing.width, role="img", aria_labelledby=name)
