"""Turns numbers into charts, and blocks of text, tables and charts into a page: self-contained HTML, and the same in Markdown.

A chart is a `Figure`, one block among others: SVG drawn for wide and for narrow pages, and the table of its numbers. Equal
input gives equal bytes. Nothing here runs in a browser but one inline style, and every text is data, never markup. It knows
nothing about the rest of Rung.
"""

from rung.charts.bars import Bar, Stack, bars, stacks
from rung.charts.blocks import (
    Block,
    Bullets,
    Callout,
    Code,
    Details,
    Drawing,
    Fact,
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
from rung.charts.columns import Column, columns
from rung.charts.document import POLICY, render_fragment, render_html
from rung.charts.lines import Series, lines
from rung.charts.markdown import render_markdown
from rung.charts.references import Reference
from rung.charts.reliability import Bin, reliability
from rung.charts.scales import Axis
from rung.charts.scatter import Point, scatter
from rung.charts.units import Interval, Unit, spell, spell_with

__all__ = [
    "POLICY",
    "Axis",
    "Bar",
    "Bin",
    "Block",
    "Bullets",
    "Callout",
    "Code",
    "Column",
    "Details",
    "Drawing",
    "Fact",
    "Facts",
    "Figure",
    "Heading",
    "Interval",
    "Link",
    "Mono",
    "Paragraph",
    "Point",
    "Prose",
    "Reference",
    "Series",
    "Stack",
    "Strong",
    "Table",
    "Unit",
    "bars",
    "columns",
    "lines",
    "reliability",
    "render_fragment",
    "render_html",
    "render_markdown",
    "scatter",
    "spell",
    "spell_with",
    "stacks",
]
