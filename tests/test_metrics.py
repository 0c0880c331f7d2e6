"""From what a cascade decided on agreed cases to every number about it, with its n and its interval."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import count
from math import pi, sqrt
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, fisher_exact
from sklearn.metrics import f1_score

from rung.core import Answer, Attempt, Case, Decision, Fields, Outcome, Problem
from rung.evaluation.asking import Agreed
from rung.evaluation.confidence import BINS, POINTS
from rung.evaluation.fields import FieldMetrics
from rung.evaluation.metrics import Metrics, measure
from rung.evaluation.rates import Estimate, Rate, draw, estimate
from rung.workload import Boundary, Field, Limits, Promise, SpecialistTier, Workload

LABELS = ("card", "fee", "refund", "other")
ITEM = {"type": "object", "properties": {"what": {"type": "string"}, "amount": {"type": ["number", "null"]}}}
INTENT = Field("intent", "label", {}, labels=LABELS)
AMOUNT = Field("amount", "copy", {"type": ["number", "null"]})
DAY = Field("day", "copy", {"type": ["string", "null"], "format": "date"})
NAME = Field("name", "copy", {"type": ["string", "null"]})
ORDER = Field("order", "copy", {"type": ["string", "null"], "pattern": "^LF[0-9]{6}$"}, find=(r"(LF[0-9]{6})",))
CURRENCY = Field("currency", "copy", {"enum": ["EUR", "GBP", None], "synonyms": {"EUR": ["€"], "GBP": ["£"]}})
LINES = Field("lines", "copy", {"type": "array", "items": ITEM})
TAGS = Field("tags", "copy", {"type": "array", "items": {"type": "string"}})
REPLY = Field("reply", "template", {"type": "string"}, template="reply.md")

_texts = count()


def workload(*fields: Field) -> Workload:
    return Workload(
        name="support",
        task="Name the intent.",
        file=Path("workload.yaml"),
        schema={},
        fields=fields,
        gold=Path("gold.jsonl"),
        checks=(),
        tiers=(SpecialistTier(),),
        promise=Promise(0.05, 0.95),
        limits=Limits(),
        boundary=Boundary(),
    )


def case(
    expected: Fields,
    said: Fields | None,
    confidence: float = 0.9,
    *,
    accepted: bool = True,
    objected: bool = False,
    cost: float = 0.0,
    text: str | None = None,
    context: Mapping[str, Any] | None = None,
) -> tuple[Agreed, Decision]:
    """A case that one tier answered, or failed to."""
    asked = Case(text or f"message {next(_texts)}", context or {})
    problems = (Problem("schema", "no"),) if objected or said is None else ()
    accepted = accepted and not problems
    attempt = Attempt("specialist", Answer(said) if said is not None else None, problems, confidence, 0.01, cost, accepted)
    return Agreed(asked, expected), decided(asked, attempt)


def decided(asked: Case, *attempts: Attempt) -> Decision:
    last = attempts[-1]
    answer = last.answer.fields if last.trusted and last.answer else None
    return Decision(
        asked.id,
        Outcome.REVIEW if answer is None else Outcome.ACCEPTED,
        answer,
        last.confidence,
        "person" if answer is None else last.tier,
        "r1",
        sum(attempt.cost for attempt in attempts),
        0.01,
        attempts,
    )


def measured(cases: Sequence[tuple[Agreed, Decision]], *fields: Field) -> Metrics:
    return measure(workload(*fields or (INTENT,)), [agreed for agreed, _ in cases], [decision for _, decision in cases])


def labelled(expected: str, said: str | None, confidence: float = 0.9, **more: Any) -> tuple[Agreed, Decision]:
    return case({"intent": expected}, None if said is None else {"intent": said}, confidence, **more)


def of_field(metrics: Metrics, name: str) -> FieldMetrics:
    return next(field for field in metrics.fields if field.name == name)


def counts(rate: Rate) -> tuple[int, int]:
    return rate.count, rate.of


def test_every_case_is_counted_once_for_what_came_of_it() -> None:
    metrics = measured(
        [
            labelled("card", "card"),
            labelled("card", "fee"),
            labelled("fee", "fee", 0.4, accepted=False),
            labelled("fee", "card", 0.99, objected=True),
            labelled("other", None),
        ]
    )
    assert counts(metrics.answered) == (2, 5)
    assert counts(metrics.error) == (1, 2)
    assert counts(metrics.whole) == (2, 5)
    assert counts(metrics.refused) == (1, 5)
    assert counts(metrics.objected) == (1, 5)
    assert [(one.tier, counts(one.answered), counts(one.error)) for one in metrics.tiers] == [("specialist", (2, 5), (1, 2))]


def test_the_last_answer_counts_even_where_a_later_tier_failed_and_costs_add_up() -> None:
    asked = Case("message")
    small = Attempt("small", Answer({"intent": "card"}), (), 0.4, 0.01, 0.25)
    failed = Attempt("large", None, (Problem("model", "no answer within 20 s"),), 0.0, 20.0, 0.5)
    metrics = measured([(Agreed(asked, {"intent": "card"}), decided(asked, small, failed))])
    assert (counts(metrics.whole), counts(metrics.refused), counts(metrics.objected)) == ((1, 1), (0, 1), (0, 1))
    assert metrics.cost == Estimate(0.75, 0.75, 0.75, 1)
    assert [(one.tier, counts(one.answered)) for one in metrics.tiers] == [("small", (0, 1)), ("large", (0, 1))]


def test_intervals_of_rates_are_the_exact_ones() -> None:
    metrics = measured([labelled("card", "card" if n else "fee") for n in range(12)])
    assert metrics.whole.share == pytest.approx(11 / 12)
    assert metrics.whole.low == pytest.approx(beta.ppf(0.025, 11, 2))
    assert metrics.whole.high == pytest.approx(beta.ppf(0.975, 12, 1))


def test_of_no_case_nothing_is_known() -> None:
    metrics = measured([], INTENT, AMOUNT)
    assert (metrics.cases, metrics.error.share, metrics.error.low, metrics.error.high) == (0, None, 0.0, 1.0)
    assert (metrics.cost, metrics.calibration, metrics.risk_coverage) == (None, None, None)
    assert (metrics.slices, metrics.worst, metrics.disagreements) == ((), (), ())
    assert "none" in metrics.slices_sentence
    assert json.loads(json.dumps(metrics.document()))["fields"][1]["f1"] is None


def test_where_no_tier_answers_there_is_nothing_to_be_sure_of() -> None:
    metrics = measured([case({"intent": "card", "amount": 3}, None) for _ in range(5)], INTENT, AMOUNT)
    assert counts(metrics.refused) == (5, 5)
    assert counts(metrics.hallucinated) == (0, 0)
    assert (metrics.calibration, metrics.risk_coverage, metrics.disagreements) == (None, None, ())
    intent, amount = metrics.fields
    assert intent.fill == "label"
    assert intent.f1 == Estimate(0.0, 0.0, 0.0, 5)
    assert amount.fill == "copy"
    assert (amount.precision, amount.recall) == (None, Estimate(0.0, 0.0, 0.0, 5))


# Fields.


def test_macro_f1_and_the_worst_confusions_by_hand() -> None:
    cases = [labelled("card", "card")] * 3 + [labelled("card", "fee")] * 2 + [labelled("fee", "fee")] + [labelled("fee", None)]
    intent = of_field(measured(cases), "intent")
    assert intent.fill == "label"
    assert counts(intent.accuracy) == (4, 7)
    assert intent.f1 is not None
    assert intent.f1.value == pytest.approx((6 / 8 + 2 / 5) / 2)  # of card 3 of 5 + 3; of fee 1 of 2 + 3
    assert [(one.expected, one.said, one.count) for one in intent.confusions] == [("card", "fee", 2)]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from([*LABELS, "no such"])), min_size=1, max_size=60))
def test_macro_f1_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    intent = of_field(measured([labelled(*pair) for pair in pairs]), "intent")
    assert intent.fill == "label"
    assert intent.f1 is not None
    assert intent.f1.value == pytest.approx(f1_score(*zip(*pairs, strict=True), average="macro", zero_division=0))


def test_labels_are_json_values_and_true_is_not_one() -> None:
    flag = Field("flag", "label", {}, labels=(True, 1, None))
    metrics = measured([case({"flag": True}, {"flag": 1}), case({"flag": 1}, {"flag": 1.0}), case({"flag": None}, {})], flag)
    assert counts(metrics.fields[0].accuracy) == (2, 3)
    assert metrics.fields[0].fill == "label"
    assert [(one.expected, one.said) for one in metrics.fields[0].confusions] == [(True, 1)]


def test_copied_values_are_matched_whatever_their_order() -> None:
    rows = [{"what": "tea", "amount": 2}, {"what": "milk", "amount": None}]
    read = [{"what": "milk", "amount": 2.0}, {"what": "jam", "amount": 3}]
    metrics = measured(
        [
            case({"amount": 5, "tags": ["a", "a", "b"], "lines": rows}, {"amount": 5.0, "tags": ["b", "a"], "lines": read}),
            case({"amount": None, "tags": [], "lines": []}, {"amount": 7, "tags": [], "lines": []}),
        ],
        AMOUNT,
        TAGS,
        LINES,
    )
    found = {field.name: field for field in metrics.fields if field.fill == "copy"}
    assert {name: (one.expected, one.said, one.found) for name, one in found.items()} == {
        "amount": (1, 2, 1),
        "tags": (3, 2, 2),
        "lines": (3, 4, 2),
    }
    lines = found["lines"]
    assert lines.f1 and lines.precision and lines.recall
    assert (lines.precision.value, lines.recall.value, lines.f1.value) == pytest.approx((1 / 2, 2 / 3, 4 / 7))
    assert counts(found["amount"].accuracy) == (1, 2)


def test_template_fields_are_nobodys_answer() -> None:
    metrics = measured([case({"intent": "fee"}, {"intent": "fee", "reply": "Dear"})], INTENT, REPLY)
    assert [field.name for field in metrics.fields] == ["intent"]
    assert metrics.whole.share == 1.0


# Confidence.


def test_calibration_error_by_hand() -> None:
    sure = [labelled("card", "card" if n < 15 else "fee", 0.9) for n in range(20)]
    unsure = [labelled("card", "card" if n < 10 else "fee", 0.4, accepted=False) for n in range(20)]
    calibration = measured([*sure, *unsure, labelled("card", None)]).calibration
    assert calibration is not None
    assert [(one.start, one.end, one.confidence, counts(one.right)) for one in calibration.bins] == [
        (0.4, 0.4, pytest.approx(0.4), (10, 20)),
        (0.9, 0.9, pytest.approx(0.9), (15, 20)),
    ]
    assert calibration.error.value == pytest.approx((20 * 0.1 + 20 * 0.15) / 40)
    assert calibration.error.of == 40
    assert calibration.noise == pytest.approx(sqrt(2 / pi) * (sqrt(20 * 0.24) + sqrt(20 * 0.09)) / 40)


def test_bins_hold_about_as_many_and_never_part_equals() -> None:
    calibration = measured([labelled("card", "card", 0.5 if n < 200 else n / 1000) for n in range(1000)]).calibration
    assert calibration is not None
    sizes = [one.right.of for one in calibration.bins]
    assert sum(sizes) == 1000
    assert len(sizes) <= BINS
    assert max(one.right.of for one in calibration.bins if not one.start <= 0.5 <= one.end) <= 1000 // BINS + 1
    assert sum(one.start <= 0.5 <= one.end for one in calibration.bins) == 1


def test_the_curve_and_its_area_by_hand() -> None:
    metrics = measured(
        [
            labelled("card", "card", 0.9),
            labelled("card", "fee", 0.8),
            labelled("card", "card", 0.8),
            labelled("card", "fee", 0.1, accepted=False),
            labelled("card", "card", 1.0, objected=True),  # may never be accepted
            labelled("card", None),
        ]
    )
    curve = metrics.risk_coverage
    assert curve is not None
    assert [(one.confidence, one.coverage, one.risk) for one in curve.points] == [
        (0.9, pytest.approx(1 / 6), 0.0),
        (0.8, pytest.approx(3 / 6), pytest.approx(1 / 3)),
        (0.1, pytest.approx(4 / 6), pytest.approx(2 / 4)),
    ]
    assert curve.area.value == pytest.approx((0 + 1 / 3 + 1 / 3 + 1 / 2) / 4)
    at_level = next(one for one in curve.points if one.confidence == 0.8)
    assert (at_level.coverage, at_level.risk) == (metrics.answered.share, metrics.error.share)


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    curve = measured([labelled("card", "card" if n % 9 else "fee", n / 1000) for n in range(1000)]).risk_coverage
    assert curve is not None
    assert len(curve.points) <= POINTS
    assert (curve.points[0].confidence, curve.points[-1].confidence) == (0.999, 0.0)
    assert curve.points[-1].coverage == 1.0


# Values that stand nowhere.


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        (DAY, "2024-03-11", "due on 11 March 2024"),
        (DAY, "2024-03-11", "due 03/11/2024"),
        (AMOUNT, 1249, "pay 1,249.00 now"),
        (AMOUNT, 1249.5, "1.249,50 EUR"),
        (AMOUNT, 12, "twelve of them"),
        (AMOUNT, 61.5, "(61.50)"),
        (CURRENCY, "GBP", "that was £3"),
        (ORDER, "LF204981", "order lf 204-981"),
        (NAME, "Müller & Söhne GmbH", "MÜLLER &\nSÖHNE  GMBH"),
        (NAME, "ABC", "from ABC"),
        (TAGS, ["red", "blue"], "blue or red"),
        (LINES, [{"what": "tea", "amount": 2}, {"what": "milk", "amount": None}], "Milk\nTea 2,00"),
    ],
)
def test_a_value_is_found_however_it_is_written(field: Field, value: Any, text: str) -> None:
    nothing: Any = [] if isinstance(value, list) else None
    told = case({field.name: nothing}, {field.name: value}, text=text)
    by_the_way = case({field.name: nothing}, {field.name: value}, text="see above", context={"mail": {"subject": [text]}})
    metrics = measured([told, by_the_way], field)
    assert (counts(metrics.error), counts(metrics.hallucinated)) == ((2, 2), (0, 2))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (DAY, "2024-03-12"),
        (DAY, "soon"),
        (AMOUNT, 12),
        (AMOUNT, True),
        (AMOUNT, {"of": 3}),
        (CURRENCY, "GBP"),
        (CURRENCY, "JPY"),
        (ORDER, "LF204982"),
        (NAME, "Meyer"),
        (NAME, "AB"),
        (TAGS, ["blue", "green"]),
        (LINES, [{"what": "tea", "amount": 3}]),
        (LINES, [{"what": "tea", "price": "9.99"}]),
    ],
)
def test_a_value_that_stands_nowhere_is_hallucinated(field: Field, value: Any) -> None:
    text = "Müller, 11 March 2024: LF204981, blue, tea 2,00 €, ABC 1249"
    expected: Any = [] if isinstance(value, list) else None
    doubted = case({field.name: expected}, {field.name: value}, accepted=False, text=text)
    metrics = measured([case({field.name: expected}, {field.name: value}, text=text), doubted], field)
    assert (counts(metrics.hallucinated), counts(metrics.accepted_hallucinated)) == ((2, 2), (1, 1))


def test_what_people_agreed_on_stands_there_whatever_the_search_finds() -> None:
    rows = [{"what": "Tee", "amount": 4}]
    same = case({"day": "2024-03-11", "lines": rows}, {"day": "2024-03-11", "lines": rows}, text="tomorrow, a dozen cups")
    assert counts(measured([same], DAY, LINES).hallucinated) == (0, 1)


# Slices.


def test_cases_are_sliced_by_label_length_and_context() -> None:
    cases = [
        labelled(label, label, text="x" * (n + 1), context={"language": "de" if n % 2 else "en", "id": f"c{n}", "thread": [n]})
        for n, label in enumerate(("card", "fee") * 20)
    ]
    metrics = measured(cases)
    assert [(one.by, one.value, one.cases) for one in metrics.slices] == [
        ("intent", "card", 20),
        ("intent", "fee", 20),
        ("characters", "1 to 10", 10),
        ("characters", "11 to 20", 10),
        ("characters", "21 to 30", 10),
        ("characters", "31 to 40", 10),
        ("language", "de", 20),
        ("language", "en", 20),
    ]
    assert all(counts(one.answered) == (one.cases, one.cases) for one in metrics.slices)
    assert metrics.worst == ()
    assert metrics.slices_sentence.startswith("Of 8 slices none")


def test_texts_of_one_length_are_one_band() -> None:
    metrics = measured([labelled("card", "card", text="same", context={"n": n}) for n in range(3)])
    assert [(one.value, one.cases) for one in metrics.slices if one.by == "characters"] == [("4 to 4", 3)]


def test_the_worst_slice_is_named_with_its_numbers() -> None:
    cases = [labelled("card", "fee" if n < 12 else "card", text="card") for n in range(40)]
    cases += [labelled("fee", "card" if n < 3 else "fee", text="fee!") for n in range(100)]
    metrics = measured(cases)
    (worst,) = metrics.worst
    assert (worst.slice.by, worst.slice.value, counts(worst.rest)) == ("intent", "card", (3, 100))
    assert worst.compared == 2  # all texts are of one length: that slice has no rest
    tail = fisher_exact([[12, 28], [3, 97]], alternative="greater").pvalue
    assert worst.p == pytest.approx(2 * tail)
    assert worst.sentence == (
        "intent card: of 40 answered 12 are wrong, 30.0 % (95 % interval 16.6 % to 46.5 %), elsewhere 3 of 100, 3.0 % "
        "(p < 0.001, corrected for 2 slices)."
    )
    assert metrics.slices_sentence == "1 of 3 slices is significantly worse than the rest."


def test_noise_is_not_named() -> None:
    cases = [labelled(label, "other" if n % 10 == 0 else label) for n in range(200) for label in LABELS]
    assert measured(cases).worst == ()


# Disagreements.


def test_disagreements_name_what_differs_the_surest_mistakes_first() -> None:
    metrics = measured(
        [
            case({"intent": "card", "amount": 3}, {"intent": "card", "amount": 4}, 0.7),
            case({"intent": "card", "amount": 3}, {"intent": "fee", "amount": 3}, 0.8),
            case({"intent": "card", "amount": 3}, {"intent": "fee"}, 0.95, accepted=False),
            case({"intent": "card", "amount": 3}, {"intent": "card", "amount": 3.0}),
            case({"intent": "card", "amount": 3}, None),
        ],
        INTENT,
        AMOUNT,
    )
    assert [asdict(one) for one in metrics.disagreements] == [
        {
            "at": 1,
            "accepted": True,
            "confidence": 0.8,
            "tier": "specialist",
            "expected": {"intent": "card"},
            "said": {"intent": "fee"},
        },
        {"at": 0, "accepted": True, "confidence": 0.7, "tier": "specialist", "expected": {"amount": 3}, "said": {"amount": 4}},
        {
            "at": 2,
            "accepted": False,
            "confidence": 0.95,
            "tier": "specialist",
            "expected": {"intent": "card", "amount": 3},
            "said": {"intent": "fee", "amount": None},
        },
    ]


# Whatever the cases are.

_amounts = st.none() | st.integers(0, 3) | st.floats(0, 3)


@st.composite
def _cases(draw: st.DrawFn) -> tuple[Agreed, Decision]:
    expected = {"intent": draw(st.sampled_from(LABELS)), "amount": draw(_amounts), "tags": draw(st.lists(st.sampled_from("abc")))}
    said = {"intent": draw(st.sampled_from(LABELS)), "amount": draw(_amounts), "tags": draw(st.lists(st.sampled_from("abc")))}
    return case(
        expected,
        draw(st.sampled_from([said, expected, None])),
        draw(st.sampled_from([0.1, 0.5, 0.5001, 0.9]) | st.floats(0, 1)),
        accepted=draw(st.booleans()),
        objected=draw(st.booleans()),
        cost=draw(st.floats(0, 1)),
        text=draw(st.text(min_size=1, max_size=8)),
        context={"language": draw(st.sampled_from(["en", "de", None]))},
    )


def _estimates(metrics: Metrics) -> list[Estimate]:
    copies = [field for field in metrics.fields if field.fill == "copy"]
    found = [one for field in copies for one in (field.f1, field.precision, field.recall)] + [metrics.cost]
    found += [field.f1 for field in metrics.fields if field.fill == "label"]
    found += [metrics.calibration and metrics.calibration.error, metrics.risk_coverage and metrics.risk_coverage.area]
    return [one for one in found if one is not None]


@settings(max_examples=40)
@given(st.lists(_cases(), max_size=40))
def test_intervals_hold_their_figures_and_counts_add_up(cases: list[tuple[Agreed, Decision]]) -> None:
    metrics = measured(cases, INTENT, AMOUNT, TAGS)
    for one in _estimates(metrics):
        assert one.low <= one.value <= one.high
    rates = [one for each in metrics.slices for one in (each.answered, each.error, each.whole)]
    for rate in [metrics.answered, metrics.error, metrics.whole, metrics.hallucinated, *rates]:
        assert rate.share is None or 0 <= rate.low <= rate.share <= rate.high <= 1
    assert metrics.whole.count + len(metrics.disagreements) + metrics.refused.count == len(cases)
    assert metrics.error.of == metrics.answered.count == sum(one.answered.count for one in metrics.tiers)
    assert metrics.error.count == sum(one.accepted for one in metrics.disagreements)
    for by in ("intent", "characters"):
        assert sum(one.cases for one in metrics.slices if one.by == by) == len(cases)
    document = json.dumps(metrics.document(), allow_nan=False)
    assert document == json.dumps(measured(cases, INTENT, AMOUNT, TAGS).document())


@settings(max_examples=30)
@given(st.lists(_cases(), max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_cases_changes_nothing_but_their_positions(cases: list[tuple[Agreed, Decision]], random: Any) -> None:
    places = list(range(len(cases)))
    random.shuffle(places)
    one = measured(cases, INTENT, AMOUNT, TAGS).document()
    other = measured([cases[place] for place in places], INTENT, AMOUNT, TAGS).document()
    for disagreement in other["disagreements"]:
        disagreement["at"] = places[disagreement["at"]]
    key = json.dumps
    assert sorted(map(key, one.pop("disagreements"))) == sorted(map(key, other.pop("disagreements")))
    assert one == other


def test_bootstrap_intervals_are_as_wide_as_theory_says() -> None:
    costs = [0.001 * (n % 20) for n in range(1000)]
    cost = measured([labelled("card", "card", cost=cost) for cost in costs]).cost
    assert cost is not None
    mean, reach = sum(costs) / 1000, 1.96 * stdev(costs) / sqrt(1000)
    assert (cost.value, cost.low, cost.high) == pytest.approx((mean, mean - reach, mean + reach), rel=0.01)


def test_a_resampled_interval_covers_a_skewed_mean_about_as_often_as_it_says() -> None:
    chance = np.random.default_rng(2)
    draws = draw(300)
    covered = 0
    for _ in range(400):
        values = chance.exponential(size=300)
        found = estimate(lambda drawn, values=values: (drawn @ values) / drawn.sum(axis=1), draws, 300)
        assert found is not None
        covered += found.low <= 1 <= found.high
    assert 0.91 <= covered / 400 <= 0.98


def test_of_very_many_cases_fewer_resamples_are_drawn_so_that_memory_stays_bounded() -> None:
    assert (draw(0).shape, draw(300).shape, draw(100_000).shape) == ((2000, 0), (2000, 300), (400, 100_000))
