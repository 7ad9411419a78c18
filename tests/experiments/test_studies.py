"""Studies: their headers say what the kept results say, and their quick runs end in reports."""

import json
import math
from pathlib import Path

import jax
import numpy as np
import polars as pl
import pytest

import figures
import run
from figures import MEASURED, measured_cells, whole
from jaxemerge import paired
from jaxemerge.cli.studies import Front
from jaxemerge.devices import Layout
from jaxemerge.runner.opening import create_store, open_store
from jaxemerge.runner.provenance import provenance
from jaxemerge.runner.records import Records
from jaxemerge.runner.scores import measured, scorer
from jaxemerge.runner.tables import cell_columns
from jaxemerge.schema import SCHEMA
from jaxemerge.training import program
from studies import COMBINED, STUDIES
from studies.finding import Finding

KEPT = Path(figures.__file__).parent / "measured"
ENOUGH, ENOUGH_WHOLE, ENOUGH_IN_ALL = 200_000, 900_000, 2_000_000  # bytes
# Not recomputed: the fits of the first take a minute, and the second runs the same code as count_depth.
SPARED = ("count_law", "count_width")

# One study of each kind is trained: by options of the command line that make its quick cells tiny, and few of
# them different.
KINDS = {
    "count_quick": ["--set", "steps=30", "--set", "model.depth=1", "--seeds", "3"],
    "init_or_data": ["--set", "steps=30", "--set", "model.depth=1", "--seeds", "2x3"],  # crossed seeds
    "grokking_time": ["--set", "steps=60", "--set", "evaluations=6", "--seeds", "3"],  # times
    "compute_optimal": [
        *("--set", "steps=30", "--set", "model.width=8", "--set", "model.heads=1", "--seeds", "3"),
        *("--set", "evaluations=2"),
    ],  # losses
    "induced_emergence": ["--set", "steps=30", "--seeds", "3", "--cells", "1,4,9,12"],  # objectives
    "pass_until_scaling": [
        *("--set", "steps=80", "--set", "pass_until.cap=200", "--set", "pass_until.items=2"),
        *("--set", "evaluations=2", "--seeds", "3", "--cells", "1,3,5,7"),
    ],  # sampling
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Figures and findings, made anew from the kept results in another place."""
    out = tmp_path_factory.mktemp("drawn")
    names = [name for name in figures.chosen([]) if name not in SPARED]
    assert figures.main([*names, "--out", str(out)]) == 0
    return out


def record_of(name):
    return json.loads((KEPT / f"{name}.json").read_text())


def kept(name):
    return pl.read_parquet(KEPT / f"{name}.parquet")


@pytest.mark.parametrize("name", [*MEASURED, *COMBINED])
def test_the_header_says_what_was_found(name):
    record = record_of(name)
    header = " ".join((COMBINED if name in COMBINED else STUDIES)[name].__doc__.split())
    assert record["findings"]
    for found in record["findings"]:
        assert found["line"] in header
    assert name in COMBINED or figures.run_line(record["run"]) in header
    # And no interval or p-value that was not found.
    lines = " ".join(found["line"] for found in record["findings"])
    for mark in ("[", "p = "):
        assert header.count(mark) == lines.count(mark)


@pytest.mark.parametrize("name", [name for name in (*MEASURED, *COMBINED) if name not in SPARED])
def test_what_was_found_follows_from_the_kept_results(name, drawn):
    record = record_of(name)
    again = json.loads((drawn / "measured" / f"{name}.json").read_text())
    assert again.get("run") == record.get("run")
    assert [each["finding"] for each in again["findings"]] == [each["finding"] for each in record["findings"]]
    for old, new in zip(record["findings"], again["findings"], strict=True):
        for number in ("value", "low", "high", "p_value"):
            expected = old[number]
            assert new[number] == (pytest.approx(expected, rel=1e-4) if type(expected) is float else expected)


@pytest.mark.parametrize("name", MEASURED)
def test_the_kept_results_are_those_of_the_present_study(name):
    rows = kept(name)
    if name == "text_loss" and not STUDIES[name].same_text():
        pytest.skip("the text of the kept results is that of another Python's library")
    assert (KEPT / f"{name}.parquet").stat().st_size < (ENOUGH_WHOLE if whole(name) else ENOUGH)
    cells = {cell.cell: set(cell.seeds) for cell in measured_cells(name)}
    there = {
        cell: set(part.select("init_seed", "data_seed").rows())
        for (cell,), part in rows.partition_by("cell", as_dict=True).items()
    }
    assert there == cells


def test_kept_results_are_small():
    assert sum(path.stat().st_size for path in KEPT.iterdir()) < ENOUGH_IN_ALL


def test_the_figures_are_drawn(drawn):
    there = {path.name for path in (KEPT.parent / "figures").iterdir()}
    again = {path.name for path in (drawn / "figures").iterdir()}
    assert {name for name in there if not name.startswith(SPARED)} == again
    for folder in (drawn, KEPT.parent):
        for path in (folder / "figures").iterdir():
            picture = path.read_bytes()
            assert picture.startswith(b"\x89PNG")
            assert len(picture) > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_quick_run_ends_in_a_report(name, tmp_path, capsys):
    out = tmp_path / "results"
    assert run.main([name, "--quick", *KINDS[name], "--out", str(out)]) == 0
    if "--cells" in KINDS[name]:
        assert run.main(["report", str(out)]) == 0
    assert (out / "report.html").stat().st_size > 500_000
    assert list((out / "charts").glob("*.png"))
    if name in MEASURED:
        store = open_store(out)
        rows = STUDIES[name].kept(figures.results(name, store, list(store.cells)))
        assert all(each.line for each in STUDIES[name].findings(rows))
        assert "is no whole quick run; train it with --quick first" in refused(["--keep", str(out)], capsys)


@pytest.mark.parametrize("name", [name for name in STUDIES if name not in KINDS])
def test_every_cell_is_planned_and_the_smallest_and_the_largest_traced(name, tmp_path, monkeypatch, capsys):
    """Tracing runs the code of task, model, optimizer, and scores, on shapes alone: nothing is compiled."""
    monkeypatch.chdir(tmp_path)
    for version in ([], ["--quick"]):
        assert run.main([name, "--plan", "--flops-per-second", "1e12", "--no-cache", *version]) == 0
        cells = STUDIES[name].cells(quick=bool(version))
        assert f"In all {sum(len(cell.seeds) for cell in cells)} seeds" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    for cell in (cells[0], cells[-1]):
        scores = traced(cell)
        assert {leaf.shape[0] for leaf in jax.tree.leaves(scores)} == {3}
        assert measured(cell, jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), scores))


def traced(cell):
    """Shapes of the scores of three seeds after some steps."""
    layout = Layout(tuple(jax.devices()[:1]), 1)
    built, members = program(cell, layout), cell.with_seeds(paired(range(3))).members
    state, seen = jax.eval_shape(
        built.advance, jax.eval_shape(built.init, members), members, 0, cell.steps, 0, *built.data
    )
    assert seen.loss_sum.shape == (3,)
    return jax.eval_shape(scorer(cell, layout), state.params)


def refused(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        figures.main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def a_run(folder, name, experiments, successes):
    """A results folder in which the first so many seeds of each cell score 0.95 and the others 0.5."""
    store = create_store(folder, name, experiments)
    for cell, count in zip(experiments, successes, strict=True):
        fixed = {**cell_columns(cell), "flops": 1.0, "step": cell.steps, "tokens": 1, "split": "test"}
        fixed |= {"length": 10, "metric": "exact_match", "trials": 100, "diverged": False}
        rows = pl.DataFrame(
            [
                {**fixed, "init_seed": i, "data_seed": d, "value": 0.95 if i < count else 0.5}
                for i, d in cell.seeds
            ],
            schema=SCHEMA,
        )
        with store.writing(cell.cell):
            record = {"seconds": 1.5, "plan": {}, "provenance": provenance()}
            store.write(cell.cell, cell.seeds, rows, record)
    return folder


def test_a_run_is_kept_and_its_findings_are_worked_out(tmp_path, capsys):
    cells = STUDIES["parity_width"].cells(quick=True)
    folder = a_run(tmp_path / "run", "parity_width", cells, (0, 3, 6, 12, 20, 24))
    assert figures.main(["--keep", str(folder), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "parity_width: 9 s of training" in printed
    record = json.loads((tmp_path / "out" / "measured" / "parity_width.json").read_text())
    found = {each["finding"]: each for each in record["findings"]}
    assert found["width 16, P(success)"]["value"] == pytest.approx(3 / 24, abs=1e-4)
    assert 24 < found["curve, width half way to the ceiling"]["value"] < 48
    assert all(each["line"] in printed for each in record["findings"])
    assert (tmp_path / "out" / "figures" / "parity_width.png").stat().st_size > 10_000


def test_what_cannot_be_kept_is_refused(tmp_path, capsys, monkeypatch):
    cells = STUDIES["parity_width"].cells(quick=True)
    out = ["--out", str(tmp_path / "out")]
    part = a_run(tmp_path / "part", "parity_width", cells[:2], (0, 3))
    assert f"{cells[2].cell} is no whole quick run" in refused(["--keep", str(part), *out], capsys)
    other = a_run(tmp_path / "other", "count_slow", cells[:1], (0,))
    assert "holds count_slow: must be one of count_quick" in refused(["--keep", str(other), *out], capsys)
    assert "no such folder" in refused(["--keep", str(tmp_path / "none"), *out], capsys)
    whole = a_run(tmp_path / "whole", "parity_width", cells, (0,) * 6)
    monkeypatch.setattr(figures, "LARGEST", 100)
    assert "take more than 100 bytes" in refused(["--keep", str(whole), *out], capsys)
    assert list((tmp_path / "out").rglob("*.*")) == []


def grid(chance, quality):
    """Final exact matches of 16 seeds each at depth 1, 2, 4 and width 32, 48, 64."""
    rng, rows = np.random.default_rng(0), []
    for cell in STUDIES["depth_or_width"].cells(quick=True):
        succeed = rng.uniform(size=16) < chance(cell.model.depth)
        value = np.where(succeed, quality(cell.model.width) + rng.uniform(-0.1, 0.1, 16), 0.0)
        fixed = {**cell_columns(cell), "flops": 1.0, "step": 400, "tokens": 1, "split": "test"}
        fixed |= {"metric": "exact_match", "trials": 100, "diverged": False}
        for length in (10, 20, 30):
            rows += [
                {**fixed, "length": length, "init_seed": s, "data_seed": s, "value": v}
                for s, v in enumerate(value)
            ]
    return pl.DataFrame(rows, schema=SCHEMA)


def test_depth_and_width_are_told_apart():
    study = STUDIES["depth_or_width"]
    rows = study.kept(grid(lambda depth: (0.1, 0.5, 0.9)[depth.bit_length() - 1], lambda width: width / 80))
    found = {each.name.removeprefix("length 20, "): each for each in study.findings(rows)}
    assert sorted(rows["length"].unique()) == [20, 30]
    assert found["P(success), per doubling of depth"].value == pytest.approx(0.4, abs=0.1)
    assert found["P(success), per doubling of depth"].p_value < 0.001
    assert found["P(success), per doubling of width"].p_value > 0.05
    assert found["mean of successes, per doubling of width"].value == pytest.approx(0.4, abs=0.05)
    assert found["mean of successes, per doubling of width"].p_value < 0.001
    assert found["mean of successes, per doubling of depth"].p_value > 0.05


def test_hints_and_depth_are_told_apart():
    study, rows = STUDIES["addition_hints"], []
    for cell in study.cells(quick=True):
        fixed = {**cell_columns(cell), "flops": 1.0, "step": 3_500, "tokens": 1, "split": "test"}
        fixed |= {"metric": "exact_match", "trials": 200, "diverged": False}
        # All know 3 digits; of 12 seeds 9 know 4 with hints, at either depth, and 1 without; none knows 6.
        knows = 9 if cell.family == study.HINTS else 1
        for length, known in ((3, 12), (4, knows), (6, 0)):
            rows += [
                {**fixed, "length": length, "init_seed": s, "data_seed": s, "value": 0.5 * (s < known)}
                for s in range(12)
            ]
    found = {each.name: each for each in study.findings(study.kept(pl.DataFrame(rows, schema=SCHEMA)))}
    assert found["length 4, P(success), gain by hints at equal depth"].value == pytest.approx(8 / 12)
    assert found["length 4, P(success), gain by hints at equal depth"].p_value < 0.001
    assert found["length 4, mean exact match, gain by hints at equal depth"].value == pytest.approx(4 / 12)
    assert found["length 4, hints, P(success), gain by one layer more"].value == pytest.approx(0, abs=1e-9)
    assert found["length 4, hints, P(success), gain by one layer more"].p_value == 1
    assert [name for name in found if "gain" in name and "length 4" not in name] == []


def test_a_study_says_what_success_is():
    """The command line comes first, then the folder, then the study; folders of old say nothing."""
    front, folder = Front(STUDIES), Path("out")
    assert front.threshold("parity_width") == 0.9
    assert front.threshold("count_quick") == front.threshold("someone_elses") == 0.2
    parity = Records(folder, "parity_width", {})
    assert front.success(None, parity) == 0.9
    assert Front().success(None, parity) == 0.2
    recorded = Records(folder, "parity_width", {}, threshold=0.5)
    assert front.success(None, recorded) == Front().success(None, recorded) == 0.5
    assert front.success(0.7, parity) == front.success(0.7, recorded) == 0.7


def test_numbers_are_written_with_three_digits():
    assert Finding("P", 0.37512, 0.2, 0.61449, 0.000123).line == "P: 0.375 [0.2, 0.614], p = 0.00012"
    assert Finding("steps", 1234.5, 900.0, math.inf).line == "steps: 1,234 [900, infinite]"
    assert Finding("test", p_value=0.5).line == "test: p = 0.5"
    assert Finding("test", p_value=0.0).line == "test: p < 1e-300"
    assert Finding("nothing", None, 0.0, math.inf).line == "nothing: unknown"
    assert Finding("steps", 12.0, 9.0, math.inf).to_dict() == {
        **{"finding": "steps", "value": 12.0, "low": 9.0, "high": "inf", "p_value": None},
        "line": "steps: 12 [9, infinite]",
    }
