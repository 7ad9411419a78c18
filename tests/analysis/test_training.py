"""Learning curves, times of breakthrough and survival curves."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from jaxemerge.analysis import (
    breakthroughs,
    cell_labels,
    curve_quantiles,
    final_scores,
    findings,
    learning_curves,
    read_results,
    representative_curves,
    survival,
)
from jaxemerge.report.training import relapse_sentence
from jaxemerge.stats import fit_hazard
from synthetic import population_frame


def test_one_test_in_order():
    frame = population_frame([(2, 64), (1, 64)], seeds=3, lengths=(30, 40), steps=(0, 7, 11), diverged=0)
    curves = learning_curves(frame.sample(fraction=1, shuffle=True, seed=0), length=40)
    assert curves.select("label", "init_seed", "step").rows() == [
        (label, seed, step) for label in ("depth 1", "depth 2") for seed in range(3) for step in (0, 7, 11)
    ]
    wanted = frame.filter(
        pl.col("metric") == "exact_match",
        pl.col("length") == 40,
        pl.col("depth") == 1,
        pl.col("init_seed") == 2,
    )
    assert curves.filter(pl.col("label") == "depth 1", pl.col("init_seed") == 2)["value"].equals(
        wanted["value"]
    )


def test_a_metric_without_length_needs_no_choice():
    frame = population_frame([(1, 64)], seeds=3, diverged=0)
    assert learning_curves(frame, "train_loss").height == 3 * 8


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            {},
            r"2 tests of exact_match; choose one of \[\('test', 30\), \('test', 40\)\]",
        ),
        ({"length": 50}, "split=None, length=50: 0 tests of exact_match"),
        ({"split": "train", "length": 30}, "split='train', length=30: 0 tests"),
    ],
)
def test_refuses_a_choice_that_is_none(where, message):
    with pytest.raises(ValueError, match=message):
        learning_curves(population_frame([(1, 64)], seeds=2, lengths=(30, 40)), **where)


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_diverged_seeds_are_at_the_worst_value(missing):
    frame = population_frame([(1, 64)], seeds=5, lengths=(30,), diverged=2)
    frame = frame.with_columns(value=pl.when(pl.col("diverged")).then(missing).otherwise("value"))
    scores, losses = (
        learning_curves(frame, metric).filter("diverged")["value"] for metric in ("exact_match", "answer_nll")
    )
    assert set(scores) == {0.0}
    assert set(losses) == {float("inf")}


def test_quantiles_are_seeds_values_and_count_the_diverged():
    frame = population_frame([(1, 64)], seeds=11, lengths=(30,), steps=(0, 7), diverged=2)
    quantiles = curve_quantiles(learning_curves(frame, "train_loss"))
    assert quantiles["seeds"].to_list() == [11, 11]
    last = frame.filter(pl.col("metric") == "train_loss", pl.col("step") == 7)["value"]
    ranked = sorted(last.fill_nan(float("inf")))
    row = quantiles.row(1, named=True)
    assert (row["low"], row["median"]) == (ranked[1], ranked[5])
    assert row["high"] is None  # two of eleven diverged: the 90 % quantile is one of them


def test_few_seeds_are_all_kept():
    curves = learning_curves(population_frame([(1, 64)], seeds=7), length=30)
    assert representative_curves(curves, most=7).equals(curves)


def test_of_many_seeds_the_ranks_are_spread_evenly():
    frame = population_frame([(1, 64), (2, 64)], seeds=101, lengths=(30,), steps=(0, 7), diverged=0)
    curves = learning_curves(frame, "train_loss")
    kept = representative_curves(curves, most=11)
    assert kept.height == 2 * 11 * 2
    for label in ("depth 1", "depth 2"):
        last = curves.filter(pl.col("label") == label, pl.col("step") == 7)["value"]
        some = kept.filter(pl.col("label") == label, pl.col("step") == 7)["value"]
        assert sorted(some) == np.sort(last)[::10].tolist()


@pytest.mark.parametrize("seeds", [61, 97, 250])
def test_never_more_seeds_than_asked_for(seeds):
    curves = learning_curves(population_frame([(1, 64)], seeds, (30,), (0, 7)), length=30)
    assert representative_curves(curves).n_unique(["init_seed"]) == 60


def test_refuses_to_draw_fewer_than_two():
    with pytest.raises(ValueError, match="most=1 must be at least 2"):
        representative_curves(learning_curves(population_frame(seeds=2), length=30), most=1)


@pytest.fixture(scope="module")
def frame():
    return population_frame(seeds=13, diverged=3)


@pytest.fixture(scope="module")
def test(frame):
    tests = frame.filter(metric="exact_match").select("split", "length").unique()
    return tests.sort("length").row(1, named=True)


def test_times_are_those_of_a_loop_over_seeds(frame, test):
    times = breakthroughs(frame, threshold=0.3, in_a_row=2, **test)
    assert times.height == 4 * 13
    curves = learning_curves(frame, "exact_match", **test)
    for row in times.rows(named=True):
        seed = curves.filter(cell=row["cell"], init_seed=row["init_seed"], data_seed=row["data_seed"])
        steps, values = seed["step"].to_list(), seed["value"].to_list()
        above = [v >= 0.3 for v in values]
        first = [i for i in range(1, len(steps)) if above[i - 1] and above[i]]
        assert row["observed"] == bool(first)
        if first:
            assert row["step"] == steps[first[0] - 1]
            assert row["after"] == (steps[first[0] - 2] if first[0] > 1 else 0)
            assert row["relapses"] == sum(a and not b for a, b in pairwise(above[first[0] :]))
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
    times = breakthroughs(frame, in_a_row=1, **test)
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
        (f"c{i}", f"depth {i}", 2.0**i, s, s, float(step), seen, float(step), 0, None, None)
        for i, cell in enumerate(cells)
        for s, (step, seen) in enumerate(cell)
    ]
    schema = dict.fromkeys(["cell", "label", "scale", "init_seed", "data_seed", "step", "observed"])
    schema |= {"after": pl.Float64, "relapses": pl.Int64, "relapse": pl.Float64, "loss": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_relapses_and_losses_are_counted_and_placed():
    times = times_of([(10, True), (20, True), (30, True), (99, False)])
    events = {"relapse": [40.0, None, 50.0, None], "loss": [None, None, 50.0, None]}
    found = survival(times.with_columns(**{name: pl.Series(steps) for name, steps in events.items()}))
    assert found.medians.select("broken", "relapsed", "lost").row(0) == (3, 2, 1)
    assert found.falls.select("event", "step").rows() == [
        ("first relapse", 40.0),
        ("first relapse", 50.0),
        ("ability lost", 50.0),
    ]
    said = relapse_sentence(found)
    assert "Of the 3 seeds that broke through, 2 were below the threshold again" in said
    assert "1 ended there for the last 3 evaluations or more" in said
    assert "No seed of the 3 that broke through" in relapse_sentence(survival(times))


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


FAILED = [("acc", 0.0), ("exact_match", 0.0), ("f1", 0.0), ("loss", np.inf)]


@pytest.mark.parametrize(("metric", "worst"), FAILED)
def test_a_failed_share_is_zero_also_without_trials(metric, worst):
    rows = [
        {"size": size, "seed": seed, "step": step, metric: np.nan if (size, seed) == (2, 1) else 0.2 * step}
        for size in (1, 2)
        for seed in range(3)
        for step in (1, 2, 3)
    ]
    frame = read_results(pl.DataFrame(rows), {"scale": "size", "value": metric})
    curves = learning_curves(frame, metric)
    assert curves.filter("diverged")["value"].to_list() == [worst] * 3
    if metric != "loss":
        assert breakthroughs(frame, metric, 0.3, in_a_row=1)["observed"].sum() == 5


def with_stops(frame, at):
    """The frame with the rows of some seeds repeated from the steps at which rules stopped them."""
    key = ["cell", "init_seed", "split", "length", "metric"]
    stops = pl.DataFrame({"init_seed": list(at), "at": list(at.values())}, schema_overrides={"at": pl.Int64})
    rows = frame.join(stops, on="init_seed", how="left", maintain_order="left")
    held = rows.filter(step=pl.col("at")).select(*key, held="value")
    late = pl.col("step") >= pl.col("at")
    joined = rows.join(held, on=key, how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(
        value=pl.when(late).then("held").otherwise("value"), stopped_at=pl.when(late).then("at")
    ).drop("at", "held")


def test_stopped_seeds_are_censored_where_they_stopped_unless_they_broke_through(test):
    frame = population_frame(seeds=13, diverged=0)
    steps = sorted(frame["step"].unique())
    at = {seed: steps[3 + seed % 4] for seed in range(0, 13, 2)}
    stopped = with_stops(frame, at)
    times = breakthroughs(stopped, threshold=0.3, in_a_row=2, **test)
    short = {
        seed: frame.filter(pl.col("init_seed") == seed, pl.col("step") <= at.get(seed, steps[-1]))
        for seed in range(13)
    }
    for row in times.rows(named=True):
        alone = breakthroughs(short[row["init_seed"]], threshold=0.3, in_a_row=2, **test)
        same = alone.filter(cell=row["cell"]).row(0, named=True)
        names = ("step", "observed", "after", "relapses", "relapse", "loss")
        assert [row[name] for name in names] == [same[name] for name in names]
    # Taken as they stand, the repeated scores would make breakthroughs, and put censoring at the end.
    taken = breakthroughs(stopped.drop("stopped_at"), threshold=0.3, in_a_row=2, **test)
    assert taken["observed"].sum() > times["observed"].sum() > 0
    censored = times.filter(~pl.col("observed"), pl.col("init_seed") % 2 == 0)
    assert 0 < censored["step"].max() < steps[-1]
    # Read from a file, cells have other names.
    again = breakthroughs(read_results(stopped.drop("cell", "study")), threshold=0.3, in_a_row=2, **test)
    numbers = ["init_seed", "step", "observed", "after", "relapses"]
    assert again.select(numbers).sort(numbers).equals(times.select(numbers).sort(numbers))
    assert survival(times).medians["broken"].sum() == times["observed"].sum()


def test_stopped_seeds_keep_their_last_scores_and_are_named():
    frame = population_frame([(2, 64)], seeds=5, lengths=(30,), steps=(0, 7, 11, 13), diverged=0)
    stopped = with_stops(frame, {1: 7, 4: 11})
    finals = {each["init_seed"]: each for each in final_scores(stopped).rows(named=True)}
    before = {(r["init_seed"], r["step"]): r["value"] for r in learning_curves(frame).rows(named=True)}
    assert {seed: row["value"] for seed, row in finals.items()} == {
        seed: before[seed, {1: 7, 4: 11}.get(seed, 13)] for seed in range(5)
    }
    assert findings.population_sentences(stopped)[2:] == [
        "Rules stopped 2 of 5 seeds, at steps 7 to 11: their last scores count as final, and seeds without a "
        "breakthrough before are censored there."
    ]
    assert len(findings.population_sentences(frame.with_columns(stopped_at=pl.lit(None, pl.Int64)))) == 2
    assert cell_labels(stopped).columns == cell_labels(frame).columns
