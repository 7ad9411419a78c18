"""Experiments run from Python into a folder: resumed, reported, read back; and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jaxemerge as je
from jaxemerge.runner.opening import open_store
from jaxemerge.study import report_of
from whole_programs import coarse_reports as coarse_reports

BASE = je.Experiment(
    je.Count(11, 3, (3, 5)),
    je.neox(1, 24, 3),
    je.AdamW(1e-2, warmup=2),
    steps=5,
    batch=2,
    context=13,
    seeds=je.paired(range(3)),
    evaluations=(2,),
)
CELLS = je.sweep(BASE, {"optimizer.learning_rate": [1e-3, 1e-2]})


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> je.Study:
    return je.run(CELLS, tmp_path_factory.mktemp("study") / "out", report=False, progress=False)


def test_rows_and_weights_are_those_of_training_in_memory(study: je.Study) -> None:
    assert list(study.labels) == ["lr 1e-3", "lr 0.01"]
    assert study.frame()["learning_rate"].unique().to_list() == [1e-3, 1e-2]
    found, expected = study.population("lr 0.01"), je.train(CELLS[1])
    for mine, theirs in zip(jax.tree.leaves(found.params), jax.tree.leaves(expected.params), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    keys = ["init_seed", "step", "split", "length", "metric"]
    rows, others = found.frame().sort(keys), expected.frame().sort(keys)
    assert rows.select(others.columns).equals(others)
    assert repr(study) == f"Study({str(study.store.folder)!r}: 6 seeds in 2 cells)"
    assert found.experiment == CELLS[1] == study.population(1).experiment == study.population(-1).experiment
    assert study.population(CELLS[0].cell).experiment == CELLS[0]
    with pytest.raises(ValueError, match=r"cell 'lr 2': must be a number or one of lr 1e-3; lr 0\.01"):
        study.population("lr 2")


def test_what_is_finished_is_not_trained_again(study: je.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxemerge.study.running._train", lambda *_, **__: pytest.fail("trained"))
    again = je.run(list(CELLS), study.store.folder, report=False)
    assert again.frame().equals(study.frame())
    with pytest.raises(ValueError, match="out holds a study: resume=True continues it"):
        je.run(CELLS, study.store.folder, resume=False)


def test_a_cell_that_is_added_gives_all_rows_its_column(study: je.Study, tmp_path: Path) -> None:
    """Rows of the first run know nothing of what the second varies."""
    first = je.run(BASE, tmp_path / "out", report=False, progress=False, keep_weights=False)
    assert "clip" not in first.frame().columns
    more = je.sweep(BASE, {"optimizer.clip": [1.0, 2.0]})
    both = je.run(more, tmp_path / "out", report=False, progress=False)
    assert both.frame().group_by("clip").len().sort("clip").rows() == [(1.0, 72), (2.0, 72)]
    assert both.frame()["clip"].null_count() == 0
    with pytest.raises(ValueError, match="holds no weights of 3 of 3 seeds: they are kept where"):
        both.population(0)


@pytest.mark.slow
def test_the_report_is_written_with_the_threshold_of_the_run(tmp_path: Path) -> None:
    study = je.run(BASE, tmp_path / "out", threshold=0.35, progress=False)
    assert "0.35 or more" in (tmp_path / "out" / "report.html").read_text()
    assert open_store(tmp_path / "out").threshold == 0.35
    assert study.report(threshold=0.4) == tmp_path / "out" / "report.html"


@pytest.mark.slow
def test_the_same_report_is_not_written_again(study: je.Study, tmp_path: Path) -> None:
    """But one of other seeds, another threshold, by other code, or that is damaged."""
    shutil.copytree(study.store.folder, tmp_path / "out")
    page = tmp_path / "out" / "report.html"

    def changed(threshold: float = 0.35) -> bool:
        before = page.stat().st_mtime_ns if page.exists() else 0
        report_of(open_store(tmp_path / "out"), threshold, unless_current=True)
        return page.stat().st_mtime_ns != before

    assert [changed(), changed(), changed(0.4), changed(0.4)] == [True, False, True, False]
    (tmp_path / "out" / "charts" / "histograms.svg").write_text("")
    assert [changed(0.4), changed(0.4)] == [True, False]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxemerge.report.manifest._CODE", ("analysis",))
        assert changed(0.4)
    assert changed(0.4)
    je.run(replace(BASE, seeds=je.paired(range(4))), tmp_path / "out", report=False, progress=False)
    assert changed(0.4)


@pytest.mark.parametrize(
    ("experiments", "more", "message"),
    [
        ([], {}, "experiments: none given"),
        ([BASE, "x"], {}, "experiments: 'x' must be an Experiment"),
        (
            je.Experiment(je.Parity(), BASE.model, steps=2),
            {"threshold": 0.5},
            r"threshold 0\.5: must be above",
        ),
    ],
)
def test_what_is_refused_leaves_no_folder(
    experiments: Any, more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        je.run(experiments, tmp_path / "out", **more)
    assert not (tmp_path / "out").exists()
