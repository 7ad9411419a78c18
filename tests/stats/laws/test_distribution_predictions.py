"""Tests, draws, ranges and held-out scores of the law of distributions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jaxemerge.stats import (
    fit_distribution_law,
    held_out_scores,
    nested_test,
    step_alternative,
    two_sided_range,
)
from jaxemerge.stats.laws.distribution.fitting import settled
from jaxemerge.stats.laws.distribution.held_out import _scored
from jaxemerge.stats.laws.distribution.nested import _between, crossing
from jaxemerge.stats.laws.distribution.prediction import described, log_scores, simultaneous_band
from jaxemerge.stats.laws.distribution.simulation import drawn_counts

DEPTHS, SEEDS, ITEMS = np.array([1.0, 2, 4, 8]), 31, 9


@pytest.fixture(scope="module")
def law():
    """P(success) goes from a tenth to nine tenths; the mean of successes does not move."""
    rng = np.random.default_rng(4)
    design = np.repeat(DEPTHS, SEEDS)
    success = rng.random(len(design)) < np.repeat([0.1, 0.35, 0.65, 0.9], SEEDS)
    good, bad = rng.binomial(ITEMS, rng.beta(6, 3, len(design))), rng.binomial(ITEMS, 0.02, len(design))
    scores = np.where(success, good, bad) / ITEMS
    return fit_distribution_law(scores, ITEMS, design, names=("depth",), bootstraps=20)


@pytest.mark.slow  # compiles the likelihood and its slope
def test_nested_test_sees_what_was_planted(law):
    weights = nested_test(law, {"weights": [0]}, bootstraps=19)
    means = nested_test(law, {"means": [0]}, bootstraps=19)
    assert weights.p_value == 1 / 20
    assert means.p_value > 0.1
    assert weights.statistic > 10.8 > 3.8 > means.statistic  # 0.1 % and 5 % of chi-squared
    assert len(means.simulated) == 19
    assert means.simulated.min() >= 0
    with pytest.raises(ValueError, match="must name slopes that are free"):
        nested_test(law, {})


@pytest.mark.slow  # compiles the likelihood and its slope
def test_smooth_change_against_a_step(law):
    """A step from 0.05 to 0.95 rejects the smooth law; a gradual change does not, and rejects no less."""
    gradual = step_alternative(law, bootstraps=9)
    assert gradual.smooth > 0.1
    rng = np.random.default_rng(8)
    design = np.repeat(DEPTHS, SEEDS)
    success = rng.random(len(design)) < np.repeat([0.03, 0.03, 0.97, 0.97], SEEDS)
    scores = np.where(success, rng.binomial(ITEMS, 0.8, len(design)), 0) / ITEMS
    stepped = step_alternative(fit_distribution_law(scores, ITEMS, design), bootstraps=9)
    assert stepped.cut == 4
    assert stepped.statistic > gradual.statistic
    assert stepped.stepped > 0.1
    with pytest.raises(ValueError, match=r"coordinate=1 must lie in 0..0"):
        step_alternative(law, 1)


@pytest.mark.slow  # the fit of the fixture
def test_step_needs_three_values(law):
    two = replace(law, seen=law.seen._replace(scale=np.repeat([[1.0], [2.0]], 2, axis=0)))
    with pytest.raises(ValueError, match="depth takes 2 values; a step needs at least three"):
        step_alternative(two)


@pytest.mark.slow  # compiles the likelihood and its slope
def test_two_sided_range(law):
    """P(success) is the share at the scales found; the interval holds them."""
    first, last = two_sided_range(law, share=0.2)
    found = law.predict([first.value, last.value]).success.value[:, 0]
    np.testing.assert_allclose(found, [0.2, 0.8], atol=2e-3)
    for end in (first, last):
        assert end.interval.low < end.value < end.interval.high
    for change, message in (
        ({"share": 0.5}, "share=0.5 must lie in"),
        ({"length": 3.0}, "length=3 must be one of 1"),
        ({"at": (1.0, 2.0)}, "must be 1 positive numbers"),
        ({"coordinate": 2}, r"coordinate=2 must lie in 0..0"),
    ):
        with pytest.raises(ValueError, match=message):
            two_sided_range(law, **change)


def test_crossing():
    grid = np.array([1.0, 2, 4])
    assert crossing(grid, np.array([0.0, 0.5, 1]), 0.25) == pytest.approx(np.sqrt(2))
    assert crossing(grid, np.array([0.3, 0.5, 1]), 0.25) == 0
    assert crossing(grid, np.array([0.0, 0.1, 0.2]), 0.25) == np.inf
    ends = _between(np.append(np.arange(1.0, 39), [np.inf, np.inf]), 0.9)
    assert (ends.low, ends.high) == (2, 38)
    assert _between(np.full(9, np.inf), 0.9).low == np.inf


@pytest.mark.slow  # compiles the likelihood and its slope
def test_draws_have_the_predicted_distribution(law):
    """Frequencies of 40 studies of drawn counts, within five standard errors of the probabilities."""
    rng = np.random.default_rng(0)
    problem, theta = law.problem, law.optimum.theta
    theta = theta.copy()
    theta[law.shape.places["ln_sigma"]] = -6  # so that seeds of a cell are independent
    counts, rows = drawn_counts(rng, law.shape, theta, problem.design, np.full(4, 4001))
    table = described(law.shape, theta[None], problem.design, np.zeros((1, 4)), True)[3][0, :, 0]
    assert rows.sum() == 4 * 4001
    for cell in range(4):
        seen = np.bincount(counts[cell, rows[cell] > 0, 0], minlength=ITEMS + 1) / 4001
        assert np.all(np.abs(seen - table[cell]) < 5 * np.sqrt(table[cell] / 4001) + 1e-3)


@pytest.mark.slow  # compiles the likelihood and its slope
def test_scores_are_those_of_the_predicted_table(law):
    """With one test the joint log score is that of the table; CRPS by its definition."""
    theta, design = law.optimum.theta, law.problem.design
    table = described(law.shape, theta[None], design, np.zeros((1, 4)), True)[3][0]
    joint = log_scores(law.shape, theta, design, law.problem.counts)
    seeds = np.arange(0, 4 * SEEDS, 5)
    scored = _scored(law, seeds, joint, table)
    np.testing.assert_allclose(scored.joint, scored.marginal, atol=1e-9)
    share = np.arange(ITEMS + 1) / ITEMS
    row = law.seen.row[seeds]
    for place, seed in enumerate(row):
        p = table[seed // law.seen.counts.shape[1], 0]
        y = law.seen.counts.reshape(-1)[seed] / ITEMS
        pairs = np.abs(share[:, None] - share)
        energy = p @ np.abs(share - y) - p @ pairs @ p / 2  # Gneiting and Raftery (2007), eq. 21
        assert scored.crps[place] == pytest.approx(energy, abs=1e-9)


@pytest.mark.slow  # refits the law for every cell
def test_held_out_cells_are_predicted_better_than_by_pools(law):
    found = held_out_scores(law)
    assert found.names[0] == "law"
    assert len(found.cell) == len(found.scores[0].joint) == 4 * SEEDS
    gain = dict(zip(found.names[1:], found.differences, strict=True))
    assert gain["all cells pooled"][0].interval.low > 0
    assert gain["one component"][0].interval.low > 0
    means = found.means()
    assert gain["nearest cell"][2].value == pytest.approx(means["nearest cell"][2] - means["law"][2])
    assert 0 <= found.pit.min() <= found.pit.max() <= 1
    assert 0.3 < found.pit.mean() < 0.7
    onwards = held_out_scores(law, by="rolling", least=3)
    assert set(onwards.cell) == {3}
    last = held_out_scores(law, by=[3])
    np.testing.assert_array_equal(last.cell, onwards.cell)
    np.testing.assert_allclose(last.scores[0].joint, onwards.scores[0].joint, atol=1e-6)
    for change, message in (
        ({"by": "seed"}, "must be 'cell', 'rolling' or places of cells"),
        ({"by": [3, 4]}, r"by=\[3, 4\] must be different places among \[0, 1, 2, 3\]"),
        ({"by": [1, 2, 3]}, "all but two at most"),
        ({"by": "rolling", "least": 4}, "4 diff"),
    ):
        with pytest.raises(ValueError, match=message):
            held_out_scores(law, **change)


@pytest.mark.slow  # compiles the likelihood and its slope
def test_a_search_that_ended_early_goes_on(law):
    best = law.optimum
    assert settled(law.problem, law.seen.seeds, best) is best
    early = best._replace(theta=best.theta + 0.3 * law.problem.free, log_posterior=best.log_posterior - 5.0)
    assert settled(law.problem, law.seen.seeds, early).log_posterior == pytest.approx(
        best.log_posterior, abs=0.01
    )


def test_simultaneous_band_holds_whole_replicates():
    rng = np.random.default_rng(0)
    replicates = np.cumsum(rng.dirichlet(np.ones(7), (200, 3, 2)), axis=-1)
    low, high = simultaneous_band(replicates, 0.9)
    slack = 1e-9  # sums that are 1 differ by rounding
    inside = (low - slack <= replicates) & (replicates <= high + slack)
    whole = np.all(inside, axis=(-2, -1)).mean(axis=0)
    pointwise = np.quantile(replicates, [0.05, 0.95], axis=0)
    narrow = np.all((pointwise[0] <= replicates) & (replicates <= pointwise[1]), axis=(-2, -1)).mean(axis=0)
    assert np.all(whole >= 0.9)
    assert np.all(whole < 0.97)
    assert np.all(narrow < 0.7)
    assert np.isnan(simultaneous_band(replicates[:0], 0.9)[0]).all()
