"""The law of the whole distribution: its likelihood, and whether a fit finds what was planted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logsumexp
from scipy.stats import betabinom, norm

from jaxemerge.stats import fit_distribution_law
from jaxemerge.stats.laws.distribution.fitting import programs
from jaxemerge.stats.laws.distribution.likelihood import Centres, Design, Shape
from jaxemerge.stats.laws.minimise import float64

LENGTHS = np.array([10.0, 20.0, 40.0])
TRIALS = np.array([13, 11, 7])
CELLS = np.array([(d, w) for d in (1, 2, 4) for w in (16, 32, 64)], float)


def draw(rng, seeds, beta=(1.5, 0.6), alpha=(0.2, 0.7), seed_spread=1.2, lengths=LENGTHS, trials=TRIALS):
    """Scores [S, L] of a law in ln scale around the middle cell, and the design [S, 2]."""
    design = np.repeat(CELLS, seeds, axis=0)
    z = np.log(design) - np.log(CELLS).mean(axis=0)
    S, L = len(z), len(lengths)
    t = rng.standard_normal(S)[:, None]
    p = expit((z @ np.array(beta))[:, None] + seed_spread * t - np.linspace(-1, 1, L))
    mean = 0.2 + 0.8 * expit(0.5 + (z @ np.array(alpha))[:, None] - 0.4 * np.log(lengths / lengths.mean()))
    good = rng.binomial(trials, rng.beta(12 * mean, 12 * (1 - mean)))
    bad = rng.binomial(trials, rng.beta(0.4, 7.6, (S, L))) * (rng.random((S, L)) > 0.7)
    return np.where(rng.random((S, L)) < p, good, bad) / trials, design


def by_hand(theta, shape, z_C, z_L, counts):
    """The log-likelihood by sums over fine grids of t and e, in NumPy and SciPy, one seed at a time."""
    of = {name: theta[place] for name, place in shape.places.items()}
    tau = of["tau"][0] + np.append(0, np.cumsum(np.exp(of["ln_tau_step"])))
    spread, sigma = np.exp(of["ln_lambda"][0]), np.exp(of["ln_sigma"][0])
    t = np.linspace(-8, 8, 401)
    log_w = norm.logpdf(t) + np.log(t[1] - t[0])
    total = 0.0
    for z, seeds in zip(z_C, counts, strict=True):
        given_e = np.zeros(len(t))  # the same grid, for e / sigma
        for seed in seeds:
            eta = z * of["weights"][0] + spread * t[:, None] + sigma * t  # [t, e]
            density = np.zeros(eta.shape)
            for place, k in enumerate(seed):
                n = shape.trials[place]
                p = expit(of["ceiling"][0]) * expit(eta - tau[place])
                logit = of["mean"][0] + of["means"][0] * z + of["mean_length"][0] * z_L[place]
                m = shape.threshold + (1 - shape.threshold) * expit(logit)
                s = np.exp(of["ln_precision"][0] + of["precisions"][0] * z)
                one = expit(of["one"][0])
                high = one * (k == n) + (1 - one) * betabinom.pmf(k, n, m * s, (1 - m) * s)
                zero = expit(of["zero"][0] + of["zeros"][0] * z + of["zero_length"][0] * z_L[place])
                m, s = shape.threshold * expit(of["failure_mean"][0]), np.exp(of["ln_failure_precision"][0])
                low = zero * (k == 0) + (1 - zero) * betabinom.pmf(k, n, m * s, (1 - m) * s)
                density += np.log(p * high + (1 - p) * low)
            given_e += logsumexp(density + log_w[:, None], axis=0)
        total += logsumexp(given_e + log_w)
    return total


def test_likelihood_is_the_integral():
    """Quadrature over seeds and cells agrees with fine grids; three nodes around a cell's mode suffice."""
    rng = np.random.default_rng(3)
    shape = Shape(1, 1, 1, 1, 2, (11, 7), 0.2, "logit")
    centre, spread = shape.prior
    counts = np.stack(
        [rng.integers(0, 12, (3, 5)) * (rng.random((3, 5)) > 0.4), rng.integers(0, 8, (3, 5))], -1
    )
    z, z_L = np.array([[-1.1], [0.2], [0.9]]), np.array([-1.0, 1.0])
    theta = centre + 0.5 * spread * rng.standard_normal(len(centre))
    data = (Design(z, z, z, z, z_L), counts, np.ones((3, 5)))
    with float64():
        compiled = programs(shape)
        centres = compiled.centres(theta, *data, Centres(np.zeros(3), np.ones(3)))
        cost, slope = (np.asarray(a) for a in compiled.slope(theta, *data, centres))
        moved = theta + 1e-6 * np.eye(len(theta))[0]
        above = float(compiled.slope(moved, *data, centres)[0])
    penalty = 0.5 * np.sum(((theta - centre) / spread) ** 2)
    assert -cost + penalty == pytest.approx(by_hand(theta, shape, z[:, 0], z_L, counts), abs=2e-3)
    assert slope[0] == pytest.approx((above - cost) / 1e-6, rel=1e-3)


@pytest.fixture(scope="module")
def planted():
    """A fit with few bootstraps to 9 cells of 60 seeds on three tests."""
    scores, design = draw(np.random.default_rng(11), 60)
    return fit_distribution_law(
        scores, TRIALS, design, LENGTHS, names=("depth", "width"), bootstraps=30, key=1
    )


@pytest.mark.slow  # compiles the likelihood and its slope
def test_planted_slopes_are_found(planted):
    """Within two standard deviations of 24 simulated studies, and within the intervals."""
    for found, true, reach in (
        (planted.weight_slopes, (1.5, 0.6), (0.55, 0.35)),
        (planted.mean_slopes, (0.2, 0.7), (0.15, 0.15)),
        (planted.tau, (-1, 0, 1), (0.65, 0.36, 0.31)),
    ):
        assert np.all(np.abs(found.value - true) < reach)
        assert np.all((found.interval.low < true) & (true < found.interval.high))
    assert planted.seed_spread.value == pytest.approx(1.2, abs=0.38)
    assert planted.ceiling.value > 0.9
    assert planted.cell_spread.value < 0.4


@pytest.mark.slow  # compiles the likelihood and its slope
def test_equal_seeds_in_any_order_are_the_same_law(planted):
    """Rows of tests and of seeds are shuffled; tests have other places among the columns."""
    scores, design = draw(np.random.default_rng(11), 60)
    order = np.random.default_rng(0).permutation(len(design))
    again = fit_distribution_law(
        scores[order][:, [2, 0, 1]], TRIALS[[2, 0, 1]], design[order], LENGTHS[[2, 0, 1]]
    )
    assert again.log_likelihood == pytest.approx(planted.log_likelihood, abs=1e-2)
    np.testing.assert_allclose(again.weight_slopes.value, planted.weight_slopes.value, atol=1e-2)
    assert np.isnan(again.weight_slopes.interval.low).all()


@pytest.mark.slow  # compiles the likelihood and its slope
def test_predicted_distribution(planted):
    """Probabilities sum to 1, the band holds them, and they agree with seeds drawn at a new scale."""
    scale = np.array([[3.0, 48.0]])
    found = planted.predict(scale)
    np.testing.assert_allclose(found.probability.sum(axis=-1), 1, atol=1e-9)
    assert found.probability[0, 2, 8:].max() == 0  # this test has 7 items
    inside = (found.low - 1e-9 <= found.cumulative) & (found.cumulative <= found.high + 1e-9)
    assert inside.mean() > 0.95
    z = np.log(scale[0]) - np.log(CELLS).mean(axis=0)
    t = np.linspace(-8, 8, 401)
    p = expit(z @ [1.5, 0.6] + 1.2 * t - np.array([[-1.0], [0], [1]])) @ norm.pdf(t) * (t[1] - t[0])
    np.testing.assert_allclose(found.success.value[0], p, atol=0.06)
    assert np.all((found.success.interval.low[0] < p) & (p < found.success.interval.high[0]))
    assert np.isfinite(found.mean.interval.low).all()


@pytest.mark.slow  # compiles the likelihood and its slope
def test_one_test_and_diverged_seeds():
    """One test needs no lengths and has no shared effect; diverged seeds are a class of their own."""
    scores, design = draw(np.random.default_rng(6), 30)
    one = scores[:, 0].copy()
    one[design[:, 0] == 4] = np.where(np.arange(90) % 3 == 0, np.nan, one[design[:, 0] == 4])
    law = fit_distribution_law(one, 13, design)
    assert law.seed_spread.value < 0.01
    found = law.predict(CELLS)
    assert found.diverged[-1] > 0.2 > 0.05 > found.diverged[0]
    alive = fit_distribution_law(one[~np.isnan(one)], 13, design[~np.isnan(one)])
    assert alive.log_likelihood == pytest.approx(law.log_likelihood, abs=1e-3)


def test_separated_cells_have_finite_slopes():
    """All fail at depth 1 and all succeed at depth 4: the slope is large, finite, and held by its prior."""
    scores = np.repeat([0.0, 0.9], 20)
    law = fit_distribution_law(scores, 10, np.repeat([1.0, 4.0], 20))
    assert 2 < law.weight_slopes.value[0] < 20
    success = law.predict([1.0, 4.0]).success.value[:, 0]
    assert success[0] < 0.1
    assert success[1] > 0.85


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 1.0}, "threshold=1.0 must lie in"),
        ({"link": "probit"}, "link='probit' must be one of logit"),
        ({"lengths": None}, "lengths must be given: the scores have 3 columns"),
        ({"lengths": [1, 1, 2]}, "3 different positive numbers"),
        ({"trials": 10}, "which is not a count out of trials=10"),
        ({"trials": [1, 2]}, "trials of shape"),
        ({"trials": 2.5}, "must be whole numbers"),
        ({"design": np.ones((18, 1))}, "column 0 of design is 1 in every cell"),
        ({"design": np.zeros((18, 1))}, "positive finite"),
        ({"design": np.ones(3)}, "one for each of 18 seeds"),
        ({"scores": np.full((18, 3), np.nan)}, "every seed diverged"),
        ({"scores": np.zeros((18, 3, 1))}, r"must be \[S\] or \[S, columns\]"),
        ({"held": {"tau": (0,)}}, "held='tau' must be one of weights"),
        ({"held": {"means": (2,)}}, "held means of coordinate 2: there are 2"),
        ({"names": ("depth",)}, "one for each of 2 columns"),
        (
            {
                "groups": np.tile(np.indices((3, 3)).reshape(2, -1).T, (2, 1)),
                "design": np.repeat([1.0, 2], 9),
            },
            "runs of a cell share seeds",
        ),
        ({"groups": np.zeros(18)}, r"groups of shape \(18,\) must be \[18, labels\]"),
        ({"interaction": True, "design": np.arange(1.0, 19)}, "interaction=True needs two columns"),
    ],
)
def test_bad_input(change, message):
    scores, design = draw(np.random.default_rng(0), 2)
    given = {"scores": scores, "trials": TRIALS, "design": design, "lengths": LENGTHS} | change
    with pytest.raises(ValueError, match=message):
        fit_distribution_law(**given)


@pytest.mark.slow  # compiles the likelihood and its slope
def test_predict_checks_its_scale(planted):
    with pytest.raises(ValueError, match=r"must be \[G, 2\] positive"):
        planted.predict([3.0])
