"""pass@k and the best of k seeds, against all subsets and by simulation."""

from itertools import combinations

import numpy as np
import pytest

from jaxemerge.stats import best_of, pass_at_k


@pytest.mark.parametrize(("n", "c", "k"), [(7, 0, 3), (7, 2, 1), (7, 2, 3), (7, 5, 3), (7, 7, 7), (5, 1, 5)])
def test_it_is_the_share_of_all_sets_that_hold_a_pass(n, c, k):
    sets = list(combinations([1] * c + [0] * (n - c), k))
    found = pass_at_k([n], [c], k)
    assert found.problem.tolist() == pytest.approx([np.mean([max(each) for each in sets])])


def test_it_is_the_product_of_chen_et_al_for_many_samples():
    n, c, k = 200, 3, 100
    expected = 1 - np.prod(1 - k / np.arange(n - c + 1, n + 1))
    assert pass_at_k([n], [c], k).mean.value == pytest.approx(expected, rel=1e-12)


def test_it_is_unbiased_and_the_plug_in_is_not():
    rng = np.random.default_rng(0)
    p, n, k = 0.05, 20, 10
    passes = rng.binomial(n, p, 20_000)
    assert pass_at_k([n] * len(passes), passes, k).problem.mean() == pytest.approx(
        1 - (1 - p) ** k, abs=0.005
    )
    assert np.mean(1 - (1 - passes / n) ** k) < 1 - (1 - p) ** k - 0.03


def test_the_mean_has_an_interval_over_problems():
    found = pass_at_k([10] * 8, [0, 1, 2, 5, 9, 10, 0, 3], 5).mean
    assert 0 < found.interval.low < found.value < found.interval.high < 1


@pytest.mark.parametrize(
    ("samples", "passes", "k", "message"),
    [
        ([10, 9], [1, 1], 10, "pass@10 needs 10 samples of every problem: one has 9"),
        ([10], [11], 1, "11 passes of 10 samples"),
        ([10], [1.5], 1, "1.5 passes of 10 samples"),
        ([10, 10], [1], 1, r"samples \(2,\) and passes \(1,\)"),
        ([10], [1], 0, "k=0 must be at least 1"),
    ],
)
def test_refuses_too_few_samples_and_nonsense(samples, passes, k, message):
    with pytest.raises(ValueError, match=message):
        pass_at_k(samples, passes, k)


@pytest.mark.parametrize("k", [1, 2, 5, 6])
def test_the_best_of_k_is_the_mean_over_all_sets(k):
    values = [0.3, 0.1, 0.9, 0.5, 0.5, 0.2]
    sets = list(combinations(values, k))
    assert best_of(values, k).value == pytest.approx(np.mean([max(each) for each in sets]))
    least = best_of(values, k, less_is_better=True)
    assert least.value == pytest.approx(np.mean([min(each) for each in sets]))
    assert least.interval.low <= least.value <= least.interval.high


def test_the_best_of_k_covers():
    rng = np.random.default_rng(1)
    hits = []
    for key in range(200):
        ends = best_of(rng.uniform(size=30), 4, resamples=400, key=key).interval
        hits.append(ends.low <= 0.8 <= ends.high)  # the mean of the largest of four
    assert 0.86 <= np.mean(hits) <= 0.99


def test_refuses_more_seeds_than_there_are():
    with pytest.raises(ValueError, match="the best of 4 seeds needs 4 seeds: there are 3"):
        best_of([1, 2, 3], 4)
    with pytest.raises(ValueError, match="must be finite"):
        best_of([1, np.nan, 3], 2)
