"""Frames of mixtures and of distances hold what the statistics say of each cell's scores."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import wasserstein_distance

from jaxemerge.analysis import distances, final_scores, mixtures, two_sided_scale
from jaxemerge.analysis.mixtures import _corrected
from jaxemerge.stats import fit_mixture, holm, wasserstein_test
from synthetic import population_frame


@pytest.fixture(scope="module")
def frame():
    return population_frame([(1, 64), (2, 64), (4, 64)], 61, (30, 40), (0, 7), diverged=2)


def scores_of(frame, depth, length=30):
    chosen = final_scores(frame).filter(pl.col("depth") == depth, pl.col("length") == length)
    return chosen["value"].to_numpy()


def test_each_row_is_the_fit_to_its_scores(frame):
    table = mixtures(frame).table
    assert table.select("label", "length").rows() == [
        (f"depth {d}", length) for d in (1, 2, 4) for length in (30, 40)
    ]
    row = table.row(4, named=True)
    fit = fit_mixture(scores_of(frame, 4), 121, bootstraps=0)
    assert (row["seeds"], row["diverged"], row["family"]) == (61, 2, "beta_binomial")
    assert row["weights"] == pytest.approx(fit.weights.value.tolist())
    assert (row["two_sided"], row["p_one_mode"]) == (fit.two_sided, fit.p_one_mode)
    assert row["success"] == pytest.approx(fit.success.value)
    assert row["cut"] == fit.cut
    assert row["success_low"] is None
    assert all(sum(r["weights"]) + sum(r["atom_weights"]) == pytest.approx(1) for r in table.rows(named=True))


def test_what_is_two_sided_is_corrected_for_the_number_of_tests(frame):
    """The same cell among many that are not: its p-value is multiplied, and its success share may go."""
    table = mixtures(frame).table
    assert table["p_adjusted"].to_list() == pytest.approx(holm(table["p_one_mode"]))
    clear = table["p_adjusted"] <= 0.05
    assert not (table["two_sided"] & ~clear).any()
    drawn = mixtures(frame).curves.filter(pl.col("cut").is_not_null()).select("cell", "length").n_unique()
    assert drawn == table["two_sided"].sum()
    alone = mixtures(frame.filter(pl.col("depth") == 4, pl.col("length") == 30)).table.row(0, named=True)
    assert alone["p_adjusted"] == alone["p_one_mode"]


def test_among_many_panels_of_one_mode_none_is_called_two_sided():
    """A study of 15 cells and 8 lengths has 120 panels, of which some six have p-values of at most 0.05."""
    rng = np.random.default_rng(0)
    any_called = []
    for _ in range(400):
        p_values = rng.uniform(size=(120, 2))
        said = [
            {"two_sided": p <= 0.05, "bimodal": q <= 0.05, "p_one_mode": p, "p_one_mode_inside": q}
            for p, q in p_values
        ]
        any_called.append(any(row["two_sided"] for row in _corrected(said)))
    assert np.mean(any_called) == pytest.approx(0.05, abs=0.03)


def test_expected_shares_add_up(frame):
    for _, curve in mixtures(frame, bins=10).curves.group_by("cell", "length"):
        inside = curve.filter(pl.col("kind") == "between")
        ends = curve.filter(pl.col("kind") != "between")
        trials = inside.height + 1
        assert ends["expected"].sum() + inside["expected"].sum() * 10 / trials == pytest.approx(1)


def test_without_trials_the_lumps_have_a_density(frame):
    part = frame.filter(pl.col("depth") == 4, pl.col("length") == 30)
    curve = mixtures(part.with_columns(trials=pl.lit(None, pl.Int32)), bins=10).curves
    assert curve.filter(pl.col("kind") == "exactly 0")["expected"].item() == pytest.approx(
        (scores_of(frame, 4) == 0).mean(), abs=1e-5
    )


def test_one_seed_has_a_fit():
    row = mixtures(population_frame([(2, 64)], 1, (30,), (0, 7), diverged=0)).table.row(0, named=True)
    assert (row["seeds"], row["bimodal"], row["coefficient"]) == (1, False, None)


def test_distances_of_all_pairs(frame):
    table = distances(frame, length=30, permutations=99, key=3)
    assert table.select("first", "second").rows() == [
        (f"depth {a}", f"depth {b}") for a in (1, 2, 4) for b in (1, 2, 4)
    ]
    by_pair = {row[:2]: row[2:] for row in table.rows()}
    test = wasserstein_test(scores_of(frame, 1), scores_of(frame, 2), permutations=99, key=3)
    assert by_pair["depth 1", "depth 2"] == by_pair["depth 2", "depth 1"]
    assert by_pair["depth 1", "depth 2"][:2] == pytest.approx((test.statistic, test.p_value))
    both = [by_pair["depth 1", "depth 2"], by_pair["depth 2", "depth 4"]]
    assert [p for *_, p in both] == pytest.approx(holm([p for _, p, _ in both]))
    assert by_pair["depth 1", "depth 4"][1] is by_pair["depth 2", "depth 2"][1] is None
    gaps = np.sort(scores_of(frame, 1)) - np.sort(scores_of(frame, 4))
    assert by_pair["depth 1", "depth 4"][0] == pytest.approx(np.sqrt(np.mean(gaps**2)))
    assert by_pair["depth 1", "depth 4"][0] >= wasserstein_distance(scores_of(frame, 1), scores_of(frame, 4))


def test_scale_of_two_sidedness(frame):
    found = two_sided_scale(frame, length=30)
    shares = [min((scores_of(frame, d) < 0.1).mean(), (scores_of(frame, d) > 0.3).mean()) for d in (1, 2, 4)]
    assert found.strength.tolist() == pytest.approx(shares)
    assert found.scale.tolist() == [1, 2, 4]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: mixtures(f, bins=0), "bins=0 must be at least 1"),
        (lambda f: distances(f), "split=None, length=None: 2 tests of exact_match; choose one of"),
        (lambda f: distances(f, length=30, permutations=0), "permutations=0 must be at least 1"),
    ],
)
def test_refuses(frame, call, message):
    with pytest.raises(ValueError, match=message):
        call(frame)
