"""A cell of the paper on a machine that is there for minutes: nothing is trained twice, nothing is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
import pytest

import accelerator
import paper_cell
from jaxemerge import Experiment, train
from jaxemerge.devices import Layout
from jaxemerge.runner.opening import open_store
from jaxemerge.runner.train import Population
from paper_cell import Chunk
from paper_results import add, distribution

CELLS = paper_cell.cells(tiny=True)
CELL = CELLS["4x64"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A first machine's arrays: as many chunks as it has time for."""
    out = tmp_path_factory.mktemp("arrays")
    assert paper_cell.train(CELL, out, out / "none", seconds=600.0)
    return out


@pytest.fixture(scope="module")
def in_memory() -> Population:
    """The same seeds, trained by the library's own call, as many at once."""
    return train(CELL, chunk=jax.local_device_count())


def test_the_paper_s_cells_are_those_of_the_studies() -> None:
    import paper

    found = paper_cell.cells()
    assert len(found) == 12  # of 15, three are in two families
    assert found["4x64"] == paper.cell("4x64")
    assert (found["4x64"].steps, found["4x64"].batch, len(found["4x64"].seeds)) == (10_000, 128, 250)
    assert len({one.cell for one in CELLS.values()}) == len(CELLS)


def test_all_seeds_are_trained_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chunks = paper_cell.finished_chunks(folder, CELL.cell)
    seeds = [seed for chunk in chunks for seed in chunk.experiment.seeds]
    assert sorted(seeds) == sorted(CELL.seeds)
    assert list(folder.glob("*.partial.npz")) == []
    assert paper_cell.train(CELL, folder, folder / "none", seconds=600.0) == []
    assert "0 of 5 seeds are missing" in capsys.readouterr().out


def test_scores_are_those_of_training_in_memory(folder: Path, in_memory: Population) -> None:
    chunks = paper_cell.finished_chunks(folder, CELL.cell)
    expected = in_memory.evaluations
    for i, evaluation in enumerate(expected):
        together = [chunk.evaluations[i] for chunk in chunks]
        assert {one.step for one in together} == {evaluation.step}
        found = np.concatenate([one.scores.nll for one in together])
        np.testing.assert_allclose(found, evaluation.scores.nll, rtol=1e-5)
        losses = np.concatenate([one.train_loss for one in together])
        np.testing.assert_allclose(losses, evaluation.train_loss, rtol=1e-5)


def test_result_parts_are_ordinary_ones(folder: Path, in_memory: Population, tmp_path: Path) -> None:
    results = tmp_path / "paper"
    added = add(folder, results, CELLS)
    assert len(added) == len(paper_cell.finished_chunks(folder, CELL.cell))
    assert all(line.endswith(": added") for line in added)
    store = open_store(results)
    assert store.finished(CELL.cell) == set(CELL.seeds)
    assert store.damage() == []
    rows, expected = store.results(), in_memory.frame()
    order = ["init_seed", "step", "split", "length", "metric"]
    columns = [name for name in expected.columns if name not in ("study", "value")]
    assert rows.sort(order).select(columns).equals(expected.sort(order).select(columns))
    assert set(rows["study"]) == {"paper"}
    left, right = (frame.sort(order)["value"].to_numpy() for frame in (rows, expected))
    np.testing.assert_allclose(left, right, rtol=1e-5)
    table = distribution(results, CELLS)
    assert table["seeds"].to_list() == [5, 5]
    assert table["length"].to_list() == [5, 8]
    # A second time nothing is added.
    assert all("some are there already" in line for line in add(folder, results, CELLS))
    assert open_store(results).results().height == rows.height


def test_a_later_machine_trains_what_is_missing(folder: Path, tmp_path: Path) -> None:
    """It has the results folder, and none of the first one's arrays."""
    first = paper_cell.finished_chunks(folder, CELL.cell)[0]
    half = tmp_path / "half"
    half.mkdir()
    first.write(half)
    results = tmp_path / "paper"
    add(half, results, CELLS)
    missing = set(CELL.seeds) - set(first.experiment.seeds)
    assert paper_cell.seeds_there(CELL.cell, tmp_path / "none", results) == set(first.experiment.seeds)
    again = tmp_path / "again"
    for chunk in paper_cell.train(CELL, again, results, seconds=600.0):
        assert set(chunk.experiment.seeds) <= missing
    assert paper_cell.seeds_there(CELL.cell, again, tmp_path / "none") == missing


def test_what_a_machine_that_is_taken_away_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Time runs out in the first chunk: its scores so far are there, and are no results."""
    plan = paper_cell.fixed_plan(CELL, Layout(tuple(jax.local_devices())), 1, "given", dispatch=1)
    end = [3]  # updates

    def clock() -> float:
        return 1e9 if paper_cell_steps(tmp_path) >= end[0] else 0.0

    def paper_cell_steps(folder: Path) -> int:
        files = list(folder.glob("*.partial.npz"))
        return paper_cell.read(files[0]).evaluations[-1].step if files else 0

    monkeypatch.setattr(paper_cell.time, "monotonic", clock)
    chunk = paper_cell._trained(CELL.with_seeds(CELL.seeds[:2]), plan, tmp_path, end=1.0)
    assert not chunk.finished
    [partial] = tmp_path.iterdir()
    kept = paper_cell.read(partial)
    assert 0 < kept.evaluations[-1].step < CELL.steps
    assert kept.experiment.seeds == CELL.seeds[:2]
    assert paper_cell.finished_chunks(tmp_path, CELL.cell) == []
    assert "time is up at step" in capsys.readouterr().out


def made(seeds: range, value: float, diverged: bool = False) -> Chunk:
    experiment: Experiment = CELL.with_seeds((s, s) for s in seeds)
    n = len(seeds)
    items = np.array([16, 13])  # windows of length 5 and 8 among 20 numbers
    exact = np.tile((value * items).round().astype(int), (n, 1))
    scores = paper_cell.SetScores(exact, exact * 5, np.ones((n, 2)))
    last: Any = paper_cell.Evaluation(CELL.steps, scores, np.ones(n), np.ones(n), np.full(n, diverged))
    return Chunk(experiment, (last,), {"seconds": 1.0})


def test_the_distribution_so_far() -> None:
    lines = paper_cell.told([made(range(3), 1.0), made(range(3, 5), 0.0), made(range(5, 6), 1.0, True)])
    assert lines.splitlines() == [
        "length 5: 3 of 6 seeds at 0.2 or more, their mean 1.000",
        "length 8: 3 of 6 seeds at 0.2 or more, their mean 1.000",
    ]


def test_a_chunk_reads_back(tmp_path: Path) -> None:
    written = made(range(2, 4), 0.5)
    found = paper_cell.read(written.write(tmp_path))
    assert found.experiment == written.experiment
    assert found.record == written.record
    for seen, expected in zip(found.evaluations[0], written.evaluations[0], strict=True):
        np.testing.assert_array_equal(np.asarray(seen), np.asarray(expected))
    assert [path.name for path in tmp_path.iterdir()] == [f"{CELL.cell}-seeds-2-3.npz"]


class Gpu:
    """Stands in for a device with memory of its own."""

    platform, device_kind = "gpu", "H100"
    memory = 2**36

    def memory_stats(self) -> dict[str, int]:
        return {"bytes_limit": self.memory}


@pytest.mark.parametrize(
    ("rate", "left", "width"),
    [
        (100.0, 1_000.0, 16),  # the usual number fits
        (2.0, 100.0, 1),  # nothing fits: not even one seed
        (12 * 1.15 * 5 / 110.0, 200.0, 5),  # 110 s are left after compiling again: five seeds
    ],
)
def test_a_chunk_is_as_large_as_can_be_finished(
    rate: float, left: float, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper_cell.jax, "local_devices", lambda: [Gpu()])
    monkeypatch.setattr(paper_cell, "_rate", lambda experiment, layout: rate)
    monkeypatch.setattr(paper_cell.time, "monotonic", lambda: 0.0)
    plan, seen = paper_cell._plan(replace(CELL, seeds=tuple((s, s) for s in range(99))), 99, left)
    assert (plan.layout.width, plan.chunk, seen) == (width, width, rate)


def test_a_chunk_that_cannot_be_finished_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(paper_cell, "_rate", lambda experiment, layout: 1e-3)
    monkeypatch.setattr(paper_cell, "_trained", lambda *_: pytest.fail("started"))
    assert paper_cell.train(CELL, tmp_path, tmp_path / "none", seconds=60.0) == []
    n = jax.local_device_count()
    assert f"{n} more seeds would take {n * 12 * 1.15 / 1e-3:.0f} s" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def full(*_: object) -> None:
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")


def test_memory_that_runs_out_halves_the_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four seeds side by side do not fit, two do; none of the five is lost."""
    one = tuple(jax.local_devices())[:1]
    plan = paper_cell.fixed_plan(CELL, Layout(one, 4), 4, "given")
    tried: list[int] = []

    def trained(experiment: Experiment, plan: Any, *_: object) -> Chunk:
        tried.append(len(experiment.seeds))
        return full() if plan.chunk > 2 else made(range(len(experiment.seeds)), 1.0)  # type: ignore[return-value]

    monkeypatch.setattr(paper_cell, "_trained", trained)
    monkeypatch.setattr(paper_cell, "_rate", lambda experiment, layout: 1e6)
    done = paper_cell._chunks(CELL, CELL.seeds, plan, 1e6, tmp_path, end=float("inf"))
    assert tried == [4, 2, 2, 1]
    assert len(done) == 3
    assert "out of memory: 2 seeds at once from here on" in capsys.readouterr().out


def test_memory_that_runs_out_with_one_seed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(paper_cell, "_rate", full)
    with pytest.raises(SystemExit) as stopped:
        accelerator.main(["--tiny", "--train", "4x64", "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: out of memory with one seed on each of ")


def test_a_chunk_keeps_to_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper_cell.jax, "local_devices", lambda: [Gpu()])
    monkeypatch.setattr(paper_cell, "_rate", lambda experiment, layout: 1e9)
    cell = paper_cell.cells()["4x512"]
    monkeypatch.setattr(Gpu, "memory", 8 * 2**30)
    plan, _ = paper_cell._plan(cell, 250, 1e9)
    assert 1 <= plan.layout.width < 16
    assert plan.bytes < 0.7 * Gpu.memory


@pytest.mark.slow
def test_the_command_trains_and_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "paper"
    monkeypatch.setattr(accelerator, "MEASURED", results)
    arrays = tmp_path / "arrays"
    assert accelerator.main(["--tiny", "--train", "4x128", "--minutes", "10", "--out", str(arrays)]) == 0
    assert "5 seeds trained, 5 there in all" in capsys.readouterr().out
    assert accelerator.main(["--tiny", "--import", str(arrays)]) == 0
    said = capsys.readouterr().out
    assert f"{CELLS['4x128'].cell}, seeds 0 to" in said
    assert "success_low" in said
    described = json.loads((results / "study.json").read_text())
    assert described["study"] == "paper"
    assert isinstance(open_store(results).results(), pl.DataFrame)
