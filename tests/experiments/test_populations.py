"""Hundreds of seeds per cell: what is planted is found, and what 16 seeds would have said is counted."""

import json

import numpy as np
import polars as pl
import pytest

import figures
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.provenance import provenance
from jaxemerge.runner.tables import cell_columns
from jaxemerge.schema import SCHEMA
from studies import STUDIES, count_families, populations

ITEMS = {10: 51, 15: 46, 20: 41, 30: 31}
SEEDS = 250
LOST = 20  # seeds of each cell, among its failures where there are so many


def scores(rng, share, quality, items):
    """A share of the seeds near `quality`, the others near 0, as counts out of items."""
    succeed = np.arange(SEEDS) < round(share * SEEDS)
    rate = np.where(succeed, rng.beta(40 * quality, 40 * (1 - quality), SEEDS), 0.01)
    return rng.binomial(items, rate) / items


def rows_of(cell, share, quality):
    """Results of one cell: three evaluations; the last seeds succeed at the second."""
    rng, parts = np.random.default_rng(cell.model.depth + 100 * cell.model.width), []
    fixed = {**cell_columns(cell), "flops": 1.0, "tokens": 1, "split": "test", "diverged": False}
    before = np.where(np.arange(SEEDS) >= SEEDS - LOST, 0.5, 0.0)
    seeds = {"init_seed": range(SEEDS), "data_seed": range(SEEDS)}
    for length, items in ITEMS.items():
        end = scores(rng, share, quality, items)
        for step, values in ((0, np.zeros(SEEDS)), (300, before), (cell.steps, end)):
            more = {"step": step, "length": length, "metric": "exact_match", "trials": items}
            parts.append(pl.DataFrame({**seeds, "value": values}).with_columns(**lit(fixed | more)))
    loss = {"step": cell.steps, "length": None, "metric": "train_loss", "trials": None, "split": "train"}
    losses = rng.normal(1.0, 0.1, SEEDS)
    parts.append(pl.DataFrame({**seeds, "value": losses}).with_columns(**lit(fixed | loss)))
    return pl.concat([part.select(pl.col(c).cast(t) for c, t in SCHEMA.items()) for part in parts])


def lit(values):
    return {name: pl.lit(value) for name, value in values.items()}


def family(name, share, quality):
    """Kept rows of a study whose success and quality are functions of depth and width."""
    cells = STUDIES[name].cells()
    rows = [rows_of(cell, share(cell.model), quality(cell.model)) for cell in cells]
    return STUDIES[name].kept(pl.concat(rows))


def chance(model):
    return {1: 0.0, 2: 0.3, 3: 0.55, 4: 0.75, 5: 0.95}[model.depth]


def quality(model):
    return 0.45 + 0.1 * np.log2(model.width / 8)


@pytest.fixture(scope="module")
def depth():
    return family("count_depth", chance, quality)


@pytest.fixture(scope="module")
def found(depth):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(populations, "TESTED", 7)
        return {each.name: each for each in populations.findings(depth)}


def test_the_sizes_are_those_that_were_asked_for(depth):
    for name, cells in (("count_depth", 5), ("count_width", 6)):
        assert [len(cell.seeds) for cell in STUDIES[name].cells()] == [SEEDS] * cells
        assert [len(cell.seeds) for cell in STUDIES[name].cells(quick=True)] == [16] * cells
    assert len({c.cell for name in count_families.SOURCES for c in STUDIES[name].cells()}) == 10
    # Final scores at every length, longer ones at every evaluation, and one loss per seed.
    assert depth.height == 5 * SEEDS * (4 + 2 * 2 + 1)


def test_two_sided_cells_are_found(found):
    for length in populations.LENGTHS:
        for place, share in enumerate((0.3, 0.55, 0.75), 2):
            name = f"depth {place}"
            assert found[f"length {length}, {name}, scores have a single mode"].p_value < 0.05
            assert found[f"length {length}, {name}, P(success)"].value == pytest.approx(share, abs=0.01)
    losses = [
        each.p_value for name, each in found.items() if name.endswith("training losses have a single mode")
    ]
    assert len(losses) == 5
    assert min(losses) > 0.05


def test_a_gradual_change_is_no_step(found):
    for length in populations.LENGTHS:
        assert found[f"length {length}, P(success) changes at one step only"].p_value < 0.05
        half = found[f"length {length}, depth at which half of the ceiling is reached"]
        assert 2 < half.low < half.value < half.high < 3.5


def test_seeds_that_lost_the_ability_are_counted(found):
    for place, failures in ((1, SEEDS), (2, 175), (5, 12)):
        lost = found[f"length 20, depth {place}, share of seeds that had the ability and lost it"]
        assert lost.value == pytest.approx(min(failures, LOST) / SEEDS, abs=1 / SEEDS)
        assert lost.low < lost.value < lost.high


def test_small_studies_disagree_as_often_as_the_binomial_law_says(depth, found):
    """Two neighbours of 16 seeds each are ranked rightly with a probability that two sums give."""
    name = "length 30, share of studies of 16 seeds"
    assert found[f"{name} whose trend with scale turns around"].value == 0
    assert found[f"{name} that find other cells with two modes, or none"].value > 0.5
    ends = populations.final_matches(depth).filter(pl.col("length") == 30).sort("depth", "init_seed")
    good = [int((part["value"] >= 0.2).sum()) for part in ends.partition_by("depth", maintain_order=True)]
    rng = np.random.default_rng(0)
    drawn = np.stack([rng.hypergeometric(k, SEEDS - k, 16, 20_000) for k in good], axis=1)
    expected = np.mean(np.any(np.diff(drawn) <= 0, axis=1))
    share = found[f"{name} whose order of neighbouring cells is another"]
    assert share.value == pytest.approx(expected, abs=0.06)


def test_depth_and_width_are_told_apart(depth):
    width = family("count_width", chance, quality)
    findings, chart = count_families.findings_and_figure(depth, width)
    found = {each.name.removeprefix("length 20, "): each for each in findings}
    assert count_families.ends_of_both(depth, width).height == 10 * SEEDS * 2
    assert found["logits of success per doubling of depth"].low > 1
    assert found["logits of success per doubling of depth"].p_value < 0.001
    assert found["logits of success per doubling of width"].p_value > 0.05
    assert found["mean of successes, per doubling of width"].value == pytest.approx(0.1, abs=0.02)
    assert found["mean of successes, per doubling of width"].p_value < 0.01
    assert found["mean of successes, per doubling of depth"].p_value > 0.05
    assert chart.to_dict()


def test_a_shared_cell_is_taken_from_the_other_studys_folder(tmp_path, capsys, depth, monkeypatch):
    def folder(name, cells):
        store = create_store(tmp_path / name, name, cells)
        for cell in cells:
            rows = rows_of(cell, chance(cell.model), quality(cell.model))
            with store.writing(cell.cell):
                record = {"seconds": 2.0, "plan": {}, "provenance": provenance()}
                store.write(cell.cell, cell.seeds, rows, record)
        return str(tmp_path / name)

    width = STUDIES["count_width"].cells()
    [shared] = [cell for cell in STUDIES["count_depth"].cells() if cell.cell in {c.cell for c in width}]
    own = folder("count_width", [cell for cell in width if cell.cell != shared.cell])
    out = ["--out", str(tmp_path / "out")]
    monkeypatch.setattr(populations, "findings", lambda rows: [])
    monkeypatch.setattr(STUDIES["count_width"], "findings", lambda rows: [])
    monkeypatch.setattr(STUDIES["count_width"], "more_figures", lambda rows: {})
    with pytest.raises(SystemExit):
        figures.main(["--keep", own, *out])
    assert f"{shared.cell} is no whole run; train it without --quick first" in capsys.readouterr().err
    assert figures.main(["--keep", own, folder("count_depth", [shared]), *out]) == 0
    rows = pl.read_parquet(tmp_path / "out" / "measured" / "count_width.parquet")
    assert {cell.cell for cell in width} == set(rows["cell"])
    assert set(rows["study"]) == set(rows["family"]) == {"count_width"}
    record = json.loads((tmp_path / "out" / "measured" / "count_width.json").read_text())
    assert record["run"]["seconds"] == 2 * len(width)


def test_a_name_of_no_study_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        figures.main(["count_slow"])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "'count_slow' must be one of count_quick" in error
    assert error.count("\n") == 1
