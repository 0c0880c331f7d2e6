"""From a reference and a window to what has moved: exact, controlled, and shown as cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from rung.monitor.cases import Cases, restore
from rung.monitor.drift import budget, compare, discover
from rung.monitor.signals import Finding
from rung.statistics.binomial import lower_bound
from rung.statistics.hypergeometric import at_least, chances, two_sided

SIGNALS = ["embedding", "out_of_scope", "length", "language", "label", "confidence", "tier", "calibration"]
KINDS = 12
CENTRES = np.random.default_rng(0).normal(size=(KINDS + 2, 32))


def traffic(chance: np.random.Generator, cases: int, kinds: NDArray[np.int64] | None = None, reviews: int = 60) -> Cases:
    """Cases of `KINDS` kinds, as likely as one another unless `kinds` names them; calibrated, and a share of them reviewed."""
    kinds = chance.integers(0, KINDS, cases) if kinds is None else kinds
    points = CENTRES[kinds] + chance.normal(size=(cases, 32))
    confidences = np.where(chance.random(cases) < 0.05, np.nan, chance.beta(8, 1, cases))
    stated = chance.beta(8, 1, reviews)
    return Cases(
        embeddings=(points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32),
        lengths=chance.poisson(60, cases),
        languages=chance.choice(["en", "de", ""], cases, p=[0.9, 0.09, 0.01]).tolist(),
        labels=[None if np.isnan(sure) else f"kind {kind}" for kind, sure in zip(kinds, confidences, strict=True)],
        confidences=confidences,
        tiers=chance.choice(["static", "encoder", "person"], cases, p=[0.8, 0.15, 0.05]).tolist(),
        stated=stated,
        right=chance.random(reviews) < stated,
    )


def drifted(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {one.signal: one for one in findings if one.drifted}


@pytest.fixture(scope="module")
def reference() -> Cases:
    return traffic(np.random.default_rng(1), 2000, reviews=800)


@pytest.fixture
def window() -> Cases:
    return traffic(np.random.default_rng(2), 500, reviews=150)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n))))
def test_the_chances_of_a_blind_draw_are_the_hypergeometric_ones(drawing: tuple[int, int, int]) -> None:
    population, marked, drawn = drawing
    exact, counts = stats.hypergeom(population, marked, drawn), np.arange(drawn + 1)
    found = chances(population, marked, drawn)
    assert found == pytest.approx(exact.pmf(counts), rel=1e-8, abs=1e-12)


@given(st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=4))
def test_no_count_of_several_blind_draws_is_likelier_than_its_bound(drawings: list[tuple[int, float, float]]) -> None:
    sizes = [(population, round(marked * population), round(drawn * population)) for population, marked, drawn in drawings]
    together, expected = np.ones(1), 0.0
    for population, marked, drawn in sizes:
        together = np.convolve(together, chances(population, marked, drawn))
        expected += drawn * marked / population
    counts = np.arange(len(together))
    bounds = at_least(counts, len(together) - 1, np.full(len(together), expected / max(1, len(together) - 1)))
    assert (together[::-1].cumsum()[::-1] <= bounds + 1e-9).all()


def test_a_tail_far_out_is_exact_too() -> None:
    bound = at_least(np.array([60]), 64, np.array([0.2]))
    assert bound == pytest.approx(stats.binom(64, 0.2).sf(59), rel=1e-7, abs=0)
    assert stats.hypergeom(5000, 1000, 64).sf(59) < bound[0] < 1e-35
    assert two_sided(60, chances(5000, 1000, 64)) < 1e-35


def test_every_signal_that_both_sides_observed_has_a_finding_and_no_other(reference: Cases, window: Cases) -> None:
    assert [one.signal for one in compare(reference, window, 0.05)] == SIGNALS
    bare = Cases(lengths=window.lengths, tiers=window.tiers)
    assert [one.signal for one in compare(reference, bare, 0.05)] == ["length", "tier"]
    assert compare(reference, Cases(), 0.05) == compare(Cases(), window, 0.05) == ()


def test_stable_months_raise_no_more_false_alarms_than_promised() -> None:
    """Overlapping windows, and signals that depend on each other, as in life."""
    months, alarms = 80, 0
    for month in range(months):
        chance = np.random.default_rng(1000 + month)
        past, cases = traffic(chance, 600), traffic(chance, 600)
        alarms += any(drifted(compare(past, part(cases, at, at + 200), budget(30 / 5))) for at in range(0, 500, 100))
    assert lower_bound(alarms, months, 0.999) <= 0.05


def part(cases: Cases, start: int, stop: int) -> Cases:
    return Cases(
        embeddings=cases.embeddings[start:stop],
        lengths=cases.lengths[start:stop],
        languages=cases.languages[start:stop],
        labels=cases.labels[start:stop],
        confidences=cases.confidences[start:stop],
        tiers=cases.tiers[start:stop],
        stated=cases.stated,
        right=cases.right,
    )


def test_no_signals_p_value_is_smaller_than_chance_makes_it() -> None:
    """Where few cases are compared, and the steps of exact tests are coarse."""
    runs, p_values = 400, list[list[float]]()
    for run in range(runs):
        chance = np.random.default_rng(run)
        p_values.append([one.p for one in compare(traffic(chance, 150), traffic(chance, 60, reviews=30), 0.05)])
    for level in (0.01, 0.05, 0.2):
        low = (np.array(p_values) <= level).sum(axis=0).tolist()
        assert len(low) == len(SIGNALS)
        assert all(lower_bound(count, runs, 0.999) <= level for count in low)


def test_a_new_kind_at_five_per_cent_of_a_thousand_cases_is_found_and_shown_as_a_cluster_of_it(reference: Cases) -> None:
    chance = np.random.default_rng(3)
    kinds = chance.integers(0, KINDS, 1000)
    new = chance.choice(1000, 50, replace=False)
    kinds[new] = KINDS
    found = drifted(compare(reference, traffic(chance, 1000, kinds), budget(30 / 40)))
    assert "embedding" in found
    largest = found["embedding"].clusters[0]
    assert len(set(largest.members) & set(new.tolist())) >= max(40, 0.9 * largest.size)
    assert set(largest.examples) <= set(new.tolist()) and len(largest.examples) == 5
    assert largest.reference_share < 0.01 < 0.03 < largest.share


NIGHT = KINDS  # a kind that comes between midnight and six, when a twentieth of all cases come


def of_the_clock(chance: np.random.Generator, hours: NDArray[np.intp]) -> Cases:
    """Traffic at these hours of the day; at night a tenth is of a kind that does not come by day."""
    kinds = np.where((hours < 6) & (chance.random(len(hours)) < 0.1), NIGHT, chance.integers(0, KINDS, len(hours)))
    return Cases(embeddings=traffic(chance, len(hours), kinds).embeddings, hours=hours)


def around_the_clock(chance: np.random.Generator, cases: int) -> NDArray[np.intp]:
    return np.where(chance.random(cases) < 0.05, chance.integers(0, 6, cases), chance.integers(6, 24, cases))


def test_what_comes_every_night_is_not_new_at_night_and_what_never_came_is() -> None:
    chance = np.random.default_rng(7)
    week = of_the_clock(chance, around_the_clock(chance, 20000))
    night = of_the_clock(chance, chance.integers(2, 4, 1000))
    at_night = np.isin(week.hours, night.hours)
    reference = Cases(embeddings=week.embeddings[at_night], hours=week.hours[at_night])
    assert not discover(reference, night, 0.01).drifted
    mixed = replace(week, embeddings=week.embeddings[:6000], hours=week.hours[:6000])
    assert not discover(mixed, night, 0.01).drifted  # nor where the hours' cases lie among others
    assert compare(Cases(embeddings=mixed.embeddings), Cases(embeddings=night.embeddings), 0.01)[0].drifted
    by_day = replace(night, hours=night.hours + 8)
    among_the_days = np.isin(week.hours, by_day.hours)
    found = discover(
        Cases(embeddings=week.embeddings[among_the_days], hours=week.hours[among_the_days]), by_day, budget(0.003) / 2
    )
    assert found.drifted and found.signal == "novelty" and len(found.clusters[0].examples) == 5


def test_at_each_hour_apart_false_discoveries_are_no_more_than_promised() -> None:
    runs, alarms = 150, 0
    for run in range(runs):
        chance = np.random.default_rng([9, run])
        past, here = of_the_clock(chance, around_the_clock(chance, 500)), of_the_clock(chance, chance.integers(4, 8, 150))
        alarms += discover(past, here, 0.05).drifted
    assert lower_bound(alarms, runs, 0.999) <= 0.05


def test_two_new_kinds_are_two_clusters(reference: Cases) -> None:
    chance = np.random.default_rng(4)
    kinds = chance.integers(0, KINDS, 1000)
    kinds[:60], kinds[60:100] = KINDS, KINDS + 1
    first, second, *_ = drifted(compare(reference, traffic(chance, 1000, kinds), 0.001))["embedding"].clusters
    assert {kinds[case] for case in first.examples} == {KINDS}
    assert {kinds[case] for case in second.examples} == {KINDS + 1}


def test_what_moves_alone_is_named_alone(reference: Cases, window: Cases) -> None:
    n = len(window)
    doubts = np.where(np.arange(n) % 5 == 0, 0.3, window.confidences)
    moves = {
        "length": replace(window, lengths=window.lengths + 6),
        "language": replace(window, languages=["fr"] * 25 + list(window.languages[25:])),
        "label": replace(window, labels=["kind 3"] * 80 + list(window.labels[80:])),
        "confidence": replace(window, confidences=doubts),
        "tier": replace(window, tiers=["person"] * 40 + list(window.tiers[40:])),
        "calibration": replace(window, right=window.right & (np.arange(len(window.right)) % 4 > 0)),
    }
    for signal, moving in moves.items():
        found = drifted(compare(reference, moving, 0.001))
        assert set(found) == {signal}
        assert found[signal].p < 1e-4


def test_a_finding_says_what_moved_from_where_to_where_of_how_many(reference: Cases, window: Cases) -> None:
    moving = replace(window, languages=["fr"] * 25 + list(window.languages[25:]))
    found = drifted(compare(reference, moving, 0.001))["language"]
    assert found.sentence == (
        'The share of cases in the language "fr" rose from 0 % to 5.0 % (500 against 2,000 in the reference).'
    )
    assert (found.before, found.after, found.effect, found.n, found.reference_n) == (0.0, 0.05, 0.05, 500, 2000)
    assert found.cases == tuple(range(25))
    assert found.document()["clusters"] and found.document()["drifted"]


def test_of_a_cut_the_side_that_grew_is_told(reference: Cases, window: Cases) -> None:
    longer = drifted(compare(reference, replace(window, lengths=window.lengths + 20), 0.001))["length"]
    assert "longer than" in longer.sentence and longer.effect > 0.3
    shorter = drifted(compare(reference, replace(window, lengths=window.lengths - 20), 0.001))["length"]
    assert "at most" in shorter.sentence and shorter.effect > 0.3


def test_what_disappears_is_found_and_has_no_cases_to_show(reference: Cases, window: Cases) -> None:
    kept = [label for label in window.labels if label != "kind 3"]
    found = drifted(compare(reference, Cases(labels=kept), 0.001))["label"]
    assert '"kind 3" fell' in found.sentence
    assert found.cases == found.clusters == ()


def test_without_embeddings_the_cases_that_moved_are_one_cluster(reference: Cases, window: Cases) -> None:
    moving = Cases(tiers=["person"] * 40 + list(window.tiers[40:]))
    (found,) = compare(reference, moving, 0.001)
    (cluster,) = found.clusters
    assert cluster.members == found.cases and cluster.examples == found.cases[:5]


def test_a_change_of_confidence_alone_is_no_change_of_calibration() -> None:
    chance, alarms = np.random.default_rng(8), 0
    for _ in range(200):
        before, after = chance.beta(8, 1, 1000), chance.beta(3, 1, 200)
        past = Cases(stated=before, right=chance.random(1000) < before)
        alarms += bool(drifted(compare(past, Cases(stated=after, right=chance.random(200) < after), 0.05)))
    assert lower_bound(alarms, 200, 0.999) <= 0.05


def test_a_single_band_of_confidence_is_tested_as_fishers_exact_test_does() -> None:
    past = Cases(stated=np.full(200, 0.9), right=np.arange(200) < 180)
    here = Cases(stated=np.full(50, 0.9), right=np.arange(50) < 38)
    (found,) = compare(past, here, 0.05)
    table = [[38, 12], [180, 20]]
    assert found.p == pytest.approx(2 * stats.fisher_exact(table, "less").pvalue, rel=1e-9)
    assert (found.before, found.after) == (0.9, 0.76)


def test_a_shift_of_many_lengths_is_found_about_as_surely_as_by_kolmogorov_and_smirnov(reference: Cases, window: Cases) -> None:
    moving = replace(window, lengths=window.lengths + 3)
    peer = stats.ks_2samp(reference.lengths, moving.lengths).pvalue
    found = next(one for one in compare(reference, moving, 0.05) if one.signal == "length")
    assert np.log(found.p) < 0.6 * np.log(peer)


def test_equal_texts_are_no_drift_wherever_they_come(reference: Cases) -> None:
    """Neither the order nor the side that equal texts come from may count."""
    same = np.repeat(reference.embeddings[:1], 900, axis=0)
    found = compare(Cases(embeddings=same[:600]), Cases(embeddings=same[600:]), 0.05)
    assert [one.signal for one in found if one.drifted] == []


def test_the_same_cases_give_the_same_findings(reference: Cases, window: Cases) -> None:
    moving = replace(window, labels=["kind 3"] * 80 + list(window.labels[80:]))
    assert compare(reference, moving, 0.05) == compare(reference, moving, 0.05)


@pytest.mark.parametrize("cases", [1, 2, 3])
def test_few_cases_prove_nothing(cases: int) -> None:
    chance = np.random.default_rng(0)
    found = compare(traffic(chance, cases, reviews=1), traffic(chance, cases, reviews=1), 0.05)
    assert found and not drifted(found)


def test_a_reference_is_kept_as_arrays_and_comes_back_the_same(reference: Cases, window: Cases) -> None:
    kept = restore(safetensors.numpy.load(safetensors.numpy.save(reference.arrays())))
    assert compare(kept, window, 0.05) == compare(reference, window, 0.05)
    assert tuple(kept.labels) == tuple(reference.labels)
    assert len(restore(Cases().arrays())) == 0


def test_columns_of_different_lengths_and_embeddings_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="equally long"):
        Cases(lengths=np.ones(3, np.int64), tiers=["a"])
    with pytest.raises(ValueError, match="equally long"):
        Cases(stated=np.ones(3))
    with pytest.raises(ValueError, match="finite"):
        Cases(embeddings=np.full((1, 2), np.nan, np.float32))


def test_a_months_windows_share_five_per_cent_by_the_time_they_took() -> None:
    assert sum(budget(days) for days in (1, 4, 10, 15)) == pytest.approx(0.05)
