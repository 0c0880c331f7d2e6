"""Turns the gold's facts, the method and the commands into the memo's appendices: how far each number may be trusted."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from rung.charts import Block, Bullets, Details, Heading, Mono, Paragraph, Prose, Strong, Table
from rung.evaluation.candidates import Bakeoff
from rung.evaluation.choosing import Choice
from rung.evaluation.comparisons import SIGNIFICANT
from rung.evaluation.money import dollars
from rung.evaluation.phrases import left, needed, percent, share, still
from rung.evaluation.ranking import CLOSE, best
from rung.evaluation.rates import rate
from rung.evaluation.verdicts import MARGIN


def data(bakeoff: Bakeoff, choice: Choice) -> Iterator[Block]:
    """The gold, its parts, and what is doubtful about it."""
    gold = bakeoff.gold
    yield Heading("The data")
    yield Table(
        ("", ""),
        [
            ("gold, SHA-256", (Mono(gold.digest),)),
            ("cases to train on", f"{gold.train:,}"),
            ("cases to calibrate on", f"{gold.calibration:,}"),
            ("cases to test on", f"{gold.test:,}"),
            ("cases with a near-duplicate across a pin", f"{gold.leaked:,}"),
            ("likely label errors", "not looked for" if gold.suspects is None else f"{gold.suspects:,}"),
            ("paid to endpoints for this bake-off", dollars(bakeoff.spent)),
        ],
        "ll",
    )
    shown = choice.taken.candidate if choice.taken else best(bakeoff.candidates)
    if gold.labels and shown is not None:
        whole = {(one.by, one.value): one.whole for one in shown.metrics.slices}
        rows = [
            (f"{field}: {label}", f"{count:,}", f"{seen.of:,}", share(seen))
            for field, counts in sorted(gold.labels.items())
            for label, count in sorted(counts.items(), key=lambda each: (each[1], each[0]))
            for seen in [whole.get((field, label), rate(0, 0))]
        ]
        header = "label", "in gold", "in the test", f"of these right as a whole, {shown.name}"
        yield Details(f"Label coverage: {len(rows):,} labels, the rarest first", [Table(header, rows)])


def method(bakeoff: Bakeoff, choice: Choice) -> Iterator[Block]:
    """Where each test and bound comes from, and what the numbers do not say."""
    yield Heading("How it was done")
    if len(bakeoff.candidates) > 1:
        yield Heading("Choosing among several", 3)
        yield from _choosing(bakeoff, choice)
    yield Heading("The rule and the tests", 3)
    yield Bullets([(Strong(f"{head}."), f" {text}") for head, text in _sources(percent(bakeoff.promise.confidence))])
    yield Heading("What the numbers do not say", 3)
    yield Bullets(
        [
            "Nothing about cases that come from elsewhere than the gold does.",
            "Nothing about what a wrong answer costs: the promise limits how many there are, the money leaves them out.",
            "The figures of the one taken flatter it a little, because it was chosen on the cases that they are counted on.",
            "Each candidate was trained once. Another seed would move its figures; by how much is not measured here.",
        ]
    )


def _choosing(bakeoff: Bakeoff, choice: Choice) -> Iterator[Block]:
    """What the promise is still worth for the one chosen: by the calibration, by the test, and how to have all of it."""
    promise, tried, taken = bakeoff.promise, len(bakeoff.candidates), choice.taken
    held = f"with at least {percent(left(promise, tried))} confidence" if left(promise, tried) else "with no confidence at all"
    yield Paragraph(
        f"{tried:,} candidates were calibrated on the same {bakeoff.gold.calibration:,} cases. The chance that calibration lets "
        f"one through that breaks the promise is at most {percent(1 - promise.confidence)} for each, so at most {tried:,} times "
        f"that for any of them (Bonferroni). The calibration cases therefore prove the promise of whichever is chosen {held}. "
        "Earlier bake-offs and trainings on this calibration split count as well, and are not known here."
    )
    if taken is not None and taken.candidate.metrics.error.of:
        error, bound = taken.candidate.metrics.error, still(taken.candidate.metrics.error, promise, tried)
        yield Paragraph(
            f"The test cases, which no calibration has seen, say of {taken.name}: {error.count:,} of {error.of:,} answers are "
            f"wrong, so at most {100 * bound:.2f} % with {percent(promise.confidence)} confidence whichever of {tried:,} was "
            f"chosen (exact bound, Bonferroni). "
            + (
                "That proves the promise, the choice among these included, if the test cases decided nothing before. Every "
                "earlier gate, evaluation or bake-off on this test split counts as well, as do candidates that were dropped "
                "after one; they are not known here."
                if bound <= promise.error
                else "That is more than was promised: it neither proves the promise nor contradicts it."
            )
        )
    yield Paragraph(
        (
            f"To choose among {tried:,} and have the full confidence from calibration, write ",
            Mono(f"confidence: {needed(promise, tried)}"),
            " under the promise before the next bake-off, which takes more calibration cases; or calibrate the one chosen by "
            "itself on gold that was not there when it was chosen.",
        )
    )


def _sources(confidence: str) -> Iterator[tuple[str, str]]:
    yield (
        "The rule",
        "Of the candidates that keep the promise and every limit, the cheapest a case, counting endpoints, machines of one's own "
        f"and the people who decide what it leaves. Where others cost at most {percent(CLOSE)} more and the cases they answer "
        "rightly cannot be told apart from the cheapest one's (exact McNemar test, Holm-corrected for all pairs, "
        f"{percent(SIGNIFICANT)}), the smallest of these: what needs no endpoint before what needs one, then fewer bytes, then "
        "less machine time. Where people alone are cheaper, none.",
    )
    yield (
        "Right",
        "Every field that gold speaks of agrees with it. Answered: some tier was trusted with the case, so no person sees it.",
    )
    yield (
        "The promise",
        "Each candidate's acceptance level comes from the calibration cases by Learn-then-Test with a fixed sequence "
        "(Angelopoulos, Bates, Candes, Jordan and Lei 2021, arXiv:2110.01052).",
    )
    yield (
        "Intervals",
        f"Of shares: exact, two-sided, 95 % (Clopper and Pearson 1934). “At most”: the exact one-sided bound at {confidence}. Of "
        "F1: percentile bootstrap over cases (Efron and Tibshirani 1993). Of differences, each by itself: Tango's score "
        "interval (Tango 1998). Of money: both ends of the interval of the share that is left to people; prices are taken as "
        "given.",
    )
    yield (
        "Tests",
        "McNemar's exact test on paired cases (McNemar 1947), its p corrected wherever a sentence has it (Holm 1979). Against "
        "the one large baseline, known before any result was, it is corrected for the comparisons with that one. Against what "
        "the results picked, the cheapest or what is right most often, it is corrected for all pairs of candidates, which hold "
        "whatever pair is picked. So the chance that any two candidates are told apart that are alike is at most "
        f"{percent(SIGNIFICANT)}, for each of the two kinds of right. That a linear head loses less than {100 * MARGIN:g} "
        "points: exact non-inferiority test (Hsueh, Liu and Chen 2001; Berger and Boos 1994). The difference that can be found: "
        "Miettinen 1968, Connor 1987. The Pareto front is drawn from the figures without a test.",
    )
    yield (
        "Times",
        "Specialists answer in a process of their own, on the machine of the bake-off, while up to 300 of the test cases arrive "
        "at the rate stated, whether or not earlier ones are answered. To that is added how long endpoints took over a case when "
        "they were asked, up to 32 cases at once, whatever rate is stated. p99: 99 of 100 cases are answered within it.",
    )


def sources(command: str) -> Iterator[Block]:
    """Which command gives each number. `command` is as a shell takes it, and ends with the file."""
    file = shlex.quote(shlex.split(command)[-1])
    rows: list[tuple[Prose, Prose]] = [
        ("this memo", (Mono(command),)),
        ("every number in it, case by case", (Mono(f"{command} --json"),)),
        ("a release's calibration, slices and every disagreement", (Mono(f"rung evaluate {file} --page evaluation.html"),)),
        ("near-duplicates, likely label errors, label coverage", (Mono(f"rung gold check {file}"),)),
    ]
    yield Heading("Where the numbers come from")
    yield Table(("number", "command"), rows, "ll")
