"""Mistakes in files of results: one clear line, exit code 2, no traceback; whatever the bytes of a CSV."""

import gzip
import json

import numpy as np
import pytest

import run

GOOD = "size,seed,acc,n\n1e6,0,0.1,20\n1e6,1,0.2,20\n1e7,0,0.5,20\n1e7,1,0.6,20\n"
COLUMNS = ["--scale", "size", "--seed", "seed", "--value", "acc", "--trials", "n"]


def edited(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


def harness(**changes):
    return json.dumps({"results": {"piqa": {"acc,none": 0.25}}, "model_name": "m-1b", "config": {}} | changes)


SIZES = ["--parameters", "size", *COLUMNS[2:]]

# Name, bytes or text of the file, arguments (None: those of COLUMNS), and what the line says.
MISTAKES = {
    "no column": ("r.csv", GOOD, ["--value", "accuracy"], "has no column 'accuracy'; did you mean acc"),
    "no scale": ("r.csv", GOOD, ["--value", "acc", "--scale", "sizes"], "did you mean size"),
    "no value": ("r.csv", GOOD, ["--scale", "size"], "name the column of scores"),
    "no seed": ("r.csv", GOOD.replace("seed", "run"), ["--value", "acc", "--scale", "size"], "--seed run"),
    "seed of another name": (
        "r.csv",
        GOOD,
        ["--value", "acc", "--seed", "run"],
        "seed: r has no column 'run'",
    ),
    "per cents": ("r.csv", GOOD.replace("0.", "1"), None, "is outside [0, 1]"),
    "one score above 1": ("r.csv", edited("0.5", "1.5"), None, "1.5"),
    "negative score": ("r.csv", edited("0.5", "-0.5"), None, "outside [0, 1]"),
    "text for a score": ("r.csv", edited("0.5", "good"), None, "acc: 'good' in row 3 is not a number"),
    "two decimal points": ("r.csv", edited("0.5", "0.5.1"), None, "'0.5.1' in row 3 is not a number"),
    "unit of a score": ("r.csv", edited("0.5", "0.5 points"), None, "'0.5 points' in row 3"),
    "date for a score": ("r.csv", edited("0.5", "2024-01-01"), None, "'2024-01-01' in row 3"),
    "size without unit": (
        "r.csv",
        edited("1e6,0", "1.4,0"),
        SIZES,
        "size: 1.4",
    ),
    "size with a wrong unit": (
        "r.csv",
        edited("1e6,0", "1.4Q,0"),
        SIZES,
        "1.4Q",
    ),
    "negative size": ("r.csv", edited("1e6,0", "-5,0"), SIZES, "size: -5"),
    "size of nothing": ("r.csv", edited("1e6,0", "0,0"), SIZES, "size: 0"),
    "infinite size": ("r.csv", edited("1e6,0", "inf,0"), SIZES, "size: inf"),
    "empty seed": ("r.csv", edited("1e6,1", "1e6,"), None, "seed: row 2 is empty; every run needs a seed"),
    "half a trial": ("r.csv", edited("0.1,20", "0.1,20.5"), None, "n: 20.5 in row 1 must be a whole number"),
    "no trials": (
        "r.csv",
        edited("0.1,20", "0.1,0"),
        None,
        "n: 0 in row 1 must be a whole number",
    ),
    "trials in words": ("r.csv", edited("0.1,20", "0.1,many"), None, "n: 'many' in row 1 is not a number"),
    "the same run twice": ("r.csv", GOOD + "1e6,0,0.3,20\n", None, "2 rows are duplicates"),
    "two settings": ("r.csv", GOOD + GOOD.split("\n", 1)[1], None, "duplicates"),
    "header alone": ("r.csv", "size,seed,acc,n\n", None, "the file has no rows"),
    "empty file": ("r.csv", "", None, "r.csv: "),
    "blank lines": ("r.csv", "\n\n\n", None, "r.csv: "),
    "one cell too many": ("r.csv", GOOD + "1e7,2,0.5,20,9\n", None, "r.csv: "),
    "no header": ("r.csv", GOOD.split("\n", 1)[1], None, "value: r has no column 'acc' (it has 1e6"),
    "header twice": ("r.csv", GOOD + GOOD, None, "acc: 'acc' in row 5 is not a number"),
    "the same column twice": (
        "r.csv",
        GOOD.replace("seed", "acc", 1),
        ["--value", "n", "--seed", "seed"],
        "seed",
    ),
    "all scores empty": (
        "r.csv",
        "size,seed,acc\n1,0,\n1,1,\n",
        ["--value", "acc"],
        "every row is empty",
    ),
    "UTF-16": ("r.csv", GOOD.encode("utf-16"), None, "line 1 is UTF-16: save"),
    "Latin-1": ("r.csv", GOOD.replace("size", "größe").encode("latin-1"), None, "line 1 is not UTF-8"),
    "no text": ("r.csv", bytes(range(256)), None, "r.csv: "),
    "open quote": ("r.csv", edited("0.5", '"0.5'), None, "r.csv: "),
    "a picture": ("r.png", b"\x89PNG\r\n", None, "cannot read .png; it must be .csv"),
    "a spreadsheet": ("r.xlsx", b"PK\x03\x04", None, "cannot read .xlsx; it must be .csv"),
    "no suffix": ("r", GOOD, None, "cannot read a file without suffix"),
    "no Parquet": ("r.parquet", GOOD, None, "this is no .parquet file that can be read"),
    "no gzip": ("r.csv.gz", GOOD, None, "r.csv.gz: "),
    "half a gzip": ("r.csv.gz", gzip.compress(GOOD.encode())[:-9], None, "r.csv.gz: "),
    "no JSON": ("r.json", "{'size': 1}", None, "this is not JSON"),
    "JSON of a number": ("r.json", "17", None, "it must hold records, columns, {step: value}"),
    "JSON of words": ("r.json", '["a", "b"]', None, "it must hold records"),
    "empty JSON": ("r.json", "[]", None, "it must hold records"),
    "columns of unequal length": ("r.json", '{"size": [1, 2], "acc": [0.5]}', None, "r.json: "),
    "lists for scores": ("r.json", '[{"size": 1, "seed": 0, "acc": [1, 2], "n": 3}]', None, "acc: "),
    "half a line of JSON": ("r.jsonl", '{"size": 1, "seed": 0, "acc"\n', None, "r.jsonl: "),
    "results without scores": ("r.json", harness(results={"piqa": {}}), [], "r.json"),
    "results that are a list": ("r.json", harness(results=[1]), [], "r.json"),
    "unknown metric": ("r.csv", GOOD, [*COLUMNS, "--score", "f1"], "--score f1: must be one of acc"),
    "threshold in per cent": (
        "r.csv",
        GOOD,
        [*COLUMNS, "--threshold", "50"],
        "'50' must be a number in",
    ),
    "limit in words": ("r.csv", GOOD, [*COLUMNS, "--at-most", "low"], "'low' must be a number"),
    "unknown counting": (
        "r.csv",
        GOOD,
        [*COLUMNS, "--unfinished", "mean"],
        "must be one of omitted, failed",
    ),
    "pattern without match": ("r.csv", GOOD, ["--wide", "s_*"], "no column is like 's_*'"),
    "broken pattern": (
        "r.csv",
        GOOD,
        [*COLUMNS[:2], *COLUMNS[4:], "--seed-from-name", "seed("],
        "not a regular",
    ),
    "name without seed": (
        "r.csv",
        GOOD,
        ["--value", "acc", "--seed-from-name", r"s(\d+)"],
        "name has no seed",
    ),
    "event that is none": ("r.csv", GOOD, ["--event", "grok", "--seed", "seed"], "there is no column 'grok'"),
    "event before 0": ("r.csv", edited("0.1", "-3"), ["--event", "acc", "--seed", "seed"], "acc: -3"),
    "passes above samples": ("r.csv", "task_id,n,c\na,5,6\n", [], "6 passes of 5 samples"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxemerge.cli.analyze.write_report", lambda *_, **__: tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_clear_line(case, folder, capsys):
    name, content, arguments, message = MISTAKES[case]
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SystemExit) as stopped:
        run.main(["analyze", name, *(COLUMNS if arguments is None else arguments)])
    assert stopped.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    assert message in output.err


def test_the_file_that_all_mistakes_were_planted_in_is_read(folder):
    (folder / "r.csv").write_text(GOOD)
    assert run.main(["analyze", "r.csv", *COLUMNS]) == 0
    assert len(MISTAKES) >= 50


ODD = b',;"\n\r\t.-+eE%\x00\xff\xef0naif'


def broken(rng):
    """Bytes of a table of results with some of them changed, lost or repeated."""
    data = bytearray(GOOD.encode())
    for _ in range(rng.integers(1, 6)):
        at, kind = int(rng.integers(len(data))), rng.integers(4)
        if kind == 0:
            data[at] = int(rng.integers(256))
        elif kind == 1:
            del data[at : at + int(rng.integers(1, 9))]
        elif kind == 2:
            data[at:at] = data[at : at + int(rng.integers(1, 30))]
        else:
            data[at:at] = bytes(
                rng.choice(list(b',;"\n\r\t.-+eE%\x00\xff\xef0naif'), int(rng.integers(1, 4))).tolist()
            )
        if not data:
            break
    return bytes(data)


def test_no_bytes_of_a_csv_end_in_a_traceback(folder, capsys):
    rng, codes = np.random.default_rng(0), []
    for _ in range(250):
        (folder / "r.csv").write_bytes(broken(rng))
        try:
            codes.append(run.main(["analyze", "r.csv", *COLUMNS]))
        except SystemExit as stopped:
            codes.append(stopped.code)
            assert capsys.readouterr().err.count("\n") == 1
    assert set(codes) == {0, 2}
    assert 9 < codes.count(0) < 241
