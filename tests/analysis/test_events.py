"""Event times as a column: survival curves, the log-rank test and the hazard, against those of own runs."""

import numpy as np
import polars as pl
import pytest

import run
from jaxemerge.analysis import survival
from jaxemerge.analysis.events import event_times
from jaxemerge.stats import fit_hazard, kaplan_meier, log_rank_test

WIDTH = [64] * 6 + [128] * 6
GROK = [300, None, 500, None, None, 700, 200, 250, None, 100, 400, 150]


def table(**columns):
    given = {"width": WIDTH, "seed": list(range(6)) * 2, "grok": GROK, "end": [1000] * 12, **columns}
    return pl.DataFrame({name: values for name, values in given.items() if values is not None}, strict=False)


def test_curves_and_tests_are_those_of_the_times():
    found = event_times(table(), "grok", {"scale": "width", "step": "end"})
    time = np.array([1000 if t is None else t for t in GROK], float)
    seen = np.array([t is not None for t in GROK])
    assert found.times["step"].to_list() == time.tolist()
    assert found.times["observed"].to_list() == seen.tolist()
    assert found.notes == ("4 of 12 runs have no grok and are censored at their end",)
    shown = survival(found.times)
    assert shown.p_value == pytest.approx(log_rank_test(time, seen, WIDTH).p_value)
    rate = fit_hazard(time, seen, np.log2(WIDTH)).coefficient.value
    assert shown.doubling.value == pytest.approx(float(np.exp(rate)[0]))
    first = kaplan_meier(time[:6], seen[:6])
    curve = shown.curves.filter(label="width 64")["survival"].to_list()
    assert curve[1:-1] == pytest.approx(first.survival.value.tolist())
    assert shown.medians.row(0)[2:4] == (6, 3)


def test_without_an_end_runs_are_censored_at_the_latest_event():
    found = event_times(table(end=None), "grok", {"scale": "width"})
    assert found.times.filter(~pl.col("observed"))["step"].to_list() == [700] * 4
    assert "censored at 700, the latest grok" in found.notes[0]


def test_runs_of_different_length_are_censored_at_their_own_end():
    found = event_times(table(end=[900, *[1000] * 10, 800]), "grok", {"scale": "width", "step": "end"})
    assert found.times["step"].to_list()[:2] == [300, 1000]
    longer = table(end=[1000, 600, *[1000] * 10])
    assert event_times(longer, "grok", {"scale": "width", "step": "end"}).times["step"][1] == 600


def test_empty_entries_of_a_file_are_censored_and_all_events_seen_need_no_note(tmp_path):
    table().write_csv(tmp_path / "grok.csv")
    read = event_times(tmp_path / "grok.csv", "grok", {"scale": "width", "step": "end"})
    assert read.times.equals(event_times(table(), "grok", {"scale": "width", "step": "end"}).times)
    every = event_times(table(grok=list(range(1, 13))), "grok", {"scale": "width", "step": "end"})
    assert every.notes == ()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"grok": [-1, *GROK[1:]]}, "grok: -1.0 in row 1 must be a time, at least 0"),
        ({"grok": [None] * 12}, "grok: every row is empty: no run has the event"),
        ({"grok": ["soon", *["3"] * 11]}, "grok: 'soon' in row 1 is not a number"),
        ({"end": [1000, 1000, 400, *[1000] * 9]}, "grok: 500.0 in row 3 is past its end, 400.0"),
        ({"end": None}, "event: there is no column 'end'"),
        ({"seed": None}, "several runs of"),
    ],
)
def test_refuses_what_are_no_times(columns, message):
    with pytest.raises(ValueError, match=message):
        event_times(table(**columns), "grok", {"scale": "width", "step": "end"})


def test_the_command_prints_and_draws_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxemerge.report.write.SCALE", 0.25)
    table().write_csv("grok.csv")
    assert run.main(["analyze", "grok.csv", "--event", "grok", "--scale", "width", "--step", "end"]) == 0
    output = capsys.readouterr().out
    assert "3 of 6 seeds of width 64 (half of them by step 700 [300, never])" in output
    assert "5 of 6 seeds of width 128 (half of them by step 200" in output
    assert "Twice the scale multiplies the rate of events by" in output
    assert "without grok" in (tmp_path / "results/grok/report.html").read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        run.main(["analyze", "grok.csv", "--event", "grok", "--value", "seed"])
    assert capsys.readouterr().err.startswith("error: --event: times are analysed alone")
