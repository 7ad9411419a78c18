"""The benchmark of large files draws what it says and times the command on it."""

import json

import polars as pl
import pytest

import large_file


def test_every_scale_seed_and_step_is_drawn_once(tmp_path):
    assert large_file.write_rows(tmp_path / "a.csv", scales=3, seeds=5, steps=7) == 3 * 5 * 7
    frame = pl.read_csv(tmp_path / "a.csv")
    assert frame.columns == ["scale", "seed", "step", "score"]
    assert frame.n_unique(["scale", "seed", "step"]) == frame.height == 3 * 5 * 7
    assert frame["score"].is_between(0, 1).all()


@pytest.mark.slow  # 5 s: the command in a process of its own, as its memory is measured
def test_the_command_is_timed_and_its_memory_taken(tmp_path, capfd):
    file = tmp_path / "out.jsonl"
    size = ["--scales", "2", "--seeds", "3", "--steps", "5"]
    assert large_file.main([*size, "--json", str(file)]) == 0
    (line,) = map(json.loads, file.read_text().splitlines())
    assert line["benchmark"] == "large_file"
    assert line["rows"] == 2 * 3 * 5
    assert line["value"] > 0
    assert line["peak_bytes"] > 50e6
    assert "scale 2" in capfd.readouterr().out


def test_impossible_sizes_are_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        large_file.main(["--steps", "0"])
    assert stopped.value.code == 2
    assert "at least 1" in capsys.readouterr().err
