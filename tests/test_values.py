"""What a piece of text means under a schema, and where in a text a value stands."""

from __future__ import annotations

import pytest

from rung.models.values import day_first, open_values

DATE = {"type": ["string", "null"], "format": "date"}


@pytest.mark.parametrize(
    "written",
    ["2025-11-03", "03/11/2025", "3.11.25", "20251103", "3 .11. 2025", "3 Nov 2025", "November 3rd, 2025", "3. listopada 2025"],
)
def test_a_date_is_read_as_it_is_written(written: str) -> None:
    assert open_values(DATE).read(written) == "2025-11-03"


def test_the_clear_dates_speak_for_the_others() -> None:
    assert (day_first("31/12/2025, 03/11/2025"), day_first("12/31/2025"), day_first("03/11/2025")) == (True, False, None)


@pytest.mark.parametrize(
    ("text", "found"), [("a -£61.50 b", "-£61.50"), ("61.50- b", "61.50-"), ("(61.50)", "(61.50)"), ("1874", "")]
)
def test_a_negative_amount_is_found_with_its_sign(text: str, found: str) -> None:
    assert [text[start:end] for start, end in open_values({"type": "number"}).find(text, -61.5)] == [found] * bool(found)
