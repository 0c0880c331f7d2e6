"""A gold file in, checked and split examples out; every mistake named with its line."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rung.core import Case
from rung.gold import (
    Example,
    Gold,
    GoldError,
    Shares,
    near_duplicate_share,
    near_duplicates,
    read_gold,
    split,
)
from rung.workload import Workload, WorkloadError, load

LABELS = """
workload: colours
task: Name the colour.
labels: [red, blue]
gold: gold.jsonl
promise: {error: 0.05, confidence: 0.9}
"""
FIELDS = """
workload: support
task: Read a message.
answer:
  type: object
  properties:
    intent: {enum: [refund, fee, other]}
    urgent: {type: boolean}
    order_id: {type: [string, "null"], pattern: "^LF[0-9]{6}$"}
    amount: {type: [number, "null"], minimum: 0, find: ["([0-9]+) pounds"]}
    reply: {type: string, fill: template, template: reply.md}
  required: [intent, urgent, order_id, amount, reply]
gold: gold.GOLD
promise: {error: 0.05, confidence: 0.9}
"""


ITEMS = """
workload: invoices
task: Read an invoice.
answer:
  type: object
  properties:
    supplier: {type: [string, "null"], fill: copy}
    total: {type: [number, "null"]}
    number: {type: [string, "null"], pattern: "^LF[0-9]{6}$"}
    kind: {enum: [paid, open]}
    codes: {type: array, items: {type: string}}
    lines:
      type: array
      items:
        type: object
        properties: {what: {type: string}, amount: {type: number}}
        required: [what]
        additionalProperties: false
    reply: {type: string, template: reply.md}
  required: [supplier, total, number, kind, codes, lines, reply]
gold: gold.GOLD
promise: {error: 0.05, confidence: 0.9}
"""
TEXT = "Lamps & Co, total 49.90, again 49.90 EUR"


def invoice(text: object = TEXT, spans: object = ..., **more: object) -> dict[str, object]:
    expected = {"supplier": "Lamps & Co", "total": 49.9, "number": None, "kind": "open", "codes": [], "lines": [], **more}
    return {"input": text, "expected": expected} | ({} if spans is ... else {"spans": spans})


def box(text: str, left: int, top: int) -> dict[str, object]:
    return {"text": text, "box": [left, top, left + 10 * len(text), top + 10]}


def workload(folder: Path, contract: str, gold: bytes | str, kind: str = "jsonl") -> Workload:
    (folder / "workload.yaml").write_text(contract.replace("GOLD", kind))
    (folder / "reply.md").write_text("Thank you.")
    (folder / f"gold.{kind}").write_bytes(gold if isinstance(gold, bytes) else gold.encode())
    return load(folder)


def line(text: str, intent: object = "refund", **more: object) -> str:
    expected = {"intent": intent, "urgent": False, "order_id": None, "amount": None, **more}
    return json.dumps({"input": text, "expected": {name: value for name, value in expected.items() if value is not ...}})


def sound() -> list[str]:
    return [line(f"{text} {urgent}", intent, urgent=urgent)
            for text, intent in (("money back", "refund"), ("what does it cost", "fee"), ("hello", "other"))
            for urgent in (True, False)]  # fmt: skip


def mistakes(found: Workload) -> list[tuple[int, str]]:
    with pytest.raises(GoldError) as refused:
        read_gold(found)
    return refused.value.mistakes


def made(labelled: list[tuple[str, str]], pins: dict[int, str] | None = None) -> Gold:
    examples = tuple(
        Example(at + 1, Case(text), {"label": label}, (pins or {}).get(at))  # pyright: ignore[reportArgumentType]
        for at, (text, label) in enumerate(labelled)
    )
    return Gold(examples, ("label",), "", ())


def invented(count: int, seed: int = 1) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    return [("".join(draw.choices("abcdefghij ", k=40)), draw.choices(["a", "b", "c"], [60, 30, 10])[0]) for _ in range(count)]


def sides(gold: Gold, shares: Shares | None = None, seed: int = 0) -> dict[str, str]:
    parts = split(gold, shares, seed)
    return {gold.examples[at].case.text: name for name in ("train", "calibration", "test") for at in getattr(parts, name)}


# Reading


def test_sound_lines_become_examples_in_their_order(tmp_path: Path):
    more = json.loads(line("20 pounds for LF123456 please", amount=20.0, order_id="LF123456"))
    lines = [*sound(), json.dumps({**more, "context": {"channel": "chat"}, "split": "test"})]
    gold = read_gold(workload(tmp_path, FIELDS, "\n".join(lines) + "\n"))
    assert [example.line for example in gold.examples] == [1, 2, 3, 4, 5, 6, 7]
    last = gold.examples[-1]
    assert (last.case.text, last.case.context) == ("20 pounds for LF123456 please", {"channel": "chat"})
    assert last.expected == {"intent": "refund", "urgent": False, "order_id": "LF123456", "amount": 20}
    assert (last.pinned, gold.label_fields) == ("test", ("intent", "urgent"))


def test_the_short_form_takes_a_bare_label(tmp_path: Path):
    rows = [{"input": f"{label} {n}", "expected": label if n else {"label": label}} for label in ("red", "blue") for n in (0, 1)]
    gold = read_gold(workload(tmp_path, LABELS, "\n".join(map(json.dumps, rows))))
    assert [example.expected for example in gold.examples] == [{"label": label} for label in ("red", "red", "blue", "blue")]


def test_a_csv_file_says_the_same_as_a_jsonl_file(tmp_path: Path):
    rows = ["input,intent,urgent,order_id,amount,split", '"a ""quoted""\r\nmessage",refund,TRUE,LF123456,12.50,test', "",
            "b,refund,false,,,", "c,fee,true,,7,train", "d,fee,false,,,", "e,other,true,,,", "f,other,False,,,"]  # fmt: skip
    (tmp_path / "csv").mkdir()
    table = read_gold(workload(tmp_path / "csv", FIELDS, b"\xef\xbb\xbf" + "\r\n".join(rows).encode(), "csv"))
    lines = [
        {**json.loads(line('a "quoted"\r\nmessage', urgent=True, order_id="LF123456", amount=12.5)), "split": "test"},
        json.loads(line("b")),
        {**json.loads(line("c", "fee", urgent=True, amount=7.0)), "split": "train"},
        json.loads(line("d", "fee")),
        json.loads(line("e", "other", urgent=True)),
        json.loads(line("f", "other")),
    ]
    gold = read_gold(workload(tmp_path, FIELDS, b"\xef\xbb\xbf" + "\n".join(map(json.dumps, reversed(lines))).encode()))
    assert [example.line for example in table.examples] == [2, 5, 6, 7, 8, 9]
    assert table.examples[0].expected == {"intent": "refund", "urgent": True, "order_id": "LF123456", "amount": 12.5}
    assert table.digest == gold.digest


def test_the_digest_changes_with_any_content(tmp_path: Path):
    before = read_gold(workload(tmp_path, FIELDS, "\n".join(sound()))).digest
    changed = [*sound()[:-1], sound()[-1].replace("hello", "hullo")]
    assert read_gold(workload(tmp_path, FIELDS, "\n".join(changed))).digest != before


def test_an_equal_number_gives_an_equal_digest_at_any_depth(tmp_path: Path):
    digests = {read_gold(gold_of(tmp_path, invoice(lines=[{"what": "lamps", "amount": amount}]))).digest for amount in (20, 20.0)}
    assert len(digests) == 1


def test_every_mistake_is_named_with_its_line(tmp_path: Path):
    bad = [
        "{not json",
        "[1]",
        '{"input": "x", "input": "y", "expected": {}}',
        '{"expected": {}}',
        '{"input": 3, "expected": []}',
        line(""),
        line(" \t "),
        line("x" * 100_001),
        line("unknown label", "refnd"),
        line("label of another type", urgent=1),
        line("no label", ...),
        line("no amount", amount=...),
        line("bad order", order_id="123"),
        line("a truth is no number", amount=True),
        line("negative", amount=-1),
        line("reply given", reply="Hi"),
        line("unknown field", colour="red"),
        '{"input": "x", "expected": {}, "labl": 1, "context": 3, "split": "dev"}',
        '{"input": "\\ud800", "expected": {}}',
        "[" * 100_000,
    ]
    found = mistakes(workload(tmp_path, FIELDS, "\n".join([*sound(), *bad])))
    told: dict[int, str] = {}
    for number, text in found:
        told[number] = f"{told.get(number, '')}{text}\n"
    expected = [
        "is not JSON", "is not an object", "a key stands there twice", "input is missing", "input is not a text",
        "input is empty", "input is blank", "input has 100,001 characters", "did you mean 'refund'?",
        "urgent is 1, which is not one of its labels; it may be true, false", "intent is missing",
        "amount is missing from expected (null where the text has none)", "order_id: ", "amount: ", "amount: ",
        "reply is filled by a template", "'colour' in expected is not a field", "split is \"dev\"", "is not JSON", "is not JSON",
    ]  # fmt: skip
    assert sorted(told) == [*range(7, 7 + len(bad))]
    for number, text in enumerate(expected, 7):
        assert text in told[number], (number, told[number])
    assert len(told[24].splitlines()) == 3  # the unknown key, the context, the split


def test_undecodable_bytes_are_named_line_by_line(tmp_path: Path):
    lines = [one.encode() for one in sound()]
    lines[1] = lines[1].replace(b"money", b"mon\xe9y")
    lines[4] = lines[4].replace(b"hello", b"h\xffllo")
    found = mistakes(workload(tmp_path, FIELDS, b"\n".join(lines)))
    assert [number for number, _ in found] == [2, 5]
    assert "byte 15 of the line is 0xe9" in found[0][1]


def test_a_utf_16_file_is_called_that(tmp_path: Path):
    assert mistakes(workload(tmp_path, FIELDS, "\n".join(sound()).encode("utf-16"))) == [(0, "is UTF-16; save it as UTF-8")]


def test_a_label_with_one_example_is_named(tmp_path: Path):
    found = mistakes(workload(tmp_path, FIELDS, "\n".join(sound()[:-1])))
    assert found == [(5, 'intent: this is the only example of "other"; a label needs at least two')]


def test_a_label_pinned_to_test_alone_is_named(tmp_path: Path):
    pinned = [json.dumps({**json.loads(one), "split": "test"}) for one in sound()[4:]]
    found = mistakes(workload(tmp_path, FIELDS, "\n".join([*sound()[:4], *pinned])))
    assert found == [(5, 'intent: "other" has no example to learn from: all are pinned to test (lines 5, 6)')]


def test_gold_that_is_pinned_throughout_leaves_nothing_to_calibrate(tmp_path: Path):
    pinned = [json.dumps({**json.loads(one), "split": "train"}) for one in sound()]
    assert mistakes(workload(tmp_path, FIELDS, "\n".join(pinned)))[0][0] == 0


def test_the_same_text_with_different_answers_names_both_lines(tmp_path: Path):
    found = mistakes(workload(tmp_path, FIELDS, "\n".join([*sound(), line("MONEY  back  True", "fee")])))
    assert found == [(7, 'the same text as line 1 with another answer: intent "refund", "fee"; urgent true, false')]


def test_equal_duplicates_are_kept_with_a_warning(tmp_path: Path):
    gold = read_gold(workload(tmp_path, FIELDS, "\n".join([*sound(), sound()[0]])))
    assert len(gold.examples) == 7
    assert [warning for warning in gold.warnings if "lines 1 and 7;" in warning]


def test_little_gold_and_labels_without_examples_are_warned_about(tmp_path: Path):
    few, unseen = read_gold(workload(tmp_path, FIELDS, "\n".join(sound()[:4]))).warnings
    assert few.startswith("only 4 examples: collect 500 to 2,000")
    assert unseen.startswith('intent: no example of "other"')


def test_a_long_list_of_mistakes_is_cut_in_the_text_only(tmp_path: Path):
    with pytest.raises(GoldError) as refused:
        read_gold(workload(tmp_path, FIELDS, "nonsense\n" * 70))
    assert len(refused.value.mistakes) == 70
    assert "line 50:" in str(refused.value)
    assert "line 51:" not in str(refused.value)
    assert "and 20 more" in str(refused.value)


def test_an_empty_file_and_a_missing_one_are_mistakes(tmp_path: Path):
    found = workload(tmp_path, FIELDS, "\n\n")
    assert mistakes(found) == [(0, "holds no example")]
    found.gold.unlink()
    assert mistakes(found) == [(0, "cannot be read: No such file or directory")]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("input;intent;urgent\na;refund;true", (1, "lacks the column input")),
        ("input,intent,urgent,order_id,amount,reply\n", (1, "reply is filled by a template")),
        ("input,intent,urgent,order_id,amount,colour\n", (1, "has the unknown column 'colour'")),
        ("input,input,intent,urgent,order_id,amount\n", (1, "has the column input twice")),
        ('input,intent,urgent,order_id,amount\n"a\nb",refund,true,,x\n', (2, 'amount: "x" is not of type')),
        ("input,intent,urgent,order_id,amount\na,refund,true,\n", (2, "has 4 cells where the first line has 5")),
        ('input,intent,urgent,order_id,amount\n\n"a"b,refund,true,,\n', (3, "is not CSV")),
        ("input,intent,urgent,order_id,amount\na,refund,true,,NaN\n", (2, 'amount: "NaN"')),
        ("input,intent,urgent,order_id,amount\na,refund,yes,,\n", (2, "urgent is")),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path: Path, rows: str, expected: tuple[int, str]):
    found = mistakes(workload(tmp_path, FIELDS, rows, "csv"))
    assert any(number == expected[0] and text.startswith(expected[1]) for number, text in found), found


def test_a_schema_that_refers_elsewhere_is_refused(tmp_path: Path):
    contract = FIELDS.replace("minimum: 0,", "$ref: 'http://example.invalid/amount.json',")
    with pytest.raises(WorkloadError, match="fetches nothing"):
        read_gold(workload(tmp_path, contract, "\n".join(sound())))


@settings(max_examples=60)
@given(data=st.binary(max_size=200), kind=st.sampled_from(["jsonl", "csv"]))
def test_no_bytes_give_anything_but_gold_or_its_mistakes(tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: str):
    start = b'{"input": "a", "expected": ' if kind == "jsonl" else b"input,intent,urgent,order_id,amount\n"
    assert mistakes(workload(tmp_path_factory.mktemp("gold"), FIELDS, start + data, kind))


# Pages and places


def gold_of(folder: Path, *records: object) -> Workload:
    """The records beside two plain ones, so that the label has examples enough."""
    plain = [invoice(f"plain {number}", supplier=None, total=None) for number in (1, 2)]
    return workload(folder, ITEMS, "\n".join(map(json.dumps, [*plain, *records])))


def test_a_scanned_page_is_an_example_of_the_text_it_holds(tmp_path: Path):
    page = [box("49.90", 300, 21), box("Total", 0, 20), box("Lamps & Co", 0, 0)]
    example = read_gold(gold_of(tmp_path, invoice(page))).examples[-1]
    assert (example.case.text, example.spans) == ("Lamps & Co\nTotal  49.90", {})
    assert mistakes(gold_of(tmp_path, invoice(page), invoice("Lamps & Co\nTotal  49.90", total=1)))[0][0] == 4  # the same text


def test_a_page_of_another_form_is_named_with_the_files_line_and_its_own(tmp_path: Path):
    bad = [
        [box("fine", 0, 0), {"text": "Total"}],
        [],
        [box(" ", 0, 0)],
        [box("x" * 60_000, 0, 0), box("x" * 60_000, 0, 20)],
        {"text": "Total"},
    ]
    assert mistakes(gold_of(tmp_path, *map(invoice, bad))) == [
        (3, "input: line 2 of the page has no box of four numbers: left, top, right, bottom"),
        (4, "input is empty"),
        (5, "input is empty"),
        (6, "input has 120,001 characters; at most 100,000 are allowed"),
        (7, "input is not a text, nor a page's lines"),
    ]


def test_places_are_read_as_offsets_and_belong_to_the_digest(tmp_path: Path):
    spans = {"supplier": [[0, 10]], "total": [[18, 23], [31, 36]], "codes": [[37, 40]]}
    gold = read_gold(gold_of(tmp_path, invoice(spans=spans, codes=["EUR"])))
    last = gold.examples[-1]
    assert last.spans == {"supplier": ((0, 10),), "total": ((18, 23), (31, 36)), "codes": ((37, 40),)}
    assert [TEXT[start:end] for places in last.spans.values() for start, end in places] == ["Lamps & Co", "49.90", "49.90", "EUR"]
    digests = [
        read_gold(gold_of(tmp_path, invoice(spans=given, codes=["EUR"]))).digest
        for given in (spans, {**spans, "total": [[18, 23]]}, {}, ...)
    ]
    assert digests[0] == gold.digest and len({*digests}) == 3 and digests[2] == digests[3]


@pytest.mark.parametrize(
    ("spans", "why"),
    [
        ([[0, 10]], "spans is not an object"),
        ({"colour": [[0, 1]]}, "spans: colour is not a field of the answer"),
        ({"kind": [[0, 1]]}, "spans: kind is filled by a label"),
        ({"reply": [[0, 1]]}, "spans: reply is filled by a template"),
        ({"number": [[0, 1]]}, "spans: number is found by its patterns"),
        ({"lines": [[0, 1]]}, "spans: lines is a list of objects"),
        ({"codes": [[0, 1]]}, "spans: codes has places, but no value"),
        ({"total": [0, [18, 23]]}, "spans: total 0 is not [start, end]"),
        ({"total": []}, "spans: total has no list of places"),
        ({"total": {"0": 1}}, "spans: total has no list of places"),
        ({"total": [[18, 23], [31, 36, 40]]}, "spans: total [31, 36, 40] is not [start, end]"),
        ({"total": [[18, 23.0]]}, "spans: total [18, 23.0] is not [start, end]"),
        ({"total": [[False, True]]}, "spans: total [false, true] is not [start, end]"),
        ({"total": [[31, 41]]}, "spans: total [31, 41] lies outside the text, which has 40 characters"),
        ({"total": [[-5, 40]]}, "spans: total [-5, 40] lies outside"),
        ({"total": [[18, 18]]}, "spans: total [18, 18] holds nothing"),
        ({"total": [[23, 18]]}, "spans: total [23, 18] holds nothing"),
        ({"total": [[17, 18]]}, "spans: total [17, 18] holds nothing"),
    ],
)
def test_a_place_that_is_none_is_named(tmp_path: Path, spans: object, why: str):
    (found,) = mistakes(gold_of(tmp_path, invoice(spans=spans)))
    assert found[0] == 3 and found[1].startswith(why), found


def test_every_wrong_place_of_a_line_is_named_beside_its_other_mistakes(tmp_path: Path):
    found = mistakes(gold_of(tmp_path, invoice(spans={"total": [[90, 95], [0, 0]], "colour": []}, supplier=3)))
    assert [number for number, _ in found] == [3] * 4 and sum("spans: " in text for _, text in found) == 3


def test_a_page_has_no_places(tmp_path: Path):
    (found,) = mistakes(gold_of(tmp_path, invoice([box("49.90", 0, 0)], {"total": [[0, 5]]})))
    assert found == (3, "spans are places in a text, and input is a page: give the one or the other")


values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3))
places = st.lists(st.lists(st.integers(-2, 45), min_size=2, max_size=2) | values, max_size=3) | values


@settings(max_examples=60)
@given(spans=st.dictionaries(st.sampled_from(["supplier", "total", "lines", "kind"]), places, max_size=3) | values)
def test_any_places_are_offsets_with_a_text_or_mistakes(tmp_path_factory: pytest.TempPathFactory, spans: object):
    found = gold_of(tmp_path_factory.mktemp("gold"), invoice(spans=spans))
    try:
        last = read_gold(found).examples[-1]
    except GoldError as refused:
        assert {number for number, _ in refused.mistakes} == {3}
    else:
        assert last.spans.keys() <= {"supplier", "total"}
        assert all(TEXT[start:end].strip() and start >= 0 for places in last.spans.values() for start, end in places)


def test_what_is_wrong_inside_a_list_of_objects_is_named_with_its_whole_path(tmp_path: Path):
    lines = [{"what": "lamp", "amount": 3}, {"what": 5, "amount": "3"}, {"amount": 1}, {"what": "rug", "size": 1}]
    found = mistakes(gold_of(tmp_path, invoice(lines=lines, codes=["a", 7])))
    assert {text.split(":")[0] for number, text in found if number == 3} == {
        "codes.1", "lines.1.what", "lines.1.amount", "lines.2", "lines.3",
    }  # fmt: skip
    assert any(text.startswith("lines.2: ") and "what" in text for _, text in found), found


def test_a_cell_of_a_list_is_json(tmp_path: Path):
    lines = [{"what": "lamp, red", "amount": 3.5}]
    cells = ['"Lamps & Co"', "49.9", "", "open", '"[""a"", ""b""]"', '"' + json.dumps(lines).replace('"', '""') + '"']
    head = "input,supplier,total,number,kind,codes,lines\n"
    plain = "".join(f"plain {number},,,,open,[],[]\n" for number in (1, 2))
    gold = read_gold(workload(tmp_path, ITEMS, f'{head}{plain}"{TEXT}",{",".join(cells)}\n', "csv"))
    assert gold.digest == read_gold(gold_of(tmp_path, invoice(codes=["a", "b"], lines=lines))).digest
    wrong = mistakes(workload(tmp_path, ITEMS, f"{head}{plain}a,,,,open,,lamp\n", "csv"))
    assert [(number, text.split(":")[0]) for number, text in wrong] == [(4, "codes"), (4, "lines")]


# Near-duplicates


def jaccard(one: str, other: str) -> float:
    def grams(text: str) -> set[str]:
        folded = f" {' '.join(text.casefold().split())} ".ljust(5)
        return {folded[at : at + 5] for at in range(len(folded) - 4)}

    return len(grams(one) & grams(other)) / len(grams(one) | grams(other))


@settings(max_examples=60)
@given(st.lists(st.text(alphabet="ab \u4e2d\U0001f600", max_size=24), max_size=30))
def test_near_duplicates_are_exactly_the_similar_pairs(texts: list[str]):
    wanted = [(i, j) for j in range(len(texts)) for i in range(j) if jaccard(texts[i], texts[j]) >= 0.7]
    assert near_duplicates(texts) == sorted(wanted)
    assert near_duplicate_share(texts) == pytest.approx(len({j for _, j in wanted}) / max(1, len(texts)))


def test_near_duplicates_in_long_texts_are_exactly_the_similar_pairs():
    draw = random.Random(3)
    texts = ["".join(draw.choices("etaoin shrdlu", k=draw.randrange(60, 400))) for _ in range(60)]
    for text in texts[:30]:
        at, length = draw.randrange(len(text) - 30), draw.randrange(30)
        texts.append(text[:at] + "x" * length + text[at + length :])
    wanted = [(i, j) for i in range(len(texts)) for j in range(i + 1, len(texts)) if jaccard(texts[i], texts[j]) >= 0.7]
    assert 5 < len(wanted) < 30
    assert near_duplicates(texts) == wanted


def test_short_texts_are_near_duplicates_only_when_they_are_the_same():
    assert near_duplicates(["yes", "no!", "YES ", "?", "", "ok", "?"]) == [(0, 2), (3, 6)]


def test_nothing_has_no_near_duplicates():
    assert near_duplicates([]) == near_duplicates(["alone"]) == []
    assert near_duplicate_share([]) == 0


# Splitting


def test_every_example_is_in_one_part_in_the_shares_asked_for():
    gold = made(invented(1000))
    parts = split(gold)
    assert sorted([*parts.train, *parts.calibration, *parts.test]) == [*range(1000)]
    assert [len(parts.train), len(parts.calibration), len(parts.test)] == pytest.approx([600, 200, 200], abs=3)
    for label, count in Counter(example.expected["label"] for example in gold.examples).items():
        here = sum(gold.examples[at].expected["label"] == label for at in parts.calibration)
        assert here == pytest.approx(count * 0.2, abs=1)


def test_labels_are_stratified_together_where_they_are_frequent_enough():
    draw = random.Random(5)
    examples = tuple(
        Example(at, Case(text), {"intent": intent, "priority": draw.choice(["high", "low"]), "rare": "x"})
        for at, (text, intent) in enumerate(invented(600), 1)
    )
    parts = split(Gold(examples, ("intent", "priority", "rare"), "", ()))
    both = Counter((example.expected["intent"], example.expected["priority"]) for example in examples)
    for pair, count in both.items():
        here = sum((examples[at].expected["intent"], examples[at].expected["priority"]) == pair for at in parts.test)
        assert here == pytest.approx(count * 0.2, abs=1)


def test_a_split_depends_on_texts_and_seed_but_not_on_the_order_of_lines():
    labelled = invented(300)
    once = sides(made(labelled), seed=4)
    assert sides(made(labelled[::-1]), seed=4) == once
    assert sides(made(labelled), seed=5) != once


def test_new_examples_move_few_old_ones():
    before, after = sides(made(invented(1000))), sides(made([*invented(1000), *invented(20, seed=9)]))
    assert sum(after[text] != side for text, side in before.items()) < 40


def test_near_duplicates_stay_on_one_side():
    labelled = [(f"{text}{tail}", label) for text, label in invented(200) for tail in ("", ".", "!")]
    gold = made(labelled)
    side = sides(gold)
    texts = [text for text, _ in labelled]
    assert near_duplicates(texts)
    assert all(side[texts[i]] == side[texts[j]] for i, j in near_duplicates(texts))
    assert not len(split(gold).leaked)


def test_pinned_test_lines_are_the_test_part():
    labelled = invented(200)
    gold = made(labelled, dict.fromkeys(range(50), "test") | dict.fromkeys(range(50, 60), "train"))
    parts = split(gold)
    assert [*parts.test] == [*range(50)]
    assert set(range(50, 60)) <= set(parts.train)
    assert len(parts.calibration) == pytest.approx(35, abs=3)  # a quarter of what is not pinned


def test_near_duplicates_follow_a_line_pinned_to_train_and_are_reported_beside_one_pinned_to_test():
    labelled = invented(100)
    twins = [(text + ".", label) for text, label in labelled[:20]]
    gold = made([*labelled, *twins], {at: "train" if at < 10 else "test" for at in range(20)})
    parts = split(gold)
    assert set(range(100, 110)) <= set(parts.train)
    assert [*parts.leaked] == [*range(10, 20)]


def test_every_label_has_an_example_in_train():
    words = invented(60)
    labelled = [(text, f"label {at // 2}") for at, (text, _) in enumerate(words)]
    for seed in range(20):
        side = sides(made(labelled), seed=seed)
        assert {label for text, label in labelled if side[text] == "train"} == {label for _, label in labelled}
