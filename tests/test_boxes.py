"""A scanned page's lines with their boxes become one text in reading order, or a sentence about the line that is wrong."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.boxes import read_page


def line(text: str, left: float, top: float, right: float | None = None, bottom: float | None = None) -> dict[str, Any]:
    """A line ten units high, with ten for each character, unless told otherwise."""
    return {"text": text, "box": [left, top, left + 10 * len(text) if right is None else right, bottom or top + 10]}


def test_lines_are_read_from_top_to_bottom_and_in_a_row_from_left_to_right() -> None:
    page = [line("119.00", 300, 203), line("Total", 0, 200), line("Invoice", 0, 0), line("No. 7", 200, 2)]
    assert read_page(page) == "Invoice  No. 7\nTotal  119.00"


def test_words_stand_one_space_apart_and_columns_two() -> None:
    assert read_page([line("Total", 0, 0), line("due", 54, 0), line("EUR", 200, 0)]) == "Total due  EUR"


def test_a_row_that_rises_or_falls_a_little_stays_one_row() -> None:
    assert read_page([line("a", 0, 0), line("b", 100, 4), line("c", 200, 2)]) == "a  b  c"
    assert read_page([line("a", 0, 0), line("b", 100, 6)]) == "a\nb"


def test_a_stamp_as_high_as_many_rows_does_not_make_them_one() -> None:
    rows = [line(f"row {number}", 0, 20 * number) for number in range(10)]
    stamp = line("PAID", 500, 0, 600, 200)
    assert [row.partition("  ")[0] for row in read_page([stamp, *rows]).split("\n")] == [row["text"] for row in rows]


def test_a_small_word_stands_in_the_row_of_a_large_one() -> None:
    assert read_page([line("TOTAL", 0, 0, 200, 40), line("EUR", 300, 15)]) == "TOTAL  EUR"


def test_blank_lines_and_pages_say_nothing() -> None:
    assert read_page([]) == read_page([line(" \n", 0, 0, 5)]) == ""
    assert read_page([line("a", 0, 0), line(" ", 50, 0), line(" b ", 100, 0)]) == "a  b"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("Total", "is not an object"),
        ({}, "has no text"),
        ({"text": None, "box": [0, 0, 1, 1]}, "has no text"),
        ({"text": "a", "box": [0, 0, 1, 1], "conf": 0.9}, "has the unknown key 'conf'"),
        ({"text": "a\nb", "box": [0, 0, 1, 1]}, "holds a line break"),
        ({"text": "a"}, "has no box of four numbers"),
        *(
            ({"text": "a", "box": box}, "has no box of four numbers")
            for box in (
                [0, 0, 1],
                {},
                "0011",
                [0, 0, 1, True],
                [0, 0, 1, "1"],
                [0, 0, float("nan"), 1],
                [0, 0, float("inf"), 1],
                [0, 0, 10**400, 1],
            )
        ),
        ({"text": "a", "box": [2, 0, 1, 1]}, "has a box whose right is left of its left"),
        ({"text": "a", "box": [0, 2, 1, 1]}, "whose bottom is above its top"),
    ],
)
def test_the_line_that_is_wrong_is_named(wrong: Any, why: str) -> None:
    with pytest.raises(ValueError, match=f"^line 2 of the page .*{why}"):
        read_page([line("fine", 0, 0), wrong, wrong])


words = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8)
edges = st.integers(-(10**6), 10**6)


@st.composite
def grids(draw: st.DrawFn) -> list[list[str]]:
    return draw(st.lists(st.lists(words, min_size=1, max_size=4), min_size=1, max_size=6))


@st.composite
def pages(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Any boxes at all: overlapping, inside each other, without height or width."""
    lines: list[dict[str, Any]] = []
    for text in draw(st.lists(words, max_size=12)):
        (left, right), (top, bottom) = (sorted(draw(st.tuples(edges, edges))) for _ in range(2))
        lines.append({"text": text, "box": [left, top, right, bottom]})
    return lines


@given(grid=grids(), seed=st.integers(), data=st.data())
def test_a_table_is_read_as_it_stands_whatever_order_its_cells_come_in(grid: list[list[str]], seed: int, data: Any) -> None:
    jitter = st.integers(-2, 2)
    cells = [
        line(cell, 100 * column, 20 * row + data.draw(jitter), 100 * column + 80)
        for row, cells in enumerate(grid)
        for column, cell in enumerate(cells)
    ]
    random.Random(seed).shuffle(cells)
    assert read_page(cells) == "\n".join("  ".join(row) for row in grid)


@given(pages())
def test_every_word_is_read_once(page: list[dict[str, Any]]) -> None:
    assert sorted(read_page(page).split()) == sorted(line["text"] for line in page)


@given(page=pages(), factor=st.sampled_from([0.25, 2, 1024]), x=edges, y=edges)
def test_neither_the_unit_nor_the_origin_matters(page: list[dict[str, Any]], factor: float, x: int, y: int) -> None:
    moved = [{**line, "box": [factor / 4 * (edge + (x, y)[at % 2]) for at, edge in enumerate(line["box"])]} for line in page]
    assert read_page(moved) == read_page(page)


@given(pages())
def test_rows_come_from_top_to_bottom_and_every_two_boxes_in_one_share_a_height(page: list[dict[str, Any]]) -> None:
    named = [{**line, "text": str(number)} for number, line in enumerate(page)]
    rows = [[page[int(number)]["box"] for number in row.split()] for row in read_page(named).splitlines()]
    tops = [max(box[1] for box in row) for row in rows]
    bottoms = [min(box[3] for box in row) for row in rows]
    assert all(tops[at] <= bottoms[at] for at in range(len(rows)))
    centres = [min(box[1] + box[3] for box in row) for row in rows]
    assert centres == sorted(centres)
