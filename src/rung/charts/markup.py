"""Turns text and numbers into markup that no text can break out of. Knows nothing about charts or pages."""

from __future__ import annotations

import html
import re
import unicodedata

FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
NARROW, WIDE = frozenset("fijlrtI.,:;'|!()[] "), frozenset("mwMW%@—<>=+~\ufffd")


def clean(text: str) -> str:
    """The text with a visible sign for what XML forbids (control characters, lone surrogates) and for what reverses its order."""
    return FORBIDDEN.sub("\ufffd", text.replace("\r\n", "\n"))


def escape(text: str) -> str:
    """The text as character data or as an attribute's value."""
    if text.isalnum() and text.isascii():  # such as most attributes
        return text
    return html.escape(clean(text))


def element(tag: str, content: str | None = "", /, **attributes: str | float | None) -> str:
    """One element around content that is markup already; an empty one where it is None.

    Attributes are escaped, numbers rounded to a tenth; None leaves one out. `class_` means class, `stroke_width` stroke-width.
    """
    opening = tag + "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value) if isinstance(value, str) else rounded(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{opening}/>" if content is None else f"<{opening}>{content}</{tag}>"


def rounded(value: float) -> str:
    """The number to a tenth, as short as it goes: the same on every machine."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def width(text: str, size: float) -> float:
    """About how wide a sans-serif sets this text, in the unit of `size`: to be generous is to keep labels apart."""
    return size * sum(map(_advance, text))


def fit(text: str, space: float, size: float) -> str:
    """The text, cut with an ellipsis where it is wider than the space."""
    if width(text, size) <= space:
        return text
    while text and width(text + "…", size) > space:
        text = text[:-1]
    return text.rstrip() + "…"


def _advance(character: str) -> float:
    if unicodedata.combining(character):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    if character in NARROW:
        return 0.38
    return 0.95 if character in WIDE else 0.7 if character.isupper() else 0.62
