"""Do the laws of a frame find what was planted, and do their charts and their report hold it?"""

import json
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import vl_convert

from jaxemerge import charts
from jaxemerge.analysis import (
    has_laws,
    law_groups,
    law_runs,
    loss_metric,
    one_scale,
    read_results,
    scaling_laws,
)
from jaxemerge.analysis.laws import left_out
from jaxemerge.charts.laws import contours, frontier, steps_of
from jaxemerge.report.laws import laws as figures_of

CHINCHILLA = Path(__file__).parents[1] / "data" / "chinchilla_runs.csv"
A, B, E, ALPHA, BETA = 80.0, 300.0, 1.5, 0.4, 0.4


def truth(N, D):
    return E + A / N**ALPHA + B / D**BETA


def planted():
    """Five sizes about the best one at each of four budgets, two seeds, with curves and accuracies."""
    rng, rows = np.random.default_rng(0), []
    for C in (1e12, 4e12, 1.6e13, 6.4e13):
        best = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (C / 6) ** (BETA / (ALPHA + BETA))
        for N in np.round(best * np.array([0.25, 0.5, 1.0, 2.0, 4.0])):
            for seed in (0, 1):
                for step in range(3, 13):
                    D = C / (6 * N) * step / 12
                    loss = truth(N, D) * np.exp(rng.normal(0, 1e-3))
                    row = {"N": int(N), "tokens": int(D), "budget": f"{C:g}", "seed": seed, "step": step}
                    rows.append({**row, "loss": loss, "acc": 1 / (1 + np.exp(3 * (loss - 2.5)))})
    frame = pl.DataFrame(rows)
    columns = {"parameters": "N", "seed": "seed", "value": ["loss", "acc"], "budget": "budget"}
    return read_results(frame, columns)


@pytest.fixture(scope="module")
def found():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return scaling_laws(planted(), bootstraps=20)


def test_finds_the_planted_law(found):
    assert found.metric == "loss"
    assert found.runs.height == 40
    assert found.parametric.E.value == pytest.approx(E, rel=0.05)
    assert found.parametric.alpha.value == pytest.approx(ALPHA, rel=0.1)
    for law in found.laws():
        assert law.a.value == pytest.approx(0.5, abs=0.06)
    assert {law.approach for law in found.laws()} == {"envelope", "isoflop", "parametric"}
    held = found.held_out.runs
    assert held.height == 10
    assert held["flops"].min() > 0.5 * 6.4e13 * 0.99
    np.testing.assert_allclose(held["predicted"], held["loss"], rtol=0.02)
    midpoint = found.ladder.link.parameters["midpoint"].value
    assert midpoint == pytest.approx(2.5, rel=0.02)


def test_lines_are_those_of_the_law(found):
    law = found.parametric
    lines = contours(law)
    D = lines["flops"] / (6 * lines["parameters"])
    seen = law.predict(lines["parameters"].to_numpy(), D.to_numpy()).value
    np.testing.assert_allclose(seen, lines["level"], rtol=1e-9)
    best = frontier(law)
    at = law.predict(
        best["parameters"].to_numpy(), (best["flops"] / (6 * best["parameters"])).to_numpy()
    ).value
    for factor in (0.9, 1.1):
        N = best["parameters"].to_numpy() * factor
        assert np.all(law.predict(N, best["flops"].to_numpy() / (6 * N)).value > at)


def test_every_chart_can_be_drawn(found):
    drawn = [
        charts.loss_contours(found.parametric),
        charts.isoflop_profiles(found.isoflop, found.runs),
        charts.training_envelope(found.envelope, steps_of(found)),
        charts.exponent_intervals(found.exponents()),
        charts.ladder_steps(found.ladder, found),
        charts.predicted_against_held_out(found.held_out.runs),
    ]
    for chart in drawn:
        specification = json.dumps(chart.to_dict(), allow_nan=False)
        assert vl_convert.vegalite_to_svg(specification).startswith("<svg")


def test_report_states_the_numbers(monkeypatch, found):
    monkeypatch.setattr("jaxemerge.report.laws.scaling_laws", lambda frame: found)
    figures = {one.name: one for one in figures_of(planted())}
    names = ["law_contours", "isoflop", "envelope", "exponents", "ladder", "held_out"]
    assert list(figures) == names
    interval = found.parametric.E.interval
    said = f"E {found.parametric.E.value:.3g} [{interval.low:.3g}, {interval.high:.3g}]"
    assert said in figures["law_contours"].words
    assert f"{found.isoflop.law.a.value:.3g}" in figures["isoflop"].words


def test_published_runs_are_read_and_what_cannot_be_fitted_is_noted():
    names = {"scale": "parameters", "flops": "training_flops", "value": "loss"}
    frame = read_results(CHINCHILLA, names)
    assert has_laws(frame)
    runs = law_runs(frame, "loss")
    assert runs.height == 245
    raw = pl.read_csv(CHINCHILLA)
    np.testing.assert_allclose(runs["flops"].sort(), raw["training_flops"].sort(), rtol=1e-6)
    found = scaling_laws(frame, bootstraps=0)
    # Hoffmann et al., table 2, approach 2: 0.49.
    assert found.isoflop.law.a.value == pytest.approx(0.49, abs=0.01)
    assert found.envelope is None
    # One run alone has more than half of the largest compute: a tenth of all are held out.
    assert found.held_out.runs.height == 25
    assert found.held_out.runs["flops"].min() > found.held_out.limit
    assert found.notes[0].startswith("IsoFLOP profiles: skipped ")


def test_runs_that_are_no_evidence_are_left_out():
    frame = planted().with_columns(horizon=pl.lit(1.0))
    long = pl.when(pl.col("init_seed") == 1).then(1.25).otherwise(1.0)
    assert law_runs(frame.with_columns(horizon=long), "loss").height == 20
    lost = pl.col("init_seed") == 1
    assert law_runs(frame.with_columns(diverged=lost), "loss").height == 20


def test_which_loss_and_whether_there_is_a_law():
    frame = planted()
    both = pl.concat([frame.with_columns(metric=pl.lit("train_loss")), frame])
    assert loss_metric(both) == "loss"
    assert loss_metric(frame.with_columns(metric=pl.lit("grad_norm"))) is None
    assert not has_laws(frame.with_columns(metric=pl.lit("grad_norm")))
    assert not has_laws(frame.filter(parameters=frame["parameters"][0]))
    assert list(figures_of(frame.filter(parameters=frame["parameters"][0]))) == []
    with pytest.raises(ValueError, match="no metric of the frame is a loss: laws need one"):
        scaling_laws(frame.filter(metric="acc"))


LOSSES = {
    "attn": (4.339, 3.802, 3.573, 3.396, 2.860, 2.631, 2.975, 2.439, 2.210),
    "rnn": (5.947, 5.434, 5.194, 4.759, 4.245, 4.005, 4.163, 3.650, 3.410),
}
LAWS = {"attn": (1.699, 0.350, 0.370, 0.514), "rnn": (2.602, 0.300, 0.330, 0.524)}


def grid(name, losses=LOSSES):
    """Two kinds of model on one grid of N and D, told apart by the column `name`."""
    rows = [
        {name: kind, "params": n, "tokens": d, "loss": loss}
        for kind, values in losses.items()
        for (n, d), loss in zip(
            [(n, d) for n in (1e7, 1e8, 1e9) for d in (1e9, 1e10, 1e11)], values, strict=True
        )
    ]
    return pl.DataFrame(rows)


@pytest.mark.parametrize("name", ["arch", "dataset", "optimizer", "unit"])
def test_each_group_has_its_own_law(name):
    columns = {"parameters": "params", "value": "loss"}
    frame = read_results(grid(name), columns, by=(name,))
    groups = law_groups(frame, "loss")
    assert [group for group, _ in groups] == ["attn", "rnn"]
    with pytest.raises(ValueError, match=r"the runs are 2 groups \(attn, rnn\), each with a law of its own"):
        scaling_laws(frame)
    for group, rows in groups:
        law = scaling_laws(rows, bootstraps=0).parametric
        found = (law.E.value, law.alpha.value, law.beta.value, law.a.value)
        assert found == pytest.approx(LAWS[group], abs=0.006)


def test_groups_by_a_number_and_none_by_what_the_size_sets():
    columns = {"parameters": "params", "value": "loss"}
    numbers = grid("lr", {1e-3: LOSSES["attn"], 3e-3: LOSSES["rnn"]})
    assert [g for g, _ in law_groups(read_results(numbers, columns, by=("lr",)), "loss")] == [
        "lr 0.001",
        "lr 0.003",
    ]
    tuned = grid("arch").filter(arch="attn").with_columns(lr=3e-3 / pl.col("params") ** 0.1)
    assert [g for g, _ in law_groups(read_results(tuned, columns, by=("lr",)), "loss")] == [""]
    names = tuned.with_columns(model=pl.format("m-{}", "params"))
    assert [g for g, _ in law_groups(read_results(names, columns), "loss")] == [""]


def test_models_of_equal_size_that_no_other_size_has_are_not_pooled():
    two = grid("arch").with_columns(model=pl.format("{}-{}", "arch", "params")).drop("arch")
    frame = read_results(two, {"parameters": "params", "value": "loss"})
    with pytest.raises(ValueError, match=r"runs of parameters=1e\+07 differ in model"):
        law_groups(frame, "loss")
    [only] = figures_of(frame)
    assert "No law was fitted: runs of parameters=1e+07 differ in model" in only.words
    assert only.spec == ""


def isoflop_runs():
    """Three budgets of FLOPs that are not 6 N D."""
    sizes = [
        *([15e6, 30e6, 60e6, 120e6, 240e6], [47434165, 94868330, 189736660, 379473319, 758946638]),
        [150e6, 300e6, 600e6, 1.2e9, 2.4e9],
    ]
    tokens = [
        *([8.889e9, 4.778e9, 2.5e9, 1.3056e9, 6.737e8], [2.8109e10, 1.5109e10, 7.9057e9, 4.1285e9, 2.1301e9]),
        [8.8889e10, 4.7778e10, 2.5e10, 1.3056e10, 6.737e9],
    ]
    losses = [
        *([3.5946, 3.3839, 3.2762, 3.2613, 3.3427], [2.9599, 2.8174, 2.7433, 2.7306, 2.7814]),
        [2.5379, 2.4416, 2.3906, 2.3804, 2.4120],
    ]
    profiles = {
        c: zip(*columns, strict=True)
        for c, *columns in zip((1e18, 1e19, 1e20), sizes, tokens, losses, strict=True)
    }
    rows = [(c, *run) for c, runs in profiles.items() for run in runs]
    return pl.DataFrame(rows, schema=["flops", "params", "tokens", "loss"], orient="row")


def lone_run(runs):
    return pl.concat([runs, pl.DataFrame({"flops": 7e20, "params": 1e9, "tokens": 9e10, "loss": 2.2})])


@pytest.mark.parametrize(
    "change",
    [
        lambda runs: runs,
        lambda runs: runs.with_columns(flops=pl.col("flops") * (1 + 0.01 * (pl.int_range(15) % 5 % 3))),
        lambda runs: runs.drop("tokens"),
        lone_run,
    ],
    ids=["as given", "a few per cent off", "no tokens", "a lone run"],
)
def test_budgets_are_those_given(change):
    frame = read_results(change(isoflop_runs()), {"parameters": "params", "value": "loss"})
    found = scaling_laws(frame, bootstraps=0).isoflop
    assert found.law.a.value == pytest.approx(0.5137, abs=1e-4)
    assert len(found.budgets) == 3


COLLINEAR = {
    "D = 20 N": (1.0, 20.0, "flops", "D = 20 N in all runs"),
    "D = 180 N^0.9": (0.9, 180.0, "flops", "D goes as N to the power 0.9 in all runs"),
    "equal D": (0.0, 1e10, "parameters", "all runs have 1e+10 tokens"),
}


@pytest.mark.parametrize("name", COLLINEAR)
def test_one_law_where_size_and_data_go_together(name):
    power, factor, column, why = COLLINEAR[name]
    N = np.geomspace(1e7, 1e9, 9).round()
    D = (factor * N**power).round()
    x = N if column == "parameters" else 6 * N * D
    loss = (1.7 + 3.0 * (x / x.min()) ** -0.3) * np.exp(np.random.default_rng(1).normal(0, 5e-4, 9))
    frame = read_results(
        pl.DataFrame({"params": N, "tokens": D, "loss": loss}), {"parameters": "params", "value": "loss"}
    )
    found = one_scale(frame, "loss", bootstraps=20)
    assert (found.column, found.why[: len(why)]) == (column, why)
    assert found.law.exponent.value == pytest.approx(0.3, abs=0.02)
    assert found.law.E.value == pytest.approx(1.7, abs=0.1)
    [only] = figures_of(frame, alone=True)
    assert only.name == "law_of_one_scale"
    assert why[1:] in only.words
    assert len(list(figures_of(frame))) == (column == "flops")


def test_runs_of_equal_size_have_a_law_of_their_data():
    D = np.geomspace(1e9, 1e11, 7).round()
    runs = pl.DataFrame({"params": [1e8] * 7, "tokens": D, "loss": 2 + (D / 1e9) ** -0.4})
    found = one_scale(read_results(runs, {"parameters": "params", "value": "loss"}), "loss", bootstraps=0)
    assert found.column == "tokens"
    assert found.law.exponent.value == pytest.approx(0.4, abs=0.01)


def test_a_law_that_the_runs_do_not_determine_is_no_result():
    rng = np.random.default_rng(0)
    N, D = (a.ravel() for a in np.meshgrid([1e7, 1e8, 1e9], [1e9, 1e10, 1e11]))
    noise = pl.DataFrame({"params": N, "tokens": D, "loss": rng.normal(3, 0.3, 9)})
    found = scaling_laws(read_results(noise, {"parameters": "params", "value": "loss"}), bootstraps=50)
    assert found.parametric is None
    assert any("the runs do not determine it: the 95% interval of" in note for note in found.notes)


def test_runs_that_rules_stopped_early_are_in_no_fit():
    last = pl.col("step") == 12
    whole, seed = planted(), pl.col("init_seed") == 1
    stop = pl.when(seed & last).then(11).when(~seed & last).then(12).cast(pl.Int64)
    stopped = whole.with_columns(stopped_at=stop)
    assert law_runs(stopped, "loss").equals(law_runs(whole, "loss").filter(pl.col("init_seed") == 0))
    assert left_out(stopped, "loss") == ["rules stopped 20 of 40 runs early; these are in no fit"]
    assert left_out(whole, "loss") == []
