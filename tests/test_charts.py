"""Numbers become charts that can be checked; blocks become one page, in HTML and in Markdown, that nobody's text breaks."""

from __future__ import annotations

import base64
import hashlib
import html
import math
import random
import re
import subprocess
import sys
from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rung.charts import (
    POLICY,
    Axis,
    Bar,
    Bin,
    Block,
    Bullets,
    Callout,
    Code,
    Column,
    Details,
    Drawing,
    Fact,
    Facts,
    Figure,
    Heading,
    Link,
    Mono,
    Paragraph,
    Point,
    Reference,
    Series,
    Stack,
    Strong,
    Table,
    bars,
    columns,
    lines,
    reliability,
    render_fragment,
    render_html,
    render_markdown,
    scatter,
    spell,
    spell_with,
    stacks,
)

COST, SHARE = Axis("Cost per case", "USD", log=True), Axis("Accuracy", "share")
HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</title></text></svg><svg/onload=alert(1)>",
    "</style><style>*{display:none}",
    "<details open ontoggle=alert(1)>",
    "]]><!--<script>--><a href='javascript:alert(1)'>x</a>",
    "&lt;script&gt;alert(1)&#x3c;/script&#x3e;",
    "[x](javascript:alert(1)) ![x](x:y) <javascript:alert(1)> [x]: javascript:alert(1)",
    "# heading\n---\n- a\n> b\n\n| a | b |\n```\n<b>",
    "`a` ``b`` **c** __d__ ~~e~~ \\<b> \\`<i>`",
    "\x00\x08\x1b[31m\x7f\x85\ud800\udfff\ufffe\uffff\u202e\u2066 bare",
]


def seen(text: str) -> str:
    """What is to be seen of a text: controls have a sign in their place, and runs of white space are one space."""
    return " ".join(re.sub("[\x00-\x08\x1b\x7f\x85\ud800\udfff\ufffe\uffff\u202e\u2066]", "\ufffd", text).split())


def inside(drawing: Drawing) -> ElementTree.Element:
    return ElementTree.fromstring(f"<svg>{drawing.marks}</svg>")


def texts(drawing: Drawing, kind: str) -> list[str]:
    return ["".join(each.itertext()) for each in inside(drawing).iter("text") if each.get("class") == kind]


def hints(figure: Figure) -> list[str]:
    return ["".join(each.itertext()) for each in inside(figure.wide).iter("title")]


def page(blocks: list[Block]) -> ElementTree.Element:
    """The page, which is well-formed XML besides being HTML."""
    return ElementTree.fromstring(render_html("Memo", blocks).removeprefix("<!doctype html>\n"))


def everything(text: str) -> list[Block]:
    """Every block there is, with this text wherever a text can stand."""
    axis = Axis(text, "share")
    return [
        Paragraph((text, " ", Strong(text), " ", Mono(text), " ", Link(text, "#there"))),
        Heading(text),
        Bullets([text, (Strong(text), " ", text)]),
        Code(text),
        Facts([Fact(text, text, text)]),
        Callout("bad", text, text),
        Details(text, [Paragraph(text), Table((text, text), [(text, (Mono(text),))])]),
        scatter(text, [Point(text, 0.1, 0.2, (0.1, 0.3), True, True), Point(text, 0.3, 0.2)], axis, axis, text),
        lines(text, [Series(text, [(0, 0), (1, 1)]), Series(text, [(0, 1)])], axis, axis, [Reference(text, 0.5)], text),
        reliability(text, [Bin(0.5, 1, 0.8, 0.7, (0.6, 0.8), 9)], text),
        bars(text, [Bar(text, 0.5, (0.4, 0.6), 9, True)], axis, [Reference(text, 0.5)], text),
        stacks(text, [text, text], [Stack(text, (0.5, 0.5), 9)], text),
        columns(text, [text, text], [Column(0, 3600, (1, 2))], axis, text),
    ]


SAMPLE = everything("A memo's <text> & more")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_markup_in_html(text: str) -> None:
    harmless, hostile = (page(everything(each)) for each in ("harmless", text))
    assert {each.tag for each in hostile.iter()} == {each.tag for each in harmless.iter()}
    for each in hostile.iter():
        assert each.tag not in ("script", "img", "iframe", "object", "foreignObject", "use", "image")
        assert not any(name.startswith("on") or name in ("style", "src") for name in each.attrib)
        assert each.get("href", "#there") == "#there"
    (body,) = hostile.iter("main")
    told = seen("".join(body.itertext()))
    assert told.count(seen(text)) >= 20


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_markup_in_markdown(text: str) -> None:
    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    harmless, hostile = (renderer.render(render_markdown(each, everything(each))) for each in ("harmless", text))
    shape = re.compile(r"</?\w+[^>]*>")
    without_text = [re.sub(r' href="#there"| class="[^"]*"', "", tag) for tag in shape.findall(hostile)]
    assert without_text == [re.sub(r' href="#there"| class="[^"]*"', "", tag) for tag in shape.findall(harmless)]
    assert seen(html.unescape(shape.sub("", hostile))).count(seen(text)) >= 20


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_any_text_at_all_leaves_the_page_well_formed(text: str) -> None:
    ElementTree.fromstring(render_html(text, everything(text)).encode().removeprefix(b"<!doctype html>\n"))
    render_markdown(text, everything(text)).encode()


@pytest.mark.parametrize(
    "to", ["javascript:alert(1)", "data:text/html,x", "//evil.example", "JAVASCRIPT:x", "\tjavascript:x", "a:b", ""]
)
def test_a_link_that_could_run_something_is_refused(to: str) -> None:
    with pytest.raises(ValueError, match="neither http"):
        Link("x", to)


@pytest.mark.parametrize("to", ["#method", "https://example.org/a?b=c#d", "evaluation.html", "../r/1/report.html#figure-2"])
def test_a_link_leads_to_headings_neighbours_and_the_web(to: str) -> None:
    (link,) = page([Paragraph((Link("x", to),))]).iter("a")
    assert link.get("href") == to


def test_the_page_asks_for_nothing_and_its_policy_allows_only_its_own_style() -> None:
    text = render_html("Memo", SAMPLE)
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in POLICY
    assert f'content="{html.escape(POLICY)}"' in text
    assert not re.search(r"https?:|url\(|@import|<script|<link|\bsrc=|\bstyle=", text)


def test_the_page_says_its_language_title_and_width_and_its_ids_are_its_own() -> None:
    whole = page([Heading("Figure 1"), Heading("Method"), Heading("Method"), *SAMPLE])
    assert whole.get("lang") == "en"
    assert next(each.text for each in whole.iter("title")) == "Memo"
    assert [each.text for each in whole.iter("h1")] == ["Memo"]
    ids = [each.get("id") for each in whole.iter() if each.get("id")]
    assert len(ids) == len(set(ids))
    assert {"method", "method-1"} < set(ids)
    pictures = [each for each in whole.iter("svg") if each.get("role") == "img"]
    assert len(pictures) == 2 * 6
    assert {each.get("aria-labelledby") for each in pictures} < set(ids)


def test_the_same_blocks_say_the_same_in_both_forms() -> None:
    blocks: list[Block] = [
        Paragraph(("Gold ", Mono("3f2a"), ", a table|pipe")),
        Callout("good", "Release it.", "It keeps the promise."),
        Heading("What is traded away"),
        Table(("Model", "Share"), [((Strong("small"),), "94.1 %"), ("a|b", "5 %")]),
        stacks("Who answers", ["small", "people"], [Stack("now", (0.9, 0.1), 3080)], "On the test split."),
        Details("Method", [Code("rung evaluate | jq ```")]),
    ]
    assert render_markdown("Memo", blocks) == (
        "# Memo\n\n"
        "Gold `3f2a`, a table\\|pipe\n\n"
        "> **✓ Release it.**\n>\n> It keeps the promise.\n\n"
        "## What is traded away\n\n"
        "| Model | Share |\n| --- | ---: |\n| **small** | 94.1 % |\n| a\\|b | 5 % |\n\n"
        "**Figure 1. Who answers** On the test split.\n\n"
        "<details>\n<summary>Data</summary>\n\n"
        "|  | small | people | n |\n| --- | ---: | ---: | ---: |\n| now | 90.0 % | 10.0 % | 3,080 |\n\n</details>\n\n"
        "<details>\n<summary>Method</summary>\n\n````\nrung evaluate | jq ```\n````\n\n</details>\n"
    )
    whole = page(blocks)
    cells = [[seen("".join(cell.itertext())) for cell in row] for row in whole.iter("tr")]
    assert cells[:3] == [["Model", "Share"], ["small", "94.1 %"], ["a|b", "5 %"]]
    assert cells[3:] == [["", "small", "people", "n"], ["now", "90.0 %", "10.0 %", "3,080"]]
    assert render_fragment(blocks) in render_html("Memo", blocks)


@pytest.mark.parametrize(
    "text", ["# not a heading", "1. not a list", "- nor this", "+ nor this", "> nor this", "---", "    code"]
)
def test_a_paragraph_stays_a_paragraph_in_markdown(text: str) -> None:
    assert MarkdownIt().render(render_markdown("t", [Paragraph(text)])).count("<p>") == 1


def test_equal_numbers_give_equal_bytes_in_every_process() -> None:
    script = (
        "from rung.charts import *; axis, points = Axis('y', 'share'), [Point(name, 0.1, 0.2) for name in {'a', 'b', 'c'}];"
        "points.sort(key=lambda point: point.name); series = [Series('s', [(n / 7, n / 9) for n in range(5)])];"
        "blocks = [scatter('t', points, axis, axis), lines('t', series, axis, axis, [Reference('r', 0.3)])];"
        "print(render_html('t', blocks), render_markdown('t', blocks))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout != ""
    assert render_html("t", SAMPLE) == render_html("t", everything("A memo's <text> & more"))


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.974, "share", "97.4 %"),
        (0.9973, "share", "99.73 %"),
        (0.99996, "share", "99.996 %"),
        (0.0021, "share", "0.21 %"),
        (1, "share", "100 %"),
        (0, "share", "0 %"),
        (-0.006, "share", "\N{MINUS SIGN}0.60 %"),
        (0.00021, "USD", "$0.00021"),
        (1234.5, "USD", "$1,234"),
        (0, "USD", "$0"),
        (-3, "USD", "\N{MINUS SIGN}$3"),
        (0.0031, "seconds", "3.1 ms"),
        (0.0000042, "seconds", "4.2 µs"),
        (1.9, "seconds", "1.9 s"),
        (600, "seconds", "10 min"),
        (12400, "count", "12,400"),
        (0.01234567, "number", "0.01235"),
        (1773273600, "time", "2026-03-12"),
        (1773275400, "time", "2026-03-12 00:30"),
    ],
)
def test_a_value_is_told_with_its_unit_and_no_idle_digits(value: float, unit: Any, words: str) -> None:
    assert spell(value, unit) == words


def test_an_interval_is_told_from_where_to_where() -> None:
    assert spell_with(0.974, (0.961, 0.983), "share") == "97.4 % (96.1 % to 98.3 %)"
    assert spell_with(0.974, None, "share") == "97.4 %"


@pytest.mark.parametrize(
    ("axis", "values", "ticks"),
    [
        (Axis("", "share"), (0.0, 0.5), ["0 %", "10 %", "20 %", "30 %", "40 %", "50 %"]),
        (Axis("", "share"), (0.841, 0.952), ["84 %", "86 %", "88 %", "90 %", "92 %", "94 %", "96 %"]),
        (Axis("", "count"), (0, 2), ["0", "1", "2"]),
        (Axis("", "USD"), (0, 42_000), ["$0 k", "$5 k", "$10 k", "$15 k"]),
        (Axis("", "USD", log=True), (0.00001, 1), ["$0.00001", "$0.0001", "$0.001", "$0.01", "$0.1", "$1"]),
        (Axis("", "seconds", log=True), (0.002, 3), ["10 ms", "100 ms", "1 s"]),
        (Axis("", "count", log=True), (1e3, 1e7), ["1 k", "10 k", "100 k", "1 M", "10 M"]),
        (Axis("", "number"), (-3, 5), ["\N{MINUS SIGN}3", "\N{MINUS SIGN}2", "\N{MINUS SIGN}1", "0", "1"]),
        (Axis("", "share"), (0.95, 0.95), ["84 %", "86 %", "88 %", "90 %", "92 %", "94 %", "96 %", "98 %", "100 %"]),
    ],
)
def test_ticks_are_round(axis: Axis, values: tuple[float, float], ticks: list[str]) -> None:
    figure = lines("t", [Series("s", [(index, value) for index, value in enumerate(values)])], Axis("x", include=(10,)), axis)
    assert [each.text for each in inside(figure.wide).iter("text") if each.get("text-anchor") == "end"][: len(ticks)] == ticks


@pytest.mark.parametrize(
    ("seconds", "ticks"),
    [
        (9 * 3600, ["1 Jan", "01:00", "02:00", "03:00", "04:00", "05:00", "06:00", "07:00", "08:00", "09:00"]),
        (30 * 86_400, ["5 Jan", "12 Jan", "19 Jan", "26 Jan"]),
        (180 * 86_400, ["2026", "Feb", "Mar", "Apr", "May", "Jun"]),
    ],
)
def test_time_has_the_ticks_of_a_calendar(seconds: float, ticks: list[str]) -> None:
    first = 1767225600.0  # 2026-01-01
    figure = lines("t", [Series("s", [(first, 0), (first + seconds, 1)])], Axis("Day", "time"), Axis("y", "share"))
    told = texts(figure.narrow if len(ticks) == 4 else figure.wide, "tick")
    assert [tick for tick in told if not tick.endswith("%")] == ticks


def test_a_cost_of_zero_stands_apart_on_a_logarithmic_axis() -> None:
    points = [Point("free", 0.0, 0.9), Point("cheap", 0.00001, 0.92), Point("dear", 0.01, 0.95)]
    figure = scatter("t", points, COST, SHARE)
    across = {name.text: float(each[-1].get("cx", "nan")) for each in inside(figure.wide) for name in each.findall("title")}
    free, cheap, dear = across.values()
    assert free + 30 < cheap < dear
    assert texts(figure.wide, "tick").count("0") == 1


def test_names_in_a_scatter_plot_do_not_overlap() -> None:
    for seed in range(6):
        chance = random.Random(seed)
        spread = (0.001, 0.02, 0.1)[seed % 3]
        points = [
            Point(f"candidate {n}", 10 ** chance.uniform(-4, -4 + 10 * spread), chance.uniform(0.9, 0.9 + spread))
            for n in range(15)
        ]
        for drawing in (scatter("t", points, COST, SHARE).wide, scatter("t", points[:8], COST, SHARE).narrow):
            boxes: list[tuple[float, float, float, float]] = []
            for each in inside(drawing).iter("text"):
                if "name" in (each.get("class") or ""):
                    wide, x, y = 6.8 * len(each.text or ""), float(each.get("x", "")), float(each.get("y", ""))
                    left = x - wide * {None: 0, "middle": 0.5, "end": 1}[each.get("text-anchor")]
                    boxes.append((left, y - 10, left + wide, y + 2))
            assert len(boxes) in (8, 15)
            for one, other in combinations(boxes, 2):
                assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_the_front_is_a_stepped_line_and_every_point_tells_its_numbers() -> None:
    points = [
        Point("small", 0.0001, 0.9, (0.88, 0.92), front=True, chosen=True),
        Point("dull", 0.001, 0.85),
        Point("large", 0.01, 0.95, front=True),
    ]
    figure = scatter("t", points, COST, SHARE)
    (front,) = [each.get("d", "") for each in inside(figure.wide).iter("path")]
    corners = [tuple(map(float, corner.split())) for corner in re.split("[ML]", front)[1:]]
    assert all(one[0] == other[0] or one[1] == other[1] for one, other in pairwise(corners))
    assert hints(figure)[0] == "small: Cost per case $0.0001, Accuracy 90.0 % (88.0 % to 92.0 %)"
    assert figure.data.rows[1] == ("dull", "$0.001", "85.0 %")


def test_a_long_series_is_drawn_small_without_losing_its_extremes() -> None:
    points = [(n / 20_000, 0.01 + 0.2 * (n == 4_321)) for n in range(20_000)]
    figure = lines("t", [Series("s", points, [(y, y + 0.01) for _, y in points])], Axis("Share", "share"), Axis("Error", "share"))
    assert len(figure.wide.marks) < 60_000
    assert len(figure.data.rows) == 24
    (path,) = [each.get("d", "") for each in inside(figure.wide).iter("path") if each.get("class") == "line"]
    heights = sorted(float(corner.split()[1]) for corner in re.split("[ML]", path)[1:])
    assert heights[0] < heights[1] - 100


def test_series_with_the_same_x_share_the_rows_of_the_table() -> None:
    series = [Series("a", [(0.1, 0.01), (0.5, 0.02)], [(0, 0.02), (0.01, 0.03)]), Series("b", [(0.5, 0.03), (1, 0.04)])]
    figure = lines("t", series, Axis("Share", "share"), Axis("Error", "share"), [Reference("Promise", 0.02)])
    assert list(figure.data.rows) == [
        ("10.0 %", "1.0 % (0 % to 2.0 %)", ""),
        ("50.0 %", "2.0 % (1.0 % to 3.0 %)", "3.0 %"),
        ("100 %", "", "4.0 %"),
    ]
    assert "Promise: 2.0 %" in hints(figure)
    assert "a, Share 50.0 %: 2.0 % (1.0 % to 3.0 %)" in hints(figure)


def test_columns_stand_on_each_other_and_tell_their_numbers() -> None:
    day, count = 86_400.0, Axis("decisions", "count")
    figure = columns("Split", ["small", "people"], [Column(0, day, (6, 2)), Column(day, 2 * day, (0, 1))], count)
    boxes = [[float(each.get(name, "")) for name in ("y", "height")] for each in inside(figure.wide).iter("rect")]
    small, people, last = boxes[2:]  # the first two are the legend's
    assert math.isclose(people[0] + people[1], small[0], abs_tol=0.2)  # people stand on the small tier
    assert math.isclose(small[0] + small[1], last[0] + last[1], abs_tol=0.2)  # all on one base
    assert hints(figure)[0] == "1970-01-01, small: 6"
    assert figure.data.rows[1] == ("1970-01-02", "0", "1")
    for wrong in ([], [Column(0, day, (1,))], [Column(0, day, (1, -1))]):
        with pytest.raises(ValueError, match=r"column|amounts"):
            columns("Split", ["small", "people"], wrong, count)


def test_figures_that_are_not_numbered_are_told_apart_by_their_titles() -> None:
    part = render_fragment([bars("Left", [Bar("a", 1)], Axis("x")), bars("Right", [Bar("a", 1)], Axis("x"))], numbered=False)
    assert "Figure" not in part and 'id="figure-left"' in part and 'id="figure-right"' in part


def test_a_reliability_diagram_leaves_empty_bins_out_and_has_the_diagonal_from_corner_to_corner() -> None:
    bins = [Bin(0, 0.5, 0, 0, (0, 0), 0), Bin(0.5, 0.75, 0.7, 0.65, (0.55, 0.74), 40), Bin(0.75, 1, 0.9, 0.91, (0.88, 0.94), 400)]
    figure = reliability("t", bins)
    assert [row[:2] for row in figure.data.rows] == [("50.0 % to 75.0 %", "40"), ("75.0 % to 100 %", "400")]
    assert hints(figure)[0] == "confidence 70.0 %: 65.0 % (55.0 % to 74.0 %) right, 40 cases"
    assert texts(figure.wide, "tick").count("50 %") == texts(figure.wide, "tick").count("100 %") == 2


def test_counts_of_bins_too_narrow_for_them_are_in_the_hint_and_the_table_alone() -> None:
    edges = (0.5, 0.9, 0.99, 0.995, 1)
    bins = [Bin(start, end, end, end, (start, 1), 545 + at) for at, (start, end) in enumerate(pairwise(edges))]
    figure = reliability("t", bins)
    assert {"545", "546", "547", "548"} & {*texts(figure.wide, "tick")} == {"545", "546"}
    assert [row[1] for row in figure.data.rows] == ["545", "546", "547", "548"] and "548 cases" in hints(figure)[-1]


def test_bars_start_at_zero_and_stacks_fill_their_row() -> None:
    figure = bars("t", [Bar("a", 0.3, (0.2, 0.4), 100, True), Bar("b", 0.15)], Axis("Error", "share"))
    lengths = [float(each.get("width", "")) for each in inside(figure.wide).iter("rect")]
    assert lengths[0] == pytest.approx(2 * lengths[1], rel=0.01)
    assert list(figure.data.rows) == [("a", "30.0 % (20.0 % to 40.0 %)", "100"), ("b", "15.0 %", "")]
    stacked = inside(stacks("t", ["a", "b", "people"], [Stack("x", (0.2, 0, 0.8)), Stack("y", (1, 0, 0))]).wide)
    ends = [
        float(each.get("x", "")) + float(each.get("width", "")) for each in stacked.iter("rect") if each.get("height") == "20"
    ]
    assert ends[1] == pytest.approx(ends[2], abs=0.2)


NUMBERS = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1e-9, -1e-9, 1.0, 1e12])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6),
    st.sampled_from(["number", "count", "share", "USD", "seconds"]),
    st.booleans(),
)
def test_any_finite_numbers_are_drawn_inside_the_picture(places: list[tuple[float, float]], unit: Any, log: bool) -> None:
    axis = Axis("a", unit, log=log)
    figures = [
        scatter("t", [Point("p", x, y) for x, y in places], axis, axis),
        lines("t", [Series("s", sorted(places))], axis, axis, [Reference("r", places[0][0], "x")]),
        bars("t", [Bar("b", x) for x, _ in places], axis, [Reference("r", places[0][1])]),
    ]
    for drawing in (each for figure in figures for each in (figure.wide, figure.narrow)):
        for each in inside(drawing).iter():
            for name in {"x", "x1", "x2", "cx"} & each.attrib.keys():
                assert -40 <= float(each.attrib[name]) <= drawing.width + 40
            for name in {"y", "y1", "y2", "cy"} & each.attrib.keys():
                assert -5 <= float(each.attrib[name]) <= drawing.height + 5


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_finite_number_is_refused(value: float) -> None:
    attempts = [
        lambda: scatter("t", [Point("p", value, 0.5)], COST, SHARE),
        lambda: scatter("t", [Point("p", 0.5, 0.5, (0, value))], COST, SHARE),
        lambda: lines("t", [Series("s", [(0, value)])], SHARE, SHARE),
        lambda: bars("t", [Bar("b", value)], SHARE),
        lambda: stacks("t", ["a", "people"], [Stack("s", (value, 1))]),
        lambda: reliability("t", [Bin(0, 1, 0.5, value, (0, 1), 3)]),
        lambda: spell(value),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError):
            attempt()


def test_nothing_to_draw_and_numbers_that_do_not_fit_together_are_refused() -> None:
    attempts = [
        lambda: scatter("t", [], COST, SHARE),
        lambda: lines("t", [Series("s", [])], SHARE, SHARE),
        lambda: bars("t", [], SHARE),
        lambda: stacks("t", ["people"], []),
        lambda: stacks("t", ["a", "people"], [Stack("s", (0.5, 0.4))]),
        lambda: stacks("t", ["a", "people"], [Stack("s", (1,))]),
        lambda: reliability("t", [Bin(0, 1, 0, 0, (0, 0), 0)]),
        lambda: Series("s", [(1, 0), (0, 0)]),
        lambda: Series("s", [(0, 0), (1, 0)], [(0, 0)]),
        lambda: Table(("a", "b"), [("1",)]),
        lambda: Table(("a", "b"), [], "l"),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError):
            attempt()


def test_text_and_marks_stand_out_from_the_paper_by_light_and_by_dark() -> None:
    style = render_html("t", []).partition("<style>")[2]
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w+)", part)) for part in style.partition("@media screen")[::2])
    for scheme in (light, dark):
        for text in ("ink", "soft", "link", "good", "bad"):
            assert contrast(scheme[text], scheme["paper"]) >= 4.5
        for mark in ("c1", "c2", "c3", "c4", "c5", "rest"):
            assert contrast(scheme[mark], scheme["paper"]) >= 3
            assert contrast(scheme[mark], scheme["on5" if mark == "c5" else "on"]) >= 4.5


def contrast(one: str, other: str) -> float:
    """The ratio of two colours' luminance as WCAG 2 defines it."""
    lights = sorted(luminance(colour) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
