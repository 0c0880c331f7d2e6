"""Drift on Banking77: months of traffic with a false alarm, and cases until an intent that never came before is found.

The watch's own `Stream` reads simulated decisions: texts of the set, drawn with replacement (a month has more cases than the
set), answered by a small classifier that learnt from others; a fiftieth is reviewed. By the clock: at three in the afternoon
nineteen times as many cases come as at three at night, every intent has an hour of its own at which its share is up to twenty
times that of twelve hours later, four come from ten at night to six alone and four from nine to five alone. Every day is like
the others.

A month is a week of reference and `LOOKS` looks at random hours, which share the month's 5 %: in production there are as many
as cases come, and each has less. A new intent is held out of everything, and is a twentieth of the cases from a random moment on;
then looks come as in production. Of days that no window would see, none is simulated.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from stage import arguments, interval, read_table, verdict

from rung.core import Case, Decision, Outcome
from rung.ledger import Arrival, Record
from rung.models.encoder import open_encoder
from rung.monitor import stream as streams
from rung.monitor.cases import Cases
from rung.monitor.drift import EVERY, REFERENCE, WINDOW, budget, compare
from rung.monitor.stream import DAY, PAUSE, WEEK, Sight, Stream

GOLD = 3000  # texts that the classifier learns from
ALARMS, NEW, WITHIN = 0.05, 0.05, 1000  # the limits: of months, and the share of traffic found within so many cases
MONTHLY = (10_000, 100_000, 1_000_000)  # cases a month
LOOKS = 6  # in a month of stable traffic
REVIEWED = 0.02
INTENTS, RUNS, DRAWS = 16, 2, 3
BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
SLOT = timedelta(minutes=10)  # in which the mix does not change: it does within an hour
NIGHTLY, OFFICE = 4, 4  # intents that come from ten to six, and from nine to five
STEP = 10  # cases between two of the watch's questions whether it is time for a look


@dataclass(frozen=True)
class Pool:
    """Everything known of every text."""

    texts: Sequence[str]
    embeddings: NDArray[np.float32]
    intents: NDArray[Any]


class Review(NamedTuple):
    """What the stream asks of a reviewed answer."""

    release: str
    confidence: float
    wrong: bool
    at: datetime


@dataclass
class Traffic:
    """A ledger of as much as a `Stream` reads, and what writes into it: so many cases a month of every intent but one."""

    pool: Pool
    monthly: int
    held: str | None
    chance: np.random.Generator
    arrivals: list[Arrival] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    visible: int = 0

    def __post_init__(self) -> None:
        """The classifier is the nearest mean; the texts that it learnt from do not come."""
        pool, old = self.pool, self.chance.permutation(np.flatnonzero(self.pool.intents != self.held))
        gold, rest = old[:GOLD], old[GOLD:]
        self.names = self.chance.permutation(np.unique(pool.intents[gold]))
        means = np.stack([pool.embeddings[gold[pool.intents[gold] == name]].mean(axis=0) for name in self.names])
        scores = 25 * pool.embeddings @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.confidences = (shares.max(axis=1) / shares.sum(axis=1)).astype(np.float64)
        self.labels = self.names[scores.argmax(axis=1)]
        self.of = [rest[pool.intents[rest] == name] for name in self.names]
        self.fresh = list(self.chance.permutation(np.flatnonzero(pool.intents == self.held)))
        self.phases = self.chance.uniform(0, 24, len(self.names))
        self.rows: list[int] = []
        self.queue = self

    def bring(self, since: datetime, until: datetime, new: float = 0.0, most: int = sys.maxsize) -> None:
        """The cases of this time; a share of them of the new intent, of which none comes twice."""
        brought = 0
        while since < until and brought < most:
            clock = (since - BEGIN) % DAY / timedelta(hours=1)
            volume = self.monthly / 30 * (SLOT / DAY) * (1 + 0.9 * np.sin(2 * np.pi * (clock - 9) / 24))
            weights = np.array([len(texts) for texts in self.of]) * np.exp(1.5 * np.cos(2 * np.pi * (clock - self.phases) / 24))
            weights[:NIGHTLY] *= clock < 6 or clock >= 22
            weights[NIGHTLY : NIGHTLY + OFFICE] *= 9 <= clock < 17
            count = min(int(self.chance.poisson(volume)), most - brought)
            intents = self.chance.choice(len(weights), count, p=weights / weights.sum())
            places, moments = self.chance.random((2, count))
            rows = [
                int(self.of[intent][int(place * len(self.of[intent]))]) for intent, place in zip(intents, places, strict=True)
            ]
            for row, moment, fresh in zip(
                rows, np.sort(moments).tolist(), (self.chance.random(count) < new).tolist(), strict=True
            ):
                self._arrive(self.fresh.pop() if fresh and self.fresh else row, since + moment * SLOT)
            since, brought = since + SLOT, brought + count

    def _arrive(self, row: int, at: datetime) -> None:
        self.arrivals.append(Arrival(len(self.rows) + 1, f"{len(self.rows):028x}", at))
        self.rows.append(row)
        if len(self.rows) % round(1 / REVIEWED) == 0:
            wrong = bool(self.labels[row] != self.pool.intents[row])
            self.reviews.append(Review("r", float(self.confidences[row]), wrong, at))

    def arrived(self, workload: str, release: str, since: datetime, after: int, limit: int) -> Sequence[Arrival]:
        return self.arrivals[after : min(after + limit, self.visible)]

    def find_all(self, ids: Sequence[str]) -> Mapping[str, Record]:
        return {id_: self._record(id_) for id_ in ids}

    def reviewed(self, workload: str, since: datetime | None = None) -> Sequence[Review]:
        return [one for one in self.reviews if since is None or one.at >= since]

    def _record(self, id_: str) -> Record:
        row, at = self.rows[int(id_, 16)], self.arrivals[int(id_, 16)].at
        sure, label = float(self.confidences[row]), {"intent": str(self.labels[row])}
        tier = "encoder" if sure >= 0.5 else "person"
        decision = Decision(id_, Outcome.ACCEPTED, label, sure, tier, "r", 0.0, 0.0, ())
        return Record("banking77", Case(self.pool.texts[row], id=id_), decision, at)

    def watch(self, folder: str) -> Stream:
        """A stream that has its reference."""
        places = {text: place for place, text in enumerate(self.pool.texts)}
        workload = SimpleNamespace(name="banking77", fields=[SimpleNamespace(name="intent", fill="label")])
        stream = Stream(
            cast(Any, self),
            cast(Any, workload),
            f"{len(list(Path(folder).iterdir()))}",
            BEGIN,
            lambda texts: self.pool.embeddings[[places[text] for text in texts]],
            Path(folder),
        )
        end = BEGIN + max(WEEK, 30 * DAY * 1.1 * REFERENCE / self.monthly)
        self.bring(BEGIN, end)
        self.see(stream, end)
        assert stream.reference is not None
        return stream

    def see(self, stream: Stream, now: datetime) -> Sight | None:
        """Look at all that came until now."""
        self.visible = len(self.arrivals)
        return stream.look(now)

    @property
    def enough(self) -> timedelta:
        """As long as any window reaches back."""
        return max(1.1 * DAY, 30 * DAY * 2 * WINDOW / self.monthly)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--months", type=int, default=15, help="at each volume")
    given = parser.parse_args()
    rows = read_table(given.data, "banking77")
    if rows is None:
        return
    texts = [text for part in rows for text, _ in part]
    intents = np.array([label for part in rows for _, label in part])
    pool = Pool(texts, open_encoder().embed(texts), intents)
    print(f"{len(texts):,} texts, {len(set(intents.tolist()))} intents; reference {REFERENCE:,}, windows of {WINDOW:,}")
    held = np.random.default_rng(0).choice(np.unique(intents), INTENTS, replace=False).tolist()
    for monthly in MONTHLY:
        find_new(pool, held, monthly)
    compare_tests(pool, held)
    months = given.months * len(MONTHLY)
    alarms = sum(stay_stable(pool, given.months, monthly) for monthly in MONTHLY)
    print(f"together {interval(alarms, months)} of {months} months ", end="")
    print(f"(limit {ALARMS:.0%} {verdict(alarms / months, ALARMS, at_most=True)})")


def stay_stable(pool: Pool, months: int, monthly: int) -> int:
    """In how many months a look rings; and in how many the last cases would, were they compared with those of all hours."""
    alarms, blind, signals, spent, looks = 0, 0, list[str](), 0.0, 0
    streams.PAUSE = DAY  # no look but those that are meant
    for month in range(months):
        chance = np.random.default_rng([1, month, monthly])
        with TemporaryDirectory() as folder:
            traffic = Traffic(pool, monthly, None, chance)
            stream = traffic.watch(folder)
            past, closed, drifted, rang = cast(Cases, stream.reference), traffic.arrivals[-1].at, set[str](), False
            for at in closed + 30 * DAY * np.arange(1, LOOKS + 1) / LOOKS - DAY * chance.random(LOOKS):
                traffic.bring(at - min(traffic.enough, at - traffic.arrivals[-1].at), at)
                began = time.process_time()
                sight = traffic.see(stream, at)
                spent, looks = spent + time.process_time() - began, looks + 1
                assert sight is not None and len(sight.decisions) == 2 * WINDOW
                drifted |= {one.signal for one in sight.findings if one.drifted}
                last = pool.embeddings[[traffic.rows[int(id_, 16)] for id_ in sight.decisions[-WINDOW:]]]
                level = budget((at - closed) / DAY) / 2
                rang |= compare(Cases(embeddings=past.embeddings), Cases(embeddings=last), 0.0)[0].p <= level
                closed = at
        alarms, blind, signals = alarms + bool(drifted), blind + rang, signals + sorted(drifted)
        progress(f"{month + 1} months, {alarms} with a false alarm")
    print(f"{monthly:,} cases a month: stable months with a false alarm {interval(alarms, months)} of {months}, ", end="")
    print(f"{LOOKS} looks each, by {signals or 'no signal'}; {spent / looks:.2f} s of a processor a look;", end="")
    print(f" were the last {WINDOW:,} compared with the reference's cases of all hours {interval(blind, months)}")
    return alarms


def find_new(pool: Pool, held: list[str], monthly: int) -> None:
    """From a random moment on a twentieth of the cases is of the new intent."""
    streams.PAUSE = PAUSE
    times, by, shown = list[float](), list[str](), list[tuple[float, float]]()
    slowest: dict[str, float] = {}
    for at, intent in enumerate(held):
        with TemporaryDirectory() as folder:
            traffic = Traffic(pool, monthly, intent, np.random.default_rng([2, at, monthly]))
            stream = traffic.watch(folder)
            for _ in range(RUNS):
                cases, sight = begin_new(traffic, stream)
                times.append(cases)
                slowest[intent] = max(slowest.get(intent, 0.0), cases)
                if sight is not None:
                    first = next(one for one in sight.findings[::-1] if one.drifted)
                    by.append(first.signal)
                    shown += describe_cluster(pool, traffic, sight, intent)
        progress(f"{monthly:,} a month: {len(times)} runs, {sum(cases <= WITHIN for cases in times)} found")
    within = sum(cases <= WITHIN for cases in times)
    median, most = np.quantile(times, [0.5, 0.9], method="higher")
    print(
        f"a new intent at {NEW:.0%}, {monthly:,} cases a month: found within {WITHIN:,} cases {interval(within, len(times))}",
        end="",
    )
    print(f" of {len(times)} runs; after {median:,.0f} cases, 90 % after {most:,.0f} (limit {WITHIN:,} ", end="")
    print(f"{verdict(float(most), WITHIN, at_most=True)}); by", ", ".join(f"{name} {by.count(name)}" for name in sorted(set(by))))
    late = sorted(slowest.items(), key=lambda one: -one[1])[:5]
    print("  slowest of its runs:", ", ".join(f"{name} {cases:,.0f}" for name, cases in late))
    recall, purity = np.median(np.array(shown), axis=0)
    print(
        f"  the cluster shown first: {recall:.0%} of the window's cases of the new intent, {purity:.0%} of it are such (medians)"
    )


def begin_new(traffic: Traffic, stream: Stream) -> tuple[float, Sight | None]:
    """How many cases it takes until something has drifted, and what is seen then; infinite where it takes too many."""
    onset = traffic.arrivals[-1].at + traffic.enough + DAY * (2 + traffic.chance.random())
    traffic.bring(onset - traffic.enough, onset)
    traffic.see(stream, onset)  # what came before is looked at; of it nothing is counted
    traffic.bring(onset, onset + 90 * DAY, most=int(traffic.chance.integers(EVERY)))  # and no look waits for the new
    onset, before = traffic.arrivals[-1].at, len(traffic.arrivals)
    traffic.fresh = list(traffic.chance.permutation(np.flatnonzero(traffic.pool.intents == traffic.held)))
    traffic.bring(onset, onset + 90 * DAY, NEW, most=2 * WITHIN)
    for count in range(STEP, 2 * WITHIN + 1, STEP):
        traffic.visible = before + count
        sight = stream.look(traffic.arrivals[before + count - 1].at)
        if sight is not None and any(one.drifted for one in sight.findings):
            return count, sight
    return np.inf, None


def describe_cluster(pool: Pool, traffic: Traffic, sight: Sight, intent: str) -> Iterator[tuple[float, float]]:
    """Of the first cluster of the last cases, the share of their new ones that it holds, and the share of it that is new."""
    new = np.array([pool.intents[traffic.rows[int(id_, 16)]] == intent for id_ in sight.decisions])
    for finding in sight.findings:
        if finding.signal == "novelty" and finding.clusters:
            right = int(new[list(finding.clusters[0].members)].sum())
            yield right / int(new[-WINDOW:].sum()), right / finding.clusters[0].size


def progress(said: str) -> None:
    if sys.stdout.isatty():
        print(f"\r{said} ", end="\r", flush=True)


def compare_tests(pool: Pool, held: list[str]) -> None:
    """One window with a twentieth of a new intent against a reference half as large as usual, at one level for all tests."""
    level, tests = budget(30 / 20) / 7, {"MMD": by_mmd, "linear classifier": by_classifier}
    found: dict[str, list[bool]] = {name: [] for name in ("neighbourhoods", "out of scope", *tests)}
    for intent in held:
        for draw in range(DRAWS):
            chance = np.random.default_rng([3, draw, held.index(intent)])
            new = chance.permutation(np.flatnonzero(pool.intents == intent))[: int(NEW * WINDOW)]
            old = chance.permutation(np.flatnonzero(pool.intents != intent))[: REFERENCE // 2 + WINDOW - len(new)]
            one, other = pool.embeddings[old[: REFERENCE // 2]], pool.embeddings[np.r_[old[REFERENCE // 2 :], new]]
            crowding, distance = compare(Cases(embeddings=one), Cases(embeddings=other), 0.0)
            found["neighbourhoods"].append(crowding.p <= level)
            found["out of scope"].append(distance.p <= level)
            for name, test in tests.items():
                found[name].append(test(one, other, chance) <= level)
    print(f"one window of {WINDOW:,} against {REFERENCE // 2:,}, each test alone at {level:.1g}, found:")
    for name, hits in found.items():
        print(f"  {name:20} {interval(sum(hits), len(hits))} of {len(hits)}")


def by_mmd(one: NDArray[np.float32], other: NDArray[np.float32], chance: np.random.Generator) -> float:
    """Maximum mean discrepancy, Gaussian kernel of the median distance (Gretton et al. 2012); 200 permutations, whose mean and
    spread give a normal p-value: counting could not go as low."""
    both, n = np.concatenate([one, other]), len(other)
    alike = both @ both.T
    kernel = np.exp((alike - 1) / np.median(1 - alike))
    sides = np.zeros((len(both), 201), np.float32)
    sides[len(one) :, 0] = 1
    for at in range(1, 201):
        sides[chance.permutation(len(both))[:n], at] = 1
    weights = sides / n - (1 - sides) / len(one)
    seen = (weights * (kernel @ weights)).sum(axis=0)
    return float(stats.norm.sf((seen[0] - seen[1:].mean()) / seen[1:].std()))


def by_classifier(one: NDArray[np.float32], other: NDArray[np.float32], chance: np.random.Generator) -> float:
    """Ridge regression of the side on one half, its scores on the other half compared (Lopez-Paz, Oquab 2017), both ways."""
    both, side = np.concatenate([one, other]), np.arange(len(one) + len(other)) >= len(one)
    half, p_values = chance.random(len(both)) < 0.5, list[float]()
    for learnt in (half, ~half):
        centred = both[learnt] - both[learnt].mean(axis=0)
        weights = np.where(side[learnt], 0.5 / side[learnt].mean(), 0.5 / (~side[learnt]).mean())
        moments = (centred * weights[:, None]).T @ np.c_[centred, 2.0 * side[learnt] - 1]
        direction = np.linalg.solve(moments[:, :-1] + 20 * np.eye(both.shape[1]), moments[:, -1])
        scores = both[~learnt] @ direction
        p_values.append(stats.mannwhitneyu(scores[side[~learnt]], scores[~side[~learnt]], alternative="greater").pvalue)
    return min(1.0, 2 * min(p_values))


if __name__ == "__main__":
    main()
