"""Mixtures on populations whose make-up is known, against scikit-learn, SciPy and brute force."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.optimize import minimize
from sklearn.mixture import GaussianMixture

from jaxemerge.stats import fit_mixture, success_interval
from jaxemerge.stats.populations.component_families import Beta, BetaBinomial, Gaussian
from jaxemerge.stats.populations.mixture_likelihood import maximise
from jaxemerge.stats.populations.observations import Points, points

N, S = 91, 250


def counts(rng, mean, total, size):
    return rng.binomial(N, rng.beta(mean * total, (1 - mean) * total, size))


def two_sided(rng, share=0.3, size=S):
    high = rng.random(size) < share
    return np.where(high, counts(rng, 0.7, 20, size), counts(rng, 0.1, 20, size)) / N


@pytest.mark.parametrize(
    ("family", "trials"),
    [(BetaBinomial(), 11), (BetaBinomial(), 700), (Beta(), None), (Gaussian(0.4, 0.2), None)],
)
def test_derivatives_are_those_of_the_density(family, trials):
    rng = np.random.default_rng(0)
    x = rng.integers(0, trials + 1, 13).astype(float) if trials else rng.uniform(0.05, 0.95, 13)
    data = points(x, np.full(13, float(trials)) if trials else None)
    theta = rng.normal(size=(2, 3, 2))
    _, slopes = family.log_density(theta, data)
    for j in range(2):
        step = 1e-5 * np.eye(2)[j]
        up, down = (family.log_density(theta + sign * step, data)[0] for sign in (1, -1))
        np.testing.assert_allclose(slopes[:, :, j], (up - down) / 2e-5, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "trials"), [(BetaBinomial(), 41), (Beta(), None), (Gaussian(0.4, 0.2), None)]
)
def test_information_is_roughly_the_mean_square_of_the_derivatives(family, trials):
    """For laws near the normal one, from their own draws."""
    theta = np.array([[[0.3, 3.5], [-0.5, 3.0]]]) if family.name != "gaussian" else np.array([[[0.3, -0.5]]])
    rng = np.random.default_rng(1)
    for c in range(theta.shape[1]):
        n = None if trials is None else np.full(100_000, float(trials))
        x = family.draw(np.broadcast_to(theta[0, c], (100_000, 2)), n, rng)
        data = Points(x[None], None if n is None else n[None], np.ones((1, len(x))))
        _, slopes = family.log_density(theta[:, c : c + 1], data)
        found = family.information(theta[:, c : c + 1], data)
        np.testing.assert_allclose(found, (slopes**2).mean(axis=-1), rtol=0.3)


@pytest.mark.parametrize("trials", [11, 700])
def test_beta_binomial_is_scipys(trials):
    theta = np.random.default_rng(1).normal(size=(1, 3, 2))
    k = np.arange(trials + 1.0)
    family = BetaBinomial()
    found, _ = family.log_density(
        theta, Points(k[None], np.full((1, len(k)), float(trials)), np.ones((1, len(k))))
    )
    for c, (a, b) in enumerate(family.parameters(theta)[0]):
        np.testing.assert_allclose(
            found[0, c], scipy_stats.betabinom.logpmf(k, trials, a, b), rtol=1e-8, atol=1e-9
        )


def test_one_component_is_the_maximum_that_a_simplex_search_finds():
    k = counts(np.random.default_rng(2), 0.4, 9, S)
    found = fit_mixture(k / N, N, components=[1], bootstraps=0)
    best = minimize(
        lambda p: -scipy_stats.betabinom.logpmf(k, N, *np.exp(p)).sum(), [0.0, 0.0], method="Nelder-Mead"
    )
    assert found.log_likelihood == pytest.approx(-best.fun, abs=1e-3)
    np.testing.assert_allclose(found.parameters[0], np.exp(best.x), rtol=0.02)
    assert found.bic[1] == pytest.approx(2 * best.fun + 2 * np.log(S), abs=1e-2)


def test_gaussians_are_scikit_learns():
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(-2, 0.7, 83), rng.normal(3, 1.3, 167)])
    found = fit_mixture(values, components=[2], family="gaussian", bootstraps=0)
    peer = GaussianMixture(2, tol=1e-10, max_iter=2000, n_init=5, random_state=0).fit(values[:, None])
    order = np.argsort(peer.means_[:, 0])
    np.testing.assert_allclose(found.weights.value, peer.weights_[order], atol=2e-3)
    np.testing.assert_allclose(found.means.value, peer.means_[order, 0], atol=5e-3)
    np.testing.assert_allclose(found.parameters[:, 1], np.sqrt(peer.covariances_[order, 0, 0]), rtol=5e-3)
    assert found.log_likelihood == pytest.approx(peer.score(values[:, None]) * S, abs=1e-2)
    assert found.bic[2] == pytest.approx(peer.bic(values[:, None]), abs=2e-2)
    np.testing.assert_allclose(
        found.responsibilities, peer.predict_proba(values[:, None])[:, order], atol=5e-3
    )


def test_two_lumps_with_all_that_is_said_of_them():
    scores = two_sided(np.random.default_rng(4))
    found = fit_mixture(scores, N, components=[1, 2], bootstraps=60)
    assert found.family == "beta_binomial"
    assert (found.converged, found.bimodal, found.two_sided) == (True, True, True)
    np.testing.assert_allclose(found.weights.value, [0.7, 0.3], atol=0.08)
    np.testing.assert_allclose(found.means.value, [0.1, 0.7], atol=0.05)
    assert np.all(found.weights.interval.low < found.weights.value)
    assert np.all(found.weights.value < found.weights.interval.high)
    assert found.bic[2] < found.bic[1]
    assert found.p_values == {1: 1 / 61}
    assert len(found.modes) == 2
    assert found.modes[0] < found.antimodes[0] < found.modes[1]
    assert found.cut == found.antimodes[0]
    assert found.success.value == pytest.approx(found.weights.value[1])
    assert found.success.value == pytest.approx(found.responsibilities[:, 1].mean(), abs=1e-3)
    np.testing.assert_allclose(found.responsibilities.sum(axis=1), 1)
    assert np.all((found.responsibilities[:, 1] > 0.5) == (scores > found.cut))
    assert found.pmf(np.arange(N + 1), N).sum() == pytest.approx(1)
    assert np.trapezoid(found.density(np.linspace(0, 1, 4001)), dx=1 / 4000) == pytest.approx(1, abs=1e-2)


def test_same_key_same_record_other_key_other_intervals():
    scores = two_sided(np.random.default_rng(5), size=61)
    one, again, other = (fit_mixture(scores, N, components=[2], bootstraps=20, key=key) for key in (1, 1, 2))
    np.testing.assert_array_equal(one.weights.interval.low, again.weights.interval.low)
    assert not np.array_equal(one.weights.interval.low, other.weights.interval.low)


def test_order_of_seeds_moves_only_the_responsibilities():
    scores = two_sided(np.random.default_rng(6), size=67)
    order = np.random.default_rng(7).permutation(67)
    one = fit_mixture(scores, N, components=[2], bootstraps=0)
    other = fit_mixture(scores[order], N, components=[2], bootstraps=0)
    np.testing.assert_allclose(one.responsibilities[order], other.responsibilities, atol=1e-9)
    assert one.log_likelihood == pytest.approx(other.log_likelihood)


def test_seeds_and_histogram_give_one_likelihood():
    """Up to 512 items the data are a histogram, beyond it seeds: the same population through both."""
    k = np.round(two_sided(np.random.default_rng(8), size=43) * N)
    histogram, family = points(k, np.full(43, float(N))), BetaBinomial()
    seeds = Points(np.sort(k)[None], np.full((1, 43), float(N)), np.ones((1, 43)))
    assert (histogram.histogram, seeds.histogram) == (True, False)
    logits, theta = np.zeros((1, 2)), np.array([[[-2.0, 2.0], [1.0, 2.0]]])
    one, other = (maximise(family, data, (), logits, theta) for data in (histogram, seeds))
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-6)


def test_zeros_and_one_lump_are_an_atom_and_a_lump():
    rng = np.random.default_rng(9)
    k = np.where(rng.random(S) < 0.4, 0, counts(rng, 0.4, 12, S))
    found = fit_mixture(k / N, N, components=[1, 2], bootstraps=40)
    assert found.atoms == (0.0,)
    assert found.atom_weights.value[0] == pytest.approx(0.4, abs=0.08)
    assert not found.bimodal
    assert found.two_sided
    assert found.success.value == pytest.approx(1 - found.atom_weights.value[0])
    np.testing.assert_allclose(found.responsibilities.sum(1) + found.atom_responsibilities.sum(1), 1)
    assert found.pmf(0, N) >= found.atom_weights.value[0]


def test_inflated_beta():
    rng = np.random.default_rng(10)
    values = np.concatenate([np.zeros(61), np.ones(31), rng.beta(8, 20, 158)])
    found = fit_mixture(values, components=[1, 2], bootstraps=40)
    assert (found.family, found.atoms) == ("beta", (0.0, 1.0))
    np.testing.assert_allclose(found.atom_weights.value, [61 / 250, 31 / 250], atol=1e-3)
    a, b, _, _ = scipy_stats.beta.fit(values[61 + 31 :], floc=0, fscale=1)
    np.testing.assert_allclose(found.parameters[0], [a, b], rtol=0.02)
    assert not found.bimodal


def test_a_wide_test_and_unequal_tests():
    rng = np.random.default_rng(11)
    rate = np.where(rng.random(83) < 0.5, rng.beta(4, 36, 83), rng.beta(30, 10, 83))
    for trials in (np.full(83, 2000), np.where(np.arange(83) % 2, 91, 121)):
        found = fit_mixture(rng.binomial(trials, rate) / trials, trials, components=[1, 2], bootstraps=20)
        np.testing.assert_allclose(found.means.value, [0.1, 0.75], atol=0.06)
        assert found.bimodal


@pytest.mark.parametrize("trials", [None, N])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_all_seeds_on_one_atom(level, trials):
    found = fit_mixture([level] * 19, trials, bootstraps=20)
    assert (found.atoms, found.bic, found.p_values) == ((level,), {0: 0.0}, {})
    assert found.weights.value.shape == (0,)
    assert (found.bimodal, found.two_sided) == (False, False)
    assert found.success.value == level
    assert 0 < found.success.interval.high - found.success.interval.low < 0.2


def test_zeros_and_a_spike():
    """A component of no width stands at the edge of its range, where it must not hold up the weights."""
    found = fit_mixture([0.0] * 5 + [0.5123] * 15, bootstraps=0)
    assert found.weights.value == pytest.approx([0.75], abs=1e-2)
    assert found.converged


def test_ties_are_found_and_climbed_to_the_end():
    """Equal scores push their lump to the narrowest there is; from any start that is where the climb ends."""
    rng = np.random.default_rng(13)
    values = np.concatenate([[0.0] * 2, [0.0413] * 3, rng.beta(3.4, 1.0, 47), [1.0] * 9])
    found = fit_mixture(values, components=[2], bootstraps=0)
    assert found.converged
    np.testing.assert_allclose(found.atom_weights.value, [2 / 61, 9 / 61], atol=1e-5)
    np.testing.assert_allclose(found.weights.value[0], 3 / 61, atol=2e-3)
    assert found.means.value[0] == pytest.approx(0.0413, abs=1e-3)


def two_spikes(rate, ones, others, trials=500, key=0):
    """Seeds at exactly 1, and others that pass this share of the items."""
    return np.concatenate([np.ones(ones), np.random.default_rng(key).binomial(trials, rate, others) / trials])


@pytest.mark.parametrize(
    ("scores", "trials", "share", "low", "high"),
    [
        (two_spikes(0.6, 16, 8), 500, 2 / 3, (0.4, 0.5), (0.8, 0.9)),
        (two_spikes(0.5, 18, 6, 91, key=1), 91, 3 / 4, (0.5, 0.6), (0.85, 0.95)),
        (two_spikes(0.5, 6, 18, 91, key=2), 91, 1 / 4, (0.08, 0.15), (0.4, 0.55)),
        (np.concatenate([two_spikes(0.7, 9, 15, 91), np.zeros(8)]), 91, 0.75, (0.2, 0.6), (0.85, 1)),
    ],
)
def test_an_atom_at_one_is_success(scores, trials, share, low, high):
    found = fit_mixture(scores, trials, (1, 2), bootstraps=40)
    assert found.two_sided
    assert 1.0 in found.atoms
    assert found.success.value == pytest.approx(share, abs=0.02)
    assert low[0] <= found.success.interval.low <= low[1]
    assert high[0] <= found.success.interval.high <= high[1]
    assert found.success.interval.low < found.success.value < found.success.interval.high


@pytest.mark.parametrize(
    "scores",
    [
        np.array([0] * 12 + [1, 3, 8, 9]) / 11,
        np.array([0] * 9 + [1, 1, 2, 4, 5, 7, 10]) / 11,
        np.array([3, 4, 4, 5, 5, 5, 6, 6, 7, 8]) / 11,
        np.array([11] * 9 + [10, 10, 9, 7, 6, 4]) / 11,
    ],
)
def test_without_two_sides_success_is_not_determined(scores):
    found = fit_mixture(scores, 11, bootstraps=40)
    assert not found.two_sided
    assert np.isnan([found.success.value, found.success.interval.low, found.success.interval.high]).all()


@pytest.mark.parametrize(
    "scores",
    [
        [0.8527, 0.8350, 0.8092, 0.9003, 0.6249],
        [0.21, 0.2101, 0.64, 0.6402, 0.9],
        [0.5, 0.51, 0.52, 0.9, 0.91],
        np.random.default_rng(0).beta(20, 5, 10),
    ],
)
def test_few_points_make_no_modes(scores):
    found = fit_mixture(scores, bootstraps=20)
    assert len(found.parameters) <= len(scores) // 3
    assert (found.two_sided, found.bimodal, len(found.modes)) == (False, False, 1)


@pytest.mark.parametrize("far", [80, 91, 50])
@pytest.mark.parametrize("others", [1, 2])
def test_one_or_two_outliers_are_no_side(far, others):
    rng = np.random.default_rng(far)
    k = np.concatenate([counts(rng, 0.1, 20, 111 - others), np.full(others, far)])
    found = fit_mixture(k / N, N, bootstraps=0)
    assert not found.two_sided
    assert all(np.sum(k / N > cut) >= 3 for cut in found.antimodes)


def test_close_pairs_do_not_narrow_a_component():
    """Sixteen scores in eight close pairs: a component is at least an eighth of their spread wide."""
    pairs = np.repeat(np.linspace(0.2, 0.8, 8), 2) + np.tile([-1e-4, 1e-4], 8)
    found = fit_mixture(pairs, bootstraps=0)
    a, b = found.parameters.T
    assert (np.sqrt(0.25 / (a + b)) >= 0.99 * pairs.std() * 2 / 16).all()
    of_items = fit_mixture(np.round(pairs * 10**5) / 10**5, 10**5, bootstraps=0)
    a, b = of_items.parameters.T
    assert (np.sqrt(0.25 / (a + b)) >= 0.9 * pairs.std() * 2 / 16).all()


def test_more_than_one_component_is_not_more_than_one_mode():
    """Flat-topped rates are no beta-binomial, and have one mode."""
    k = np.random.default_rng(3).binomial(500, np.random.default_rng(4).uniform(0.3, 0.8, 400))
    found = fit_mixture(k / 500, 500, (1, 2), bootstraps=30)
    assert found.several_components
    assert (found.two_sided, found.bimodal) == (False, False)
    assert found.p_one_mode > 0.05


def test_the_interval_of_success_holds_the_choices():
    """It is at least Wilson's, and wider where components and cut are not sure."""
    rng = np.random.default_rng(21)
    upper = rng.random(250) < 0.5
    k = np.where(upper, counts(rng, 0.65, 20, 250), counts(rng, 0.25, 20, 250))
    found = fit_mixture(k / N, N, bootstraps=60)
    assert found.two_sided
    wilson = success_interval(found.success.value * 250, 250)
    assert found.success.interval.low <= wilson.low
    assert found.success.interval.high >= wilson.high
    assert found.success.interval.high - found.success.interval.low > 1.2 * (wilson.high - wilson.low)


def test_failures_and_perfection_alone_are_two_sided():
    found = fit_mixture([0.0] * 7 + [1.0] * 13, N, bootstraps=50)
    assert (found.bimodal, found.two_sided) == (False, True)
    assert found.success.value == pytest.approx(0.65)


@pytest.mark.parametrize(("value", "trials"), [(0.5, 10), (0.5, None), (3.25, None)])
def test_one_seed_and_equal_seeds(value, trials):
    for seeds in (1, 9):
        found = fit_mixture([value] * seeds, trials, bootstraps=20)
        assert found.means.value == pytest.approx([value], abs=2e-3)
        assert not found.bimodal
        assert np.isnan(found.means.interval.low).all() == (seeds == 1)


def test_diverged_seeds():
    scores = two_sided(np.random.default_rng(12), size=37)
    with_nan = fit_mixture([np.nan, *scores], N, bootstraps=0)
    assert (with_nan.n, with_nan.diverged) == (38, 1)
    assert with_nan.log_likelihood == fit_mixture([0.0, *scores], N, bootstraps=0).log_likelihood
    unbounded = fit_mixture([np.nan, -2.0, 3.0, 5.0], bootstraps=0)
    assert np.isnan(unbounded.responsibilities[0]).all()
    assert not np.isnan(unbounded.responsibilities[1:]).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": []}, r"shape \(0,\)"),
        ({"values": [0.5, np.inf]}, "1 infinite"),
        ({"values": [np.nan], "family": "gaussian"}, None),
        ({"values": [1.5], "trials": 4}, r"from 1.5 to 1.5 must be scores in \[0, 1\]"),
        ({"values": [0.3], "trials": 4}, "0.3, which is not a count out of trials=4"),
        ({"values": [0.5], "trials": 0}, "at least 1"),
        ({"values": [0.5], "trials": [2, 2]}, r"trials of shape \(2,\)"),
        ({"values": [0.5], "family": "beta_binomial"}, "'beta_binomial' needs trials"),
        ({"values": [0.5], "trials": 2, "family": "beta"}, "'beta' does not take trials"),
        ({"values": [0.5], "family": "poisson"}, "'poisson' must be one of auto"),
        ({"values": [0.5], "components": []}, r"components=\(\)"),
        ({"values": [0.5], "components": [0]}, r"components=\(0,\)"),
        ({"values": [0.5], "bootstraps": -1}, "bootstraps=-1"),
        ({"values": [0.5], "confidence": 95}, "confidence=95"),
        ({"values": [0.5], "depth": 0.0}, "depth=0.0"),
    ],
)
def test_refusals(arguments, message):
    if message is None:
        assert fit_mixture(**arguments, bootstraps=0).diverged == 1
        return
    with pytest.raises(ValueError, match=message):
        fit_mixture(**arguments)


def test_pmf_is_for_counts():
    with pytest.raises(ValueError, match="'gaussian' has a density"):
        fit_mixture([-1.0, 2.0, 7.0], bootstraps=0).pmf(1, 2)


NULLS = {
    "floor": lambda rng: counts(rng, 0.03, 12, S),
    "uniform": lambda rng: rng.integers(0, N + 1, S),
    "zeros and a lump": lambda rng: np.where(rng.random(S) < 0.5, 0, counts(rng, 0.4, 10, S)),
    "tenths": lambda rng: np.round(np.round(rng.beta(3, 4, S) * 10) / 10 * N),
    "fifths": lambda rng: np.round(np.round(rng.beta(2, 2, S) * 5) / 5 * N),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NULLS)
def test_one_lump_is_rarely_called_two(name):
    said = [
        fit_mixture(NULLS[name](np.random.default_rng([i, 1])) / N, N, (1, 2), key=i, bootstraps=40).bimodal
        for i in range(30)
    ]
    assert np.mean(said) <= 0.14  # above the 5 % allowed by twice its error


@pytest.mark.slow
@pytest.mark.parametrize(("share", "least"), [(0.1, 0.4), (0.3, 0.86), (0.5, 0.86), (0.7, 0.86)])
def test_two_components_are_mostly_seen(share, least):
    """A side of a tenth of 250 seeds is seen in some 60 %."""
    said = [
        fit_mixture(two_sided(np.random.default_rng([i, 2]), share), N, (1, 2), key=i, bootstraps=0).bimodal
        for i in range(30)
    ]
    assert np.mean(said) >= least


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5, 10, 16])
def test_few_seeds_of_one_component_are_rarely_two_sided(seeds):
    said = [
        fit_mixture(np.random.default_rng([i, seeds]).beta(20, 5, seeds), key=i, bootstraps=0).two_sided
        for i in range(60)
    ]
    assert np.mean(said) <= 0.05
