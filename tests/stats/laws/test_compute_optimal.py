"""The three approaches and Kaplan's law: planted laws, NumPy, and each other."""

import math

import numpy as np
import pytest

from jaxemerge.stats import (
    PUBLISHED,
    TrainingCurve,
    compare_exponents,
    fit_chinchilla,
    fit_envelope,
    fit_isoflop,
    fit_kaplan,
)

A, B, E, ALPHA, BETA = 400.0, 410.0, 1.7, 0.34, 0.28
SHARE = BETA / (ALPHA + BETA)
BUDGETS = np.geomspace(1e18, 1e21, 5)
TOKENS = np.geomspace(1e8, 1e12, 60)


def law(n, d):
    return E + A * n**-ALPHA + B * d**-BETA


def best(flops):
    return (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (flops / 6) ** SHARE


def profiles(seeds=1, noise=0.0):
    n = np.concatenate([best(c) * np.exp(np.linspace(-1.5, 1.5, 7)) for c in BUDGETS])
    n, c = np.repeat(n, seeds), np.repeat(BUDGETS, 7 * seeds)
    y = law(n, c / (6 * n))
    return n, y * np.exp(noise * np.random.default_rng(0).normal(size=n.size)), c


def curves(sizes=9, seeds=1, noise=0.0):
    rng = np.random.default_rng(0)
    return [
        TrainingCurve(n, TOKENS, law(n, TOKENS) * np.exp(noise * rng.normal()))
        for n in np.repeat(np.geomspace(5e7, 1e10, sizes), seeds)
    ]


@pytest.fixture(scope="module")
def laws():
    n, d = (a.ravel() for a in np.meshgrid(np.geomspace(5e7, 1e10, 7), np.geomspace(1e9, 5e11, 5)))
    return (
        fit_envelope(curves()).law,
        fit_isoflop(*profiles()).law,
        fit_chinchilla(n, d, law(n, d), starts="quick").law,
    )


def test_the_approaches_agree_without_noise(laws):
    for found in laws:
        assert found.a.value == pytest.approx(SHARE, abs=1e-3), found.approach
        assert found.a.value + found.b.value == pytest.approx(1)
        split = found.optimal([1e19, 1e20])
        np.testing.assert_allclose(split.parameters.value, best(np.array([1e19, 1e20])), rtol=0.03)
        np.testing.assert_allclose(6 * split.parameters.value * split.tokens.value, [1e19, 1e20])


def test_comparison_holds_own_and_published(laws):
    rows = compare_exponents(*laws)
    assert [row.approach for row in rows[:3]] == ["envelope", "isoflop", "parametric"]
    assert rows[0].source == "these runs"
    assert len(rows) == 3 + len(PUBLISHED)
    printed = {row.source: row.a.value for row in rows}
    assert printed["Kaplan et al. 2020, eq. 1.7 and table 6"] == 0.73


def test_isoflop_against_polyfit():
    n, y, c = profiles(noise=0.004)
    found = fit_isoflop(n, y, c, bootstraps=200)
    tops = []
    for place, budget in enumerate(BUDGETS):
        p = np.polyfit(np.log(n[c == budget]), y[c == budget], 2)
        tops.append(-p[1] / (2 * p[0]))
        assert found.loss.value[place] == pytest.approx(np.polyval(p, tops[-1]))
        np.testing.assert_allclose(
            found.profile(n[c == budget])[place], np.polyval(p, np.log(n[c == budget]))
        )
    np.testing.assert_allclose(found.parameters.value, np.exp(tops))
    assert found.law.a.value == pytest.approx(np.polyfit(np.log(BUDGETS), tops, 1)[0])
    assert found.law.a.interval.low < SHARE < found.law.a.interval.high
    assert found.law.a.interval.high - found.law.a.interval.low < 0.2


def test_isoflop_joins_budgets_that_are_nearly_equal():
    n, y, c = profiles()
    jitter = c * np.random.default_rng(0).uniform(0.99, 1.01, len(c))
    found = fit_isoflop(n, y, jitter)
    np.testing.assert_allclose(found.budgets, BUDGETS, rtol=0.01)
    assert found.runs.tolist() == np.repeat(range(5), 7).tolist()


def test_isoflop_resamples_seeds():
    n, y, c = profiles(seeds=3)
    exact = fit_isoflop(n, y, c, bootstraps=50)
    assert exact.law.a.interval.high - exact.law.a.interval.low < 1e-9
    n, y, c = profiles(seeds=3, noise=0.004)
    noisy = fit_isoflop(n, y, c, bootstraps=50)
    assert noisy.law.a.interval.high - noisy.law.a.interval.low > 1e-3


def test_envelope_takes_the_best_horizon_and_the_mean_of_seeds():
    worse = [TrainingCurve(c.parameters, TOKENS * 2, np.asarray(c.loss) + 0.3) for c in curves()]
    both, alone = fit_envelope([*curves(), *worse]), fit_envelope(curves())
    early = both.flops < 1e20
    there = np.interp(np.log(both.flops[early]), np.log(alone.flops), np.log(alone.parameters))
    np.testing.assert_allclose(np.log(both.parameters[early]), there, atol=0.02)
    noisy = fit_envelope(curves(seeds=4, noise=0.004), bootstraps=50)
    assert noisy.law.a.interval.low < noisy.law.a.value < noisy.law.a.interval.high
    assert np.all(noisy.loss > E)


def test_envelope_against_a_dense_search():
    found = fit_envelope(curves())
    n = np.geomspace(5e7, 1e10, 4001)
    for flops, size, height in zip(found.flops[::17], found.parameters[::17], found.loss[::17], strict=True):
        losses = law(n, flops / (6 * n))
        assert size == pytest.approx(n[losses.argmin()], rel=0.1)
        assert height == pytest.approx(losses.min(), rel=2e-3)


def test_sizes_are_best_when_the_envelope_says():
    found = fit_envelope(curves())
    assert found.sizes.tolist() == pytest.approx(np.geomspace(5e7, 1e10, 9)[1:-1])
    n = np.geomspace(5e7, 1e10, 4001)
    for flops, size in zip(found.best_at, found.sizes, strict=True):
        assert size == pytest.approx(n[law(n, flops / (6 * n)).argmin()], rel=0.1)
    slope = np.polyfit(np.log(found.sizes), np.log(found.best_at), 1)[0]
    assert found.law.a.value == pytest.approx(1 / slope)


def noisy_curves(rng, sizes, seeds):
    n = np.repeat(np.geomspace(5e7, 1e10, sizes), seeds)
    return [TrainingCurve(m, TOKENS, law(m, TOKENS) * np.exp(0.004 * rng.normal())) for m in n]


def test_envelope_does_not_lean_towards_the_middle():
    found = [fit_envelope(noisy_curves(np.random.default_rng(i), 9, 4)).law.a.value for i in range(100)]
    # Lines of ln N on ln C over the counts whose best size is known are off by eight standard errors.
    assert np.mean(found) == pytest.approx(SHARE, abs=3.5 * np.std(found) / 10)


@pytest.mark.parametrize(("sizes", "seeds"), [(9, 4), (12, 1)])
def test_intervals_of_the_envelope_are_as_wide_as_they_should_be(sizes, seeds):
    drawn = [
        fit_envelope(noisy_curves(np.random.default_rng(i), sizes, seeds), bootstraps=60).law.a
        for i in range(40)
    ]
    spread = np.std([a.value for a in drawn])
    width = np.median([a.interval.high - a.interval.low for a in drawn]) / (3.92 * spread)
    # Where few sizes tell of the scatter, Student's quantile is 1.5 times the normal's.
    assert 0.8 < width < 2
    assert np.mean([a.interval.low < SHARE < a.interval.high for a in drawn]) >= 0.85


def test_four_single_sizes_say_nothing_of_their_scatter():
    found = fit_envelope(noisy_curves(np.random.default_rng(0), 4, 1), bootstraps=5)
    assert np.isfinite(found.law.a.value)
    assert math.isnan(found.law.a.interval.low)


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_of_isoflop_profiles_hold_the_truth(seeds):
    n, _, c = profiles(seeds=seeds)
    hits = []
    for i in range(200):
        y = law(n, c / (6 * n)) * np.exp(0.004 * np.random.default_rng(i).normal(size=n.size))
        a = fit_isoflop(n, y, c, bootstraps=200).law.a
        hits.append(a.interval.low < SHARE < a.interval.high)
    assert 0.91 <= np.mean(hits) <= 0.99


def test_three_sizes_a_budget_leave_no_residual():
    n, y, c = profiles(noise=0.004)
    kept = np.tile([True, False, False] * 2 + [True], 5)
    found = fit_isoflop(n[kept], y[kept], c[kept], bootstraps=5)
    assert np.isfinite(found.law.a.value)
    assert math.isnan(found.law.a.interval.high)


def test_kaplan_recovers_planted_laws():
    n, d = (a.ravel() for a in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 5)))
    both = fit_kaplan(n, d, ((8.8e13 / n) ** (0.076 / 0.095) + 5.4e13 / d) ** 0.095)
    np.testing.assert_allclose(both.values, [8.8e13, 5.4e13, 0.076, 0.095], rtol=1e-5)
    C = 1e20
    sizes = np.geomspace(1e6, 1e12, 100_001)
    losses = both.predict(sizes, C / (6 * sizes)).value
    assert both.law.optimal(C).parameters.value == pytest.approx(sizes[losses.argmin()], rel=1e-3)
    assert both.law.a.value == pytest.approx(0.095 / (0.095 + 0.076))
    size = fit_kaplan(n, d, (8.8e13 / n) ** 0.076, form="parameters", bootstraps=20)
    assert size.N_c.value == pytest.approx(8.8e13)
    assert math.isnan(size.alpha_D.value)
    np.testing.assert_allclose(size.predict(1e7, 1e9).value, (8.8e13 / 1e7) ** 0.076)
    data = fit_kaplan(n, d, (5.4e13 / d) ** 0.095, form="tokens")
    assert data.alpha_D.value == pytest.approx(0.095)
    np.testing.assert_allclose(data.predict(1e7, 1e9).value, (5.4e13 / 1e9) ** 0.095)
    with pytest.raises(ValueError, match="form='tokens' has no optimal split"):
        _ = data.law
    with pytest.raises(ValueError, match="form='all' must be"):
        fit_kaplan(n, d, n, form="all")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n, y, c: (n, -y, c), "loss=-.* in one run"),
        (lambda n, y, c: (n[:7], y[:7], c[:7]), "1 of 1 budgets have a minimum; at least 2 are needed$"),
        (
            lambda n, y, c: (np.where(c > c[0], 1e8, n), y, c),
            r"1 of 5 budgets .* \(5.62e\+18 FLOPs: 1 model size, 3 are needed; ",
        ),
        (lambda n, y, c: (n, 9 - y, c), r"0 of 5 budgets .*1e\+18 FLOPs: no minimum between 1.76e\+07 to "),
    ],
)
def test_isoflop_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        fit_isoflop(*change(*profiles()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda n, y, c: (np.append(n, 1e9), np.append(y, 2.3), np.append(c, 7e22)), "1 model size"),
        (
            lambda n, y, c: (np.append(n, [1e9] * 4), np.append(y, [2.3] * 4), np.append(c, [7e22] * 4)),
            "1 model",
        ),
        (
            lambda n, y, c: (np.append(n, [1e9, 2e9]), np.append(y, [2.3, 2.2]), np.append(c, [7e22] * 2)),
            "2 model",
        ),
        (
            lambda n, y, c: (
                np.append(n, [1e8, 3e8, 1e9]),
                np.append(y, [2.3, 2.5, 2.3]),
                np.append(c, [7e22] * 3),
            ),
            r"no minimum between 1e\+08 to 1e\+09",
        ),
    ],
)
def test_a_budget_that_cannot_be_used_is_skipped_and_named(change, reason):
    profile = profiles()
    with pytest.warns(UserWarning, match=rf"skipped 1 of 6 budgets \(7e\+22 FLOPs: {reason}"):
        found = fit_isoflop(*change(*profile))
    alone = fit_isoflop(*profile)
    assert found.law.a.value == alone.law.a.value
    assert len(found.budgets) == 5
    assert np.all(found.runs[-1:] == -1)
    assert found.skipped[0].startswith("7e+22 FLOPs: ")


def test_isoflop_refuses_arguments_and_warns():
    with pytest.raises(ValueError, match="tolerance=0 must be positive"):
        fit_isoflop(*profiles(), tolerance=0)
    with pytest.raises(ValueError, match="bootstraps=-1 must be"):
        fit_isoflop(*profiles(), bootstraps=-1)
    n, y, c = profiles()
    small = n < np.repeat([best(b) for b in BUDGETS], 7)
    with pytest.warns(UserWarning, match="is outside the .* parameters"):
        fit_isoflop(n[small], y[small], c[small])
    with pytest.warns(UserWarning, match=r"a=-.* is outside \(0, 1\)"):
        fit_isoflop(n[::-1], y[::-1], c)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: [], "curves of 0 runs"),
        (lambda: curves(3), "curves of 3 sizes; 4 or more"),
        (lambda: [*curves(4), TrainingCurve(1e9, [2.0, 1.0], [3.0, 2.0])], "must ascend"),
        (lambda: [*curves(4), TrainingCurve(1e9, [2.0, 3.0], [3.0, np.nan])], "loss is NaN in 1 of 2 runs"),
        (
            lambda: [TrainingCurve(n, [1e9, 2e9], [3, 2]) for n in (1e7, 1e9, 1e11, 1e13)],
            "fewer than two sizes are ever best between their neighbours, from 6e",
        ),
    ],
)
def test_envelope_refuses(made, message):
    with pytest.raises(ValueError, match=message):
        fit_envelope(made())


def test_refuses_flops(laws):
    with pytest.raises(ValueError, match="flops=0 must be positive"):
        laws[0].optimal([1e20, 0])
