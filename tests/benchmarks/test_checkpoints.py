"""The benchmark of checkpoints times real ones, and refuses numbers that make none."""

import json

import pytest

import checkpoints


def test_checkpoints_are_written_and_timed(tmp_path, capsys):
    file = tmp_path / "out.jsonl"
    size = ["--depths", "1", "--seeds", "2", "--saves", "3"]
    assert checkpoints.main([*size, "--json", str(file)]) == 0
    (line,) = map(json.loads, file.read_text().splitlines())
    assert (line["benchmark"], line["cell"], line["seeds"]) == ("checkpoints", "1x64", 2)
    assert line["share"] == pytest.approx(line["value"] / 300)
    # Two are kept, each with two moments and the weights of 2 seeds in float32.
    assert line["kept_bytes"] > 2 * 2 * 3 * 4 * 50_000
    assert "1x64" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--saves", "0"], ["--saves", "20"], ["--depths", "0"], ["--seeds", "0"]]
)
def test_impossible_numbers_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        checkpoints.main(arguments)
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err
