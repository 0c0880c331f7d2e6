"""`rung gold check`: what was found in the gold, on a page for people or as a document for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from rung.cascade.redaction import KINDS, redact
from rung.cli.console import hint, out, path_of, say, say_json, stage, visible
from rung.gold import GoldError, Survey
from rung.workflows import Inspection, inspect_gold
from rung.workload import Workload

ROWS = 12  # of a table of findings
LABELS = 24  # of a table of labels
LINES = 10  # of a list of line numbers
NAMES = {"email": "e-mail addresses", "phone": "phone numbers", "card": "card numbers", "iban": "IBANs"}


def check_gold(workload: Workload, json_: bool) -> None:
    """Print what is in the gold. Gold that cannot be used ends with status 2, after every mistake in it."""
    try:
        found = inspect_gold(workload, stage)
    except GoldError as error:
        _refuse(workload, error, json_)
        raise typer.Exit(error.exit_status) from None
    if json_:
        say_json({"workload": workload.name, **found.document()})
        return
    _say_page(workload, found)
    again = f"rung gold check {path_of(workload)}"
    seen = found.survey
    advised = seen.advice or found.suspects or seen.leaks or any(group.apart for group in seen.alike)
    hint(f"next: {f'correct the gold where you agree and run {again} again, or ' if advised else ''}rung up {path_of(workload)}")


def _refuse(workload: Workload, error: GoldError, json_: bool) -> None:
    if json_:
        mistakes = [{"line": line, "message": message} for line, message in error.mistakes]
        say_json({"workload": workload.name, "mistakes": mistakes})
        return
    count = f"{_count(len(error.mistakes), 'mistake')} in {_count(len({line for line, _ in error.mistakes}), 'line')}"
    say(f"{workload.name}: {workload.gold.name} cannot be used: {count}\n")
    rows = [(str(line) if line else "file", message) for line, message in error.mistakes]
    _print(("line>", "what is wrong"), rows, most=len(rows))
    hint(f"next: correct {workload.gold} and run rung gold check {path_of(workload)} again")


def _say_page(workload: Workload, found: Inspection) -> None:
    seen = found.survey
    whole = seen.whole
    parts = f"train {whole.train:,}, calibration {whole.calibration:,}, test {whole.test:,}"
    say(f"{workload.name}: {_count(whole.cases, 'example')} in {workload.gold.name} ({parts})\n")
    _print(("looked for", "found"), [*_summary(found)])
    if seen.advice:
        _head("Advice")
        say("\n".join(f"- {advice}" for advice in seen.advice))
    texts = {example.line: example.case.text for example in found.gold.examples}
    _say_labels(seen)
    _say_slices(seen)
    _say_suspects(found, texts)
    _say_alike(seen)
    leaks = [(str(leak.line), _lines(leak.outside)) for leak in seen.leaks]
    head = "Pinned to test, with a near-duplicate outside test: the test split flatters there"
    _section(head, ("line>", "near-duplicates in train or calibration"), leaks)
    rare = [(each.field, _shown(each.label), f"{len(each.lines)}", _lines(each.lines) or "-") for each in seen.rare]
    _section("Labels with fewer than 10 examples", ("field", "label", "examples>", "lines"), rare)
    _say_lengths(seen, texts)
    personal = [(NAMES[each.kind], f"{each.values:,}", f"{len(each.lines):,}", _lines(each.lines)) for each in found.personal]
    head = "Personal data in texts and contexts: is it meant to be there?"
    _section(head, ("kind", "different>", "in lines>", "lines"), personal)


def _summary(found: Inspection) -> Iterable[tuple[str, str]]:
    seen = found.survey
    by_field = Counter(suspect.field for suspect in found.suspects)
    per_field = ", ".join(f"{field} {count:,}" for field, count in by_field.items())
    yield "likely label errors", f"not looked for: {found.unsought}" if found.unsought else f"{per_field or 'none'}"
    apart = sum(bool(group.apart) for group in seen.alike)
    alike = f"{_count(len(seen.alike), 'group')} of {_count(sum(len(group.lines) for group in seen.alike), 'line')}"
    yield "near-duplicates", f"{alike}, {apart:,} with different labels" if seen.alike else "none"
    yield "the same text with different answers", "none"
    yield "test cases with a near-duplicate outside test", f"{len(seen.leaks):,}" if seen.leaks else "none"
    yield "labels with fewer than 10 examples", f"{len(seen.rare):,}" if seen.rare else "none"
    yield "texts of an odd length", f"{len(seen.lengths.outliers):,}" if seen.lengths.outliers else "none"
    personal = ", ".join(f"{NAMES[each.kind]} in {_count(len(each.lines), 'line')}" for each in found.personal)
    yield "personal data", personal or "none"


def _say_labels(seen: Survey) -> None:
    for field, tallies in seen.labels.items():
        counts = [tally.cases for tally in tallies if tally.cases]
        ratio = (
            f"the most frequent {counts[0] / counts[-1]:,.1f} times as often as the rarest" if len(counts) > 1 else "one in use"
        )
        _head(f"{field}: {_count(len(tallies), 'label')}, {ratio}")
        rows = [_tally_row(tally, seen) for tally in tallies]
        _print(("label", "examples>", "share>", "train>", "calibration>", "test>"), rows, LABELS, keep_ends=True)


def _say_slices(seen: Survey) -> None:
    for key, slices in seen.slices.items():
        _head(f"{key} (context): {_count(len(slices), 'value')}")
        rows = [(*_tally_row(each.tally, seen), _without(each.without)) for each in slices]
        _print((key, "examples>", "share>", "train>", "calibration>", "test>", "labels it has no example of"), rows)


def _tally_row(tally: Any, seen: Survey) -> tuple[str, ...]:
    parts = (f"{count:,} {_share(count, tally.cases):>4}" for count in (tally.train, tally.calibration, tally.test))
    return (_snippet(_shown(tally.value)), f"{tally.cases:,}", f"{tally.cases / seen.whole.cases:.1%}", *parts)


def _say_suspects(found: Inspection, texts: Mapping[int, str]) -> None:
    if not found.suspects:
        return
    _head("Likely label errors, the worst first: review each, a label doubted may well be right")
    say("A specialist that had not seen the line finds another label likelier (confident learning, by cleanlab).")
    for field in dict.fromkeys(suspect.field for suspect in found.suspects):
        suspects = [suspect for suspect in found.suspects if suspect.field == field]
        rows = [(str(each.line), _shown(each.label), _shown(each.likelier), _snippet(texts[each.line])) for each in suspects]
        _print(("line>", f"{field} in the gold", "likelier", "text"), rows)


def _say_alike(seen: Survey) -> None:
    ranked = sorted(seen.alike, key=lambda group: (not group.apart, -len(group.lines)))
    rows = [(_lines(group.lines), "; ".join(_apart(name, values) for name, values in group.apart.items())) for group in ranked]
    head = "Near-duplicates (Jaccard similarity of character 5-grams at least 0.7): the split parts none but by pins"
    _section(head, ("lines", "labels that differ"), rows)


def _say_lengths(seen: Survey, texts: Mapping[int, str]) -> None:
    lengths = seen.lengths
    if not lengths.outliers:
        return
    usual = f"{lengths.shortest:,} to {lengths.longest:,} are usual"
    _head(f"Texts of an odd length: the median has {lengths.median:,} characters, {usual}")
    say("By modified z-scores of the log length beyond 3.5 (median absolute deviation; Iglewicz and Hoaglin 1993).")
    rows = [(str(each.line), f"{each.characters:,}", _snippet(texts[each.line])) for each in lengths.outliers]
    _print(("line>", "characters>", "text"), rows, keep_ends=True)


# How things are written.


def _head(text: str) -> None:
    out.print()
    out.print(Text(visible(text), style="bold"))


def _section(head: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table with a head, if there is anything in it."""
    if rows:
        _head(head)
        _print(columns, rows)


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]], most: int = ROWS, keep_ends: bool = False) -> None:
    """A table, cut after `most` rows, or in the middle. A column whose name ends in > is set to the right; the last may wrap."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(Text(visible(column.removesuffix(">"))), justify="right" if column.endswith(">") else "left")
    cut = len(rows) - most
    last = most // 2 if keep_ends else 0
    shown = rows if cut <= 0 else [*rows[: most - last], *rows[len(rows) - last :]]
    for row in shown:
        table.add_row(*(Text(visible(cell)) for cell in row))
    out.print(table)
    if cut > 0:
        say(f"{'between these ' if keep_ends else 'and '}{cut:,} more (--json has all)")


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value and value.isprintable() else json.dumps(value, ensure_ascii=False)


def _lines(lines: Sequence[int]) -> str:
    more = f" and {len(lines) - LINES:,} more" if len(lines) > LINES else ""
    return ", ".join(map(str, lines[:LINES])) + more


def _apart(name: str, values: Sequence[Any]) -> str:
    counts = Counter(map(_shown, values))
    return f"{name} " + ", ".join(f"{label} x {count}" if count > 1 else label for label, count in counts.items())


def _without(lacking: Any) -> str:
    return "; ".join(f"{name} {_few([_shown(label) for label in labels])}" for name, labels in lacking.items()) or "-"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _snippet(text: str) -> str:
    """The text's beginning on one line, personal data masked: a report is passed on more freely than the gold."""
    masked = redact(" ".join(text.split()), KINDS).text
    return masked if len(masked) <= 80 else f"{masked[:79]}…"
