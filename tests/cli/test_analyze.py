"""The command line on anyone's results: report and summary, or one line and exit code 2."""

import json
import re

import polars as pl
import pytest

import run


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A file of two sizes with four runs each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxemerge.report.mixtures.BOOTSTRAPS", 19)
    monkeypatch.setattr("jaxemerge.report.write.SCALE", 0.25)
    columns = {
        "size": ["70M"] * 4 + ["1.4B"] * 4,
        "run": [0, 1, 2, 3] * 2,
        "acc": [0.0, 0.05, 0.1, 0.6, 0.5, 0.6, 0.7, 0.05],
        "loss": [3.5, 3.4, 3.3, 3.2, 2.9, 2.8, 2.7, 2.6],
    }
    pl.DataFrame(columns).write_csv("mine.csv")
    return tmp_path


def test_report_and_summary_of_shares(runs, capsys):
    arguments = [
        "analyze",
        "mine.csv",
        "--scale",
        "size",
        "--seed",
        "run",
        "--value",
        "acc",
        "--trials",
        "20",
    ]
    assert run.main([*arguments, "--threshold", "0.5", "--out", "there"]) == 0
    output = capsys.readouterr().out
    rows = [line.split() for line in output.splitlines() if line.strip().startswith("size")]
    assert [row[1:7] for row in rows] == [
        ["70M", "all", "items", "20", "4", "0.25"],
        ["1.4B", "all", "items", "20", "4", "0.75"],
    ]
    assert "Acc over seeds at the end of training" in output
    assert "Report: there/report.html" in output
    page = (runs / "there" / "report.html").read_text(encoding="utf-8")
    for size, success in (("70M", "0.25 <span>[0.01, 0.76]"), ("1.4B", "0.75 <span>[0.24, 0.99]")):
        assert re.search(rf"size {size}</td><td>4</td><td>20</td>\s*<td>{re.escape(success)}", page)
    assert "value is acc, scale is size, seed is run, trials is 20" in page


def test_a_results_folder_is_not_a_file_of_results(runs, capsys):
    (runs / "kept").mkdir()
    (runs / "kept" / "study.json").write_text("{}")
    with pytest.raises(SystemExit) as stopped:
        run.main(["analyze", "kept"])
    assert stopped.value.code == 2
    assert "kept is a results folder" in capsys.readouterr().err


def test_report_and_summary_of_a_loss(runs, capsys):
    arguments = ["analyze", "mine.csv", "--scale", "size", "--seed", "run", "--value", "acc,loss"]
    assert run.main([*arguments, "--score", "loss"]) == 0
    output = capsys.readouterr().out
    assert "Loss over runs at their end" in output
    assert [line.split()[-2:] for line in output.splitlines() if line.strip().startswith("size")] == [
        ["3.2", "3.5"],
        ["2.6", "2.9"],
    ]
    assert (runs / "results" / "mine" / "report.html").is_file()


def test_failed_runs_are_left_out_of_means_of_losses(runs, capsys):
    pl.read_csv("mine.csv").with_columns(loss=pl.col("loss").replace(3.5, float("nan"))).write_csv("mine.csv")
    assert run.main(["analyze", "mine.csv", "--scale", "size", "--seed", "run", "--value", "loss"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "size 70M all items 3 3.3" in output  # of 3.2, 3.3 and 3.4
    assert "1 of 8 seeds diverged; they are left out of means." in output


def test_several_files_are_one_table(runs, capsys):
    rows = pl.read_csv("mine.csv")
    for seed, part in rows.group_by("run"):
        part.drop("run").write_csv(f"seed{seed[0]}.csv")
    files = [f"seed{seed}.csv" for seed in range(4)]
    arguments = ["--seed-from-name", r"seed(\d+)", "--scale", "size", "--value", "loss", "--out", "there"]
    assert run.main(["analyze", *files, *arguments]) == 0
    output = capsys.readouterr().out
    assert [line.split()[:5] for line in output.splitlines() if line.startswith(" size")] == [
        ["size", "70M", "all", "items", "4"],
        ["size", "1.4B", "all", "items", "4"],
    ]
    assert "seed0.csv, seed1.csv" in (runs / "there" / "report.html").read_text(encoding="utf-8")


def test_results_of_the_harness_need_no_columns(runs, capsys):
    for seed in (0, 1):
        tasks = {"piqa": {"acc,none": 0.25 + seed / 4}}
        found = {"results": tasks, "model_name": "m-1b", "config": {"random_seed": seed}}
        (runs / f"results_{seed}.json").write_text(json.dumps(found))
    assert run.main(["analyze", str(runs), "--out", "there"]) == 0
    assert "m-1b" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analyze"], "analyze: name a file, as in python "),
        (["analyze", "gone.csv", "--value", "acc"], "gone.csv: no such file or folder"),
        (["analyze", "mine.csv", "--value", "ac"], "value: mine has no column 'ac'; did you mean acc?"),
        (["analyze", "mine.csv", "--value", "acc", "--scale", "acc,"], "scale: mine has no column 'acc,'"),
        (["analyze", "mine.csv", "--value", "loss", "--trials", "9"], "several runs of all runs"),
        (
            ["analyze", "mine.csv", "--value", "acc", "--scale", "size", "--seed", "run", "--score", "f1"],
            "--score f1: must be",
        ),
        (["analyze", "mine.csv", "--value", "acc", "--scale", "size"], "run distinguishes rows that are"),
        (["analyze", "mine.csv", "--value", "acc", "--by", "arch"], "mine has no column 'arch'"),
        (["analyze", "mine.csv", "--wide", "s_*"], "wide: no column is like 's_*'"),
        (["count_quick", "--value", "acc"], "--value: an option of analyze, not of run"),
    ],
)
def test_bad_input_is_one_line(runs, arguments, message, capsys):
    if message.startswith("several"):
        frame = pl.read_csv("mine.csv").with_columns(task=pl.Series(["a", "b"] * 4))
        frame.write_csv("mine.csv")
    with pytest.raises(SystemExit) as stopped:
        run.main(arguments)
    assert stopped.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"error: {message}")
    assert output.err.count("\n") == 1
    assert [path.name for path in runs.iterdir()] == ["mine.csv"]
