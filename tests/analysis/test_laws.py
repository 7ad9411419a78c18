"""Do the laws of a frame find what was planted, and do their charts and their report hold it?"""

import json
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import vl_convert

from jaxemerge import charts
from jaxemerge.analysis import has_laws, law_runs, loss_metric, read_results, scaling_laws
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
    assert found.isoflop is None
    assert found.envelope is None
    # One run alone has more than half of the largest compute: a tenth of all are held out.
    assert found.held_out.runs.height == 25
    assert found.held_out.runs["flops"].min() > found.held_out.limit
    assert found.notes[0].startswith("IsoFLOP profiles: ")


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
