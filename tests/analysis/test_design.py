"""What a number of seeds could not have shown, in the words of a report."""

import polars as pl
from scipy.stats import binom, fisher_exact

from jaxemerge.analysis import final, unseen_sentence
from jaxemerge.report.distribution import histograms
from synthetic import population_frame


def ends(seeds):
    return final(population_frame([(1, 64), (2, 64)], seeds, (30,), (0, 7), diverged=0)).filter(
        pl.col("metric") == "exact_match"
    )


def test_it_is_about_the_number_of_seeds_in_a_cell():
    text = unseen_sentence(ends(16))
    assert "With 16 seeds per cell an outcome of 10% of seeds is missed with probability 0.19" in text
    assert "below 0.40 (Fisher's exact test)" in text
    power = sum(
        binom.pmf(a, 16, 0.3) * binom.pmf(b, 16, 0.7)
        for a in range(17)
        for b in range(17)
        if fisher_exact([[a, 16 - a], [b, 16 - b]]).pvalue <= 0.05
    )
    assert 0.48 < power < 0.52


def test_the_cell_with_the_fewest_seeds_counts():
    few = ends(16).filter((pl.col("depth") == 1) | (pl.col("init_seed") < 5))
    assert unseen_sentence(few).startswith("With 5 seeds per cell")


def test_three_seeds_cannot_tell_rates_apart_and_one_is_no_plural():
    assert unseen_sentence(ends(3)).endswith("cannot tell any two success rates apart.")
    assert unseen_sentence(ends(1)).startswith("With 1 seed per cell an outcome of 10% of seeds is missed")


def test_the_report_says_it_beside_the_shape():
    frame = ends(7)
    assert unseen_sentence(frame) in histograms(frame, "exact_match").words
