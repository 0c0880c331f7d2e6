"""Turns what people settled of a release that breaks its promise into the same release with a higher acceptance level.

The level is the boldest that live evidence supports. Of the random sample of answers, those count that were given since the
stretch began which proved the promise broken: what was good before hides nothing. One that nobody judged counts as wrong. Where
unsure answers were drawn likelier, each is kept with the chance sample / share, by a hash of its number: what is left is a plain
random sample of all answers. At
one level it holds n answers, k of them wrong, and P(Bin(n, error) <= k) is an exact p-value for "the error among what is answered
at this level is above the promise".

Levels are walked from cautious to bold, each at 1 - confidence, up to the first that fails (fixed-sequence testing, as in
`rung.cascade.promise`). They are a grid in log-odds above the present one, and the walk starts where half of the answers are,
or as few as can prove anything: that depends on how sure answers were, and not on whether they were right.

An answer below a higher level goes on to the tiers after the one that gave it, so those are asked about it, and judged by what
people settled. What was left to people before is left to them at every higher level.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from math import ceil, log
from typing import Any

import numpy as np

from rung.cascade import Cascade
from rung.cascade.promise import MOST, Judged, Threshold
from rung.core import Decision, RungError
from rung.evaluation import Agreed, Evidence, GateError, climb, describe, doubts, evaluate, gate, judge
from rung.gold import Example, GoldError, read_gold
from rung.ledger import Drawn, Ledger
from rung.models.encoder import open_encoder
from rung.monitor.standings import counting, standing
from rung.release.frozen import Release, freeze_at, load_workload
from rung.release.opening import close_models, open_release
from rung.release.pointer import current_release, ledger_of, promote
from rung.statistics.binomial import binomial_tail, upper_bound
from rung.workflows.difference import held_out
from rung.workflows.gating import drop_between
from rung.workflows.progress import Progress, silent
from rung.workflows.rehearsal import require_answers
from rung.workflows.waiting import finish
from rung.workload import Promise, Workload

STEPS, FAR = 400, 10.0  # levels tried, and log-odds from the present one to the most cautious
SOURCE = "reviewed live answers"
_AT_ONCE = 500  # records read


class NotTightened(RungError):
    """No promise is broken, or what people settled supports no higher level. Nothing was changed."""

    code = "not_tightened"
    exit_status = 1


@dataclass(frozen=True, slots=True)
class Tightened:
    """`release` answers in the place of `before`, which it is with a higher level than its `level_before`. The threshold speaks
    of the reviews `since` a time (timezone-aware)."""

    release: Release
    before: Release
    level_before: float
    threshold: Threshold
    since: datetime
    sentence: str

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "release": self.release.id,
            "before": self.before.id,
            "level_before": self.level_before,
            "threshold": asdict(self.threshold),
            "since": self.since.isoformat(),
            "sentence": self.sentence,
            "evidence": self.release.evidence,
        }


@dataclass(frozen=True, slots=True)
class _Found:
    """A higher level, the level before, and what the release does there on the test part of the gold."""

    threshold: Threshold
    level_before: float
    evidence: Evidence
    decisions: Sequence[Decision]


def tighten(workload: Workload, by: str, why: str = "", progress: Progress = silent) -> Tightened:
    """Let the release that answers, if it is proven to break its promise, go on at the boldest level that live evidence supports.

    It is judged on the test part of the gold as it is now, and must pass the gate. How far it drops against the one before is
    measured where the file limits that, and refuses nothing: it says the same, and less often, which is what is asked for; how
    much less is for `limits.escalated` to say. Raises `NotTightened`, `GateError`, `GoldError`, `EndpointSilent` where a later
    tier is down, and `PointerMoved` if another release answers by then.
    """
    ledger = ledger_of(workload)
    try:
        before = current_release(workload, ledger)
        frozen = load_workload(before)
        since, proof = _since_the_break(ledger, frozen, before)
        gold = read_gold(workload)
        cases = held_out(gold, before)
        if not cases:
            raise GoldError(workload.gold, [(0, f"has no test case that release {before.id[:12]} was not made from. Add gold.")])
        found = finish(_find(before, ledger, since, cases, progress))
        _gate(found, frozen)
        dropped = frozen.limits.dropped is not None
        drop = drop_between(workload, before, cases, found.decisions, progress) if dropped else None
        sentence = _sentence(before, found, since, frozen.promise)
        about: dict[str, Any] = {
            "parent": before.evidence.get("parent"),
            "gold": before.evidence.get("gold", {}),
            "gate": {"passed": True, "drop": None},
            "tightened": {
                "from": before.id,
                "level_before": found.level_before,
                "since": since[0].at.isoformat(),
                "reviewed": len(since),
                "proof": {"wrong": proof[0], "reviewed": proof[1]},
                "judged_on": gold.digest,
                "drop": drop and drop.document(),
            },
        }
        document = found.evidence.document(frozen.limits.slices) | about
        report = [describe(found.evidence, frozen.name, frozen.volume), "", sentence]
        report += [f"Note: {doubt}" for doubt in doubts(found.evidence, frozen.limits)]
        release = freeze_at(before, found.threshold.level, document, "\n".join(report))
        promote(workload, release, ledger, by, why or sentence, before.id)
        return Tightened(release, before, found.level_before, found.threshold, since[0].at, sentence)
    finally:
        finish(ledger.close())


def supported(seen: Judged, level: float, promise: Promise, reviewed: int) -> Threshold:
    """The boldest level above this one at which live answers keep the promise.

    `seen` is what every tier said of a plain random sample of the answers given at `level`, `reviewed` how many reviews it took.
    Raises `NotTightened`, with about how many further reviews would be needed; also if the present level is supported by now.
    """
    alpha, ladder = 1 - promise.confidence, _ladder(level)
    least = _start(len(seen), promise)
    begin = next((step for step, one in enumerate(ladder) if seen.tally(one)[0] >= least), None)
    if begin is None:
        raise NotTightened(_too_few(seen, promise, reviewed))
    reached: float | None = None
    for one in ladder[begin:]:
        answered, wrong = seen.tally(one)
        if binomial_tail(wrong, answered, promise.error) > alpha:
            break
        reached = one
    if reached is None:
        raise NotTightened(_refusal(seen, ladder, begin, promise, reviewed))
    answered, wrong = seen.tally(reached)
    bound = upper_bound(wrong, answered, promise.confidence)
    if reached == level:
        raise NotTightened(
            f"Nothing is tightened: since the break {wrong:,} of {answered:,} answers were wrong, at most {bound:.2%} with "
            f"{promise.confidence * 100:g}% confidence, and {promise.error * 100:g}% is promised: the present level is supported."
        )
    return Threshold(reached, len(seen), answered, wrong, bound, SOURCE)


def thinned(reviewed: Sequence[Drawn], sample: float) -> list[Drawn]:
    """Those that a draw of every answer with the chance `sample` would have drawn: others were drawn because they were unsure."""
    return [one for one in reviewed if _chance(one.seq) * one.share < sample]


def _chance(seq: int) -> float:
    """A number in [0, 1) that knows nothing of the answer, the same at every look: trying again draws nothing new."""
    return int.from_bytes(sha256(f"thinned {seq}".encode()).digest()[:7]) / 2**56


def _since_the_break(ledger: Ledger, frozen: Workload, release: Release) -> tuple[Sequence[Drawn], tuple[int, int]]:
    """The sample since the stretch began that proved the release's promise broken, and the wrong and all of that stretch."""
    drawn, now = ledger.queue.drawn(frozen.name, release.id), datetime.now(UTC)
    found = standing(drawn, frozen.promise, frozen.review.sample, now)
    if found.proof is None:
        raise NotTightened(f"Nothing is tightened: the promise of release {release.id[:12]} is not broken. {found.sentence}")
    if not frozen.review.sample:
        raise NotTightened(
            "Nothing is tightened: review.sample is 0, so hardly any sure answer was looked at, and nothing is known of them. "
            "Next: set it in the workload file, or rung rollback."
        )
    return counting(drawn[found.began :], now), found.proof


def _gate(found: _Found, frozen: Workload) -> None:
    try:
        gate(found.evidence, frozen.limits)
    except GateError as error:
        now = found.threshold
        raise GateError(
            f"Nothing is tightened: what people settled supports a level of {now.level:.6g} ({now.wrong:,} of {now.answered:,} "
            f"answers wrong, at most {now.bound:.2%}), and with that {error}\nNext: rung rollback, or train on what was settled."
        ) from error


async def _find(release: Release, ledger: Ledger, since: Sequence[Drawn], cases: Sequence[Example], progress: Progress) -> _Found:
    frozen, cascade = open_release(release, open_encoder())
    plain = thinned(since, frozen.review.sample)
    try:
        threshold = supported(await _seen(ledger, frozen, cascade, plain, progress), cascade.level, frozen.promise, len(since))
        agreed = [Agreed(one.case, one.expected) for one in cases]
        with progress("evaluating what will be served", len(agreed)) as advance:
            higher = replace(cascade, level=threshold.level)
            evidence, decisions = await evaluate(frozen, higher, agreed, threshold, advance)
    finally:
        await close_models(cascade)
    return _Found(threshold, cascade.level, evidence, decisions)


async def _seen(ledger: Ledger, frozen: Workload, cascade: Cascade, reviewed: Sequence[Drawn], progress: Progress) -> Judged:
    """What every tier said of the reviewed answers: the one that gave it as it was recorded, those before it nothing that a
    higher level would trust, and those after it as they say now."""
    tiers = [tier.name for tier in cascade.tiers]
    confidence = np.full((len(reviewed), len(tiers)), -1.0)
    right = np.zeros(confidence.shape, np.bool_)
    rows = [row for row, one in enumerate(reviewed) if one.tier != tiers[-1]]
    if rows:
        agreed = _agreed(ledger, [reviewed[row].seq for row in rows], frozen.asked)
        with progress("asking the later tiers", len(rows)) as advance:
            climbed = await climb(cascade, [each.case for each in agreed], advance)
        require_answers(cascade, climbed)
        later = judge(cascade, climbed, agreed)
        confidence[rows], right[rows] = later.confidence, later.right
    for row, one in enumerate(reviewed):
        gave = tiers.index(one.tier)
        confidence[row, :gave] = -1.0
        confidence[row, gave], right[row, gave] = one.confidence, one.wrong is False
        right[row] &= one.wrong is not None
    return Judged(confidence, right)


def _agreed(ledger: Ledger, reviews: Sequence[int], asked: Sequence[str]) -> list[Agreed]:
    """The cases of these reviews with what people settled last; one that was withdrawn meanwhile agrees with no answer."""
    agreed: list[Agreed] = []
    for start in range(0, len(reviews), _AT_ONCE):
        some = reviews[start : start + _AT_ONCE]
        records = ledger.queue.records(some)
        for seq in some:
            verdict = ledger.verdict(records[seq].decision.id)
            answer = {name: verdict.answer.get(name) for name in asked} if verdict else {"": "withdrawn"}
            agreed.append(Agreed(records[seq].case, answer))
    return agreed


def _ladder(level: float) -> list[float]:
    """The levels from cautious to bold, this one last."""
    if level >= 1:
        return [level]
    steps = np.linspace(FAR, 0, STEPS + 1) + log(level / (1 - level))
    return [*(1 / (1 + np.exp(-steps[:-1]))).tolist(), level]


def _start(cases: int, promise: Promise) -> int:
    """How many answers the walk starts with: the fewest of which as many may be wrong as of half of all, and at least as many as
    can prove the promise if none is."""
    alpha, half = 1 - promise.confidence, cases // 2
    allowed = bisect_left(range(half + 1), True, key=lambda wrong: binomial_tail(wrong, half, promise.error) > alpha) - 1
    wrong = max(allowed, 0)
    return wrong + bisect_left(range(wrong, 10 * MOST), True, key=lambda n: binomial_tail(wrong, n, promise.error) <= alpha)


def _too_few(seen: Judged, promise: Promise, reviewed: int) -> str:
    least = ceil(log(1 - promise.confidence) / log(1 - promise.error))
    count = f"{len(seen):,} answers" + ("" if len(seen) == reviewed else f" ({reviewed:,} reviewed, drawn unevenly)")
    further = ceil((least - len(seen)) * max(reviewed, 1) / max(len(seen), 1))
    return (
        f"Nothing is tightened: {count} since the break are too few to support any level. {least:,} would be needed if none was "
        f"wrong, so at least {max(further, 1):,} further reviews. Next: review more and run this again, or rung rollback."
    )


def _refusal(seen: Judged, ladder: Sequence[float], begin: int, promise: Promise, reviewed: int) -> str:
    """Speaks of the level where the walk began, which no look at right and wrong chose; what would be enough is a plan, and looks
    at all."""
    answered, wrong = seen.tally(ladder[begin])
    bound = upper_bound(wrong, answered, promise.confidence)
    said = (
        f"Nothing is tightened: no higher level is supported. Of {len(seen):,} answers reviewed since the break {answered:,} had "
        f"a confidence of at least {ladder[begin]:.6g}, {wrong:,} of them wrong: at most {bound:.2%} with "
        f"{promise.confidence * 100:g}% confidence, and {promise.error * 100:g}% is promised. "
    )
    enough = _enough([seen.tally(one) for one in ladder], len(seen), promise)
    if enough is None:
        return said + "More reviews alone would not be enough. Next: rung rollback, or train on what was settled."
    further = ceil((enough - len(seen)) * reviewed / len(seen))
    said += f"About {further:,} further reviews would be needed at this error. "
    return said + "Next: review more and run this again, or rung rollback."


def _enough(tallies: Sequence[tuple[int, int]], cases: int, promise: Promise) -> int | None:
    """With how many cases like these the walk would probably pass its start; None if `MOST` are too few.

    Planned, as in `rung.cascade.promise`, for an error that assumes half a wrong answer in 1 / promise before any is seen, and
    for a standard deviation more than expected.
    """
    ahead = float(cases)
    while ahead < MOST:
        ahead *= 1.1
        least, scale = _start(int(ahead), promise), ahead / cases
        answered, wrong = next((each for each in tallies if each[0] * scale >= least), tallies[-1])
        error, count = (wrong + 0.5) / (answered + 1 / promise.error), int(answered * scale)
        planned = int(error * count + (error * (1 - error) * count) ** 0.5)
        if binomial_tail(planned, count, promise.error) <= 1 - promise.confidence:
            return ceil(ahead)
    return None


def _sentence(before: Release, found: _Found, since: Sequence[Drawn], promise: Promise) -> str:
    now = found.threshold
    return (
        f"Tightened: release {before.id[:12]} answered from a confidence of {found.level_before:.6g} on, this one from "
        f"{now.level:.6g}. Of {now.cases:,} sampled answers since {since[0].at:%Y-%m-%d %H:%M} UTC {now.answered:,} were that "
        f"sure, {now.wrong:,} of them wrong: at most {now.bound:.2%} with {promise.confidence * 100:g}% confidence, and "
        f"{promise.error * 100:g}% is promised."
    )
