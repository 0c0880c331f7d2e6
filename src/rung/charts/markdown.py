"""Turns blocks into Markdown (GitHub's) that reads well as it stands and in which nobody's text is markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import count

from rung.charts.blocks import (
    Block,
    Bullets,
    Callout,
    Code,
    Details,
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
from rung.charts.markup import clean, escape

INLINE = re.compile(r"[\\`*~\[\]|]|(?<![^\W_])_|_(?![^\W_])|<(?=[A-Za-z/!?])|&(?=#?\w+;)")
LEADING = re.compile(r"(?:>|[-+](?=[\s-]|$)|#{1,6}(?=\s|$)|\d{1,9}[.)](?=\s|$))")
SIGNS = {"good": "✓ ", "bad": "✗ ", "neutral": ""}


def render_markdown(title: str, blocks: Sequence[Block]) -> str:
    """The whole document. A figure becomes its title, its caption and, folded, the numbers behind it."""
    return f"# {_escaped(title)}\n\n{_blocks(blocks, count(1))}\n"


def _blocks(blocks: Sequence[Block], numbers: Iterator[int]) -> str:
    return "\n\n".join(_block(block, numbers) for block in blocks)


def _block(block: Block, numbers: Iterator[int]) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_escaped(text)}"
        case Paragraph(text):
            return _line(text)
        case Bullets(items):
            return "\n".join(f"- {_line(item)}" for item in items)
        case Code(text):
            fence = "`" * max(3, _longest(text) + 1)
            return f"{fence}\n{clean(text)}\n{fence}"
        case Facts(facts):
            rows = [(fact.label, (Strong(fact.value),), fact.note) for fact in facts]
            return _table(Table(("", "", ""), rows, "lrl"))
        case Table():
            return _table(block)
        case Callout(kind, verdict, reason):
            return f"> **{SIGNS[kind]}{_escaped(verdict)}**" + (f"\n>\n> {_line(reason)}" if reason else "")
        case Details(summary, inner):
            return _folded(summary, _blocks(inner, numbers))
        case Figure(title, caption):
            told = f"**Figure {next(numbers)}. {_escaped(title)}** {_escaped(caption)}".rstrip()
            return f"{told}\n\n{_folded('Data', _table(block.data))}"


def _folded(summary: str, content: str) -> str:
    return f"<details>\n<summary>{escape(' '.join(summary.split()))}</summary>\n\n{content}\n\n</details>"


def _table(table: Table) -> str:
    rules = [" ---: " if letter == "r" else " --- " for letter in table.columns]
    lines = [
        [f" {_escaped(word)} " for word in table.header],
        rules,
        *([f" {_runs(cell, cell=True)} " for cell in row] for row in table.rows),
    ]
    return "\n".join(f"|{'|'.join(line)}|" for line in lines)


def _line(prose: Prose) -> str:
    """One line whose beginning starts neither a heading nor a list nor a quotation."""
    line = _runs(prose)
    found = LEADING.match(line)
    return f"{found[0][:-1]}\\{found[0][-1]}{line[found.end() :]}" if found else line


def _runs(prose: Prose, cell: bool = False) -> str:
    runs = (prose,) if isinstance(prose, str) else prose
    return "".join(_run(run).replace("|", "\\|") if cell and isinstance(run, Mono) else _run(run) for run in runs).strip()


def _run(run: str | Strong | Mono | Link) -> str:
    match run:
        case Strong(text):
            return f"**{_escaped(text)}**" if text.strip() else ""
        case Mono(text):
            return _mono(" ".join(clean(text).split()))
        case Link(text, to):
            return f"[{_escaped(text)}]({re.sub(r'[<>()|`]', lambda found: f'%{ord(found[0]):02X}', to)})"
        case str():
            ends = " " * run[:1].isspace(), " " * run[-1:].isspace()
            return f"{ends[0]}{_escaped(run)}{ends[1]}"


def _mono(text: str) -> str:
    ticks = "`" * (_longest(text) + 1)
    pad = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return f"{ticks}{pad}{text}{pad}{ticks}" if text else ""


def _escaped(text: str) -> str:
    return INLINE.sub(r"\\\g<0>", " ".join(clean(text).split()))


def _longest(text: str) -> int:
    """How many backticks stand in a row at most."""
    return max(map(len, re.findall("`+", text)), default=0)
