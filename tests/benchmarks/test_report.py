"""The benchmark of reports draws what it says and times a report that was written."""

import json

import polars as pl
import pytest

import report


def test_the_drawn_results_have_every_seed_length_and_evaluation_once():
    frame = report.results(cells=3, seeds=5, lengths=2, evaluations=4)
    scores = frame.filter(pl.col("metric") == "exact_match")
    assert scores.height == 3 * 5 * 2 * 4
    key = ("cell", "init_seed", "length", "step")
    assert scores.select(key).is_duplicated().sum() == 0
    assert frame.filter(pl.col("metric") == "train_loss").height == 3 * 5 * 4
    right = scores["value"] * scores["trials"]
    assert (right - right.round()).abs().max() < 1e-9
    assert frame.equals(report.results(3, 5, 2, 4))


def test_a_report_is_timed_and_its_memory_taken(tmp_path, capsys):
    file = tmp_path / "out.jsonl"
    size = ["--cells", "2", "--seeds", "3", "--lengths", "1", "--evaluations", "3"]
    assert report.main([*size, "--json", str(file)]) == 0
    (line,) = map(json.loads, file.read_text().splitlines())
    assert line["benchmark"] == "report"
    assert line["rows"] == 2 * 3 * 2 * 3
    assert line["value"] > 0
    assert line["peak_bytes"] > 50e6
    assert line["report_bytes"] > 100e3
    assert "seconds" in capsys.readouterr().out


def test_impossible_sizes_are_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        report.main(["--evaluations", "1"])
    assert stopped.value.code == 2
    assert "at least 2" in capsys.readouterr().err
