"""Times of breakthrough and the share of seeds still without one."""

import numpy as np
import polars as pl
import pytest

from jaxemerge.analysis import breakthroughs, findings, learning_curves, survival
from jaxemerge.stats import fit_hazard
from synthetic import population_frame


@pytest.fixture(scope="module")
def frame():
    return population_frame(seeds=13, diverged=3)


@pytest.fixture(scope="module")
def test(frame):
    tests = frame.filter(metric="exact_match").select("split", "length").unique()
    return tests.sort("length").row(1, named=True)


def test_times_are_those_of_a_loop_over_seeds(frame, test):
    times = breakthroughs(frame, threshold=0.3, **test)
    assert times.height == 4 * 13
    curves = learning_curves(frame, "exact_match", **test)
    for row in times.rows(named=True):
        seed = curves.filter(cell=row["cell"], init_seed=row["init_seed"], data_seed=row["data_seed"])
        steps, values = seed["step"].to_list(), seed["value"].to_list()
        staying = [step for i, step in enumerate(steps) if all(v >= 0.3 for v in values[i:])]
        assert row["observed"] == bool(staying)
        assert row["step"] == (staying[0] if staying else steps[-1])
    assert 0 < times["observed"].sum() < times.height


def test_the_order_of_rows_does_not_matter(frame, test):
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=3)
    assert breakthroughs(shuffled, **test).equals(breakthroughs(frame, **test))


def test_a_seed_that_diverges_has_not_broken_through(frame, test):
    times = breakthroughs(frame, **test)
    lost = frame.filter("diverged").select("cell", "init_seed", "data_seed").unique()
    assert lost.height == 3
    assert not times.join(lost, on=["cell", "init_seed", "data_seed"], how="semi")["observed"].any()


def test_without_censoring_before_the_end_survival_is_a_share(frame, test):
    times = breakthroughs(frame, **test)
    found = survival(times)
    for (cell,), curve in found.curves.group_by("cell"):
        own = times.filter(cell=cell)
        for step, share, low, high in curve.select("step", "survival", "low", "high").rows():
            without = 1 - own.filter(pl.col("observed"), pl.col("step") <= step).height / 13
            assert share == pytest.approx(without)
            assert low <= share <= high
        assert curve["step"][0] == 0
        assert curve["step"][-1] == own["step"].max()
    assert (
        found.medians["broken"].to_list()
        == times.group_by("cell", maintain_order=True).agg(pl.col("observed").sum())["observed"].to_list()
    )


def times_of(*cells):
    rows = [
        (f"c{i}", f"depth {i}", 2.0**i, s, s, float(step), seen)
        for i, cell in enumerate(cells)
        for s, (step, seen) in enumerate(cell)
    ]
    names = ["cell", "label", "scale", "init_seed", "data_seed", "step", "observed"]
    return pl.DataFrame(rows, schema=names, orient="row")


def test_the_median_is_the_step_by_which_half_broke_through():
    early = [(10, True)] * 2 + [(20, True)] * 3 + [(100, False)] * 2
    late = [(100, False)] * 6 + [(50, True)]
    found = survival(times_of(early, late))
    assert found.medians["median"].to_list() == [20.0, np.inf]
    assert found.medians["broken"].to_list() == [5, 1]
    assert 0 < found.p_value < 0.05
    assert "5 of 7 seeds of depth 0 (half of them by step 20 [" in findings.breakthrough_sentence(found)
    assert "; and 1 of 7 seeds of depth 1 broke through." in findings.breakthrough_sentence(found)


def test_twice_the_scale_multiplies_the_rate():
    rng = np.random.default_rng(1)
    steps = [np.ceil(rng.exponential(40 / 2**i, 300)) for i in range(3)]
    times = times_of(*([(min(t, 60), bool(t < 60)) for t in cell] for cell in steps))
    found = survival(times)
    cox = fit_hazard(times["step"], times["observed"], np.log(times["scale"].to_numpy())).coefficient
    assert found.doubling.value == pytest.approx(2 ** cox.value[0], rel=1e-4)
    assert found.doubling.interval.low == pytest.approx(2 ** cox.interval.low[0], rel=1e-3)
    assert found.doubling.interval.low < 2 < found.doubling.interval.high
    assert "Twice the scale multiplies the rate of breakthroughs by " in findings.breakthrough_sentence(found)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_scales_without_a_ratio_have_no_rate(scale):
    times = times_of([(7, True)], [(9, True)]).with_columns(scale=pl.lit(scale))
    assert survival(times).doubling is None
    assert "Twice the scale" not in findings.breakthrough_sentence(survival(times))


@pytest.mark.parametrize("cells", [[[(7, False)]], [[(7, True)]], [[(7, False)] * 3, [(7, False)] * 2]])
def test_too_little_to_compare_gives_no_p_value(cells):
    found = survival(times_of(*cells))
    assert np.isnan(found.p_value)
    assert "log-rank" not in findings.breakthrough_sentence(found)
    assert found.curves["survival"].is_between(0, 1).all()


def test_refuses_a_threshold_that_failures_reach(frame, test):
    with pytest.raises(ValueError, match=r"threshold=0 must be above failure=0.0"):
        breakthroughs(frame, threshold=0, **test)
