"""The bootstrap: keys, parity with scipy, coverage."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from scipy import stats

from jaxemerge.stats import bootstrap, generator, percentile_interval, resample_indices


def mean(values):
    return values.mean(axis=1)


def test_same_key_same_interval_other_key_another():
    scores = np.random.default_rng(3).random(17)
    first, again, other = (bootstrap(scores, mean, key=key, resamples=211) for key in (5, 5, 6))
    assert first == again
    assert first.interval != other.interval
    assert first.value == other.value == scores.mean()


def test_jax_keys_are_keys():
    typed, raw = jax.random.key(7), jax.random.PRNGKey(7)
    draws = [generator(key).random(3).tolist() for key in (typed, raw, jax.random.key(8), 7)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    assert draws[0] != draws[3]
    assert generator(np.int32(7)).random() == generator(7).random()


def test_refuses_what_is_no_key():
    with pytest.raises(ValueError, match="key=-1 must be a non-negative int or a JAX key"):
        generator(-1)
    with pytest.raises(ValueError, match=r"key of shape \(3,\) is a batch of JAX keys"):
        generator(jax.random.split(jax.random.key(0), 3))


def test_is_scipys_percentile_interval_with_students_quantile():
    scores = np.random.default_rng(0).beta(0.4, 0.6, size=41)
    ours = bootstrap(scores, mean, key=1, resamples=20_000)
    theirs = stats.bootstrap(
        (scores,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    by = np.sqrt(41 / 40) * stats.t.ppf(0.975, 40) / stats.norm.ppf(0.975)
    wider = [ours.value + by * (end - ours.value) for end in (theirs.low, theirs.high)]
    # The Monte Carlo error of such a quantile is about 0.02 standard errors of the mean, itself 0.06.
    assert (ours.interval.low, ours.interval.high) == pytest.approx(wider, abs=0.005)


def test_what_no_resample_moves_has_no_interval():
    assert np.isnan(bootstrap([1.0] * 10, mean).interval.low)
    both = bootstrap(np.array([[1.0, 0.2], [1.0, 0.4], [1.0, 0.5]]), mean)
    assert np.isnan(both.interval.high).tolist() == [True, False]


def test_fewer_than_three_seeds_have_no_interval():
    found = bootstrap([0.2, 0.6], mean)
    assert found.value == pytest.approx(0.4)
    assert np.isnan(found.interval.low)


def test_rows_of_a_seed_stay_together():
    """Two columns that add up to 1 in every seed add up to 1 in every resample."""
    left = np.random.default_rng(1).random(13)
    both = np.stack([left, 1 - left], axis=1)
    total = bootstrap(both, lambda v: v.sum(axis=2).mean(axis=1), resamples=53)
    assert total.value == pytest.approx(1, abs=1e-12)
    assert np.isnan(total.interval.low)  # no resample moves it
    each = bootstrap(both, mean, resamples=53)
    assert each.value.shape == each.interval.low.shape == (2,)
    assert (each.interval.low < each.value).all()


def test_seeds_are_drawn_uniformly_with_replacement():
    drawn_RS = resample_indices(5, key=0, resamples=2003)
    assert drawn_RS.shape == (2003, 5)
    assert np.bincount(drawn_RS.ravel(), minlength=5) / drawn_RS.size == pytest.approx([0.2] * 5, abs=0.02)
    assert len(set(drawn_RS[0])) < 5 or len(set(drawn_RS[1])) < 5


@pytest.mark.parametrize("seeds", [3, 5, 16])
def test_covers_the_mean_with_few_seeds(seeds):
    """Percentiles alone cover in about 74, 84 and 91 %."""
    hits = np.zeros((300, 2))
    for number, scores in enumerate(np.random.default_rng(0).normal(0.5, 0.1, size=(300, seeds))):
        interval = bootstrap(scores, mean, key=number, resamples=300).interval
        alone = percentile_interval(scores[resample_indices(seeds, key=number)].mean(axis=1))
        hits[number] = [i.low <= 0.5 <= i.high for i in (interval, alone)]
    ours, percentile = hits.mean(axis=0)
    assert ours == pytest.approx(0.945, abs=0.039)  # three standard errors of 300 data sets
    assert percentile < ours


def test_undefined_replicates_are_dropped():
    assert percentile_interval([np.nan, 2.0, 2.0]).low == 2.0
    nothing = percentile_interval([np.nan, np.nan])
    assert np.isnan(nothing.low)
    assert np.isnan(nothing.high)
    columns = percentile_interval([[1.0, np.nan], [3.0, np.nan], [5.0, 7.0]], 0.5)
    assert columns.low.tolist() == [2.0, 7.0]
    assert columns.high.tolist() == [4.0, 7.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap([], mean), "seeds=0 must be at least 1"),
        (lambda: bootstrap([1.0], mean, resamples=0), "resamples=0 must be at least 1"),
        (lambda: bootstrap([1.0], mean, confidence=95), r"confidence=95 must lie in \(0, 1\)"),
        (lambda: percentile_interval([]), r"replicates of shape \(0,\): at least one replicate is needed"),
        (lambda: percentile_interval([1.0], 1.0), r"confidence=1.0 must lie in \(0, 1\)"),
    ],
)
def test_refuses_what_it_cannot_do(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_stats_needs_neither_polars_nor_altair():
    heavy = "{'polars', 'altair', 'orbax'} & set(sys.modules)"
    code = f"import sys; before = set(sys.modules); import jaxemerge.stats; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
