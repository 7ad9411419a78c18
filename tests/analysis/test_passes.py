"""Are planted laws of pass rates found from counts of seeds and items, and the largest scale predicted?"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from jaxemerge.analysis import has_task_scaling, task_scaling
from jaxemerge.report import write_report
from jaxemerge.stats import pass_rate
from synthetic import population_frame

SCALES = np.array([1_000, 2_000, 4_000, 8_000, 16_000])
R, CAP = 4, 20_000


def planted(c, alpha, *, seeds=11, spread=0.1, bend=0.0, key=0):
    """Counts of items with laws -ln P = c (N / 4000)^-alpha, their logarithm moved a little by every seed."""
    rng = np.random.default_rng(key)
    c, z = np.asarray(c)[:, None], np.log(SCALES / 4_000)
    f = np.log(c) - alpha * z + bend * z**2
    parts = []
    for j, scale in enumerate(SCALES):
        moved = f[:, j] + spread * rng.standard_normal((seeds, 1))
        p = np.maximum(np.exp(-np.exp(moved)), 1e-12)
        waits = np.minimum(rng.geometric(np.broadcast_to(p, (R, *p.shape))), 10 * CAP).cumsum(axis=0)
        samples = np.minimum(waits[-1], CAP)
        s, i = np.indices(p.shape)
        columns = {
            "init_seed": s.ravel(),
            "item": 3 * i.ravel(),
            "passes": (waits <= CAP).sum(axis=0).ravel(),
            "samples": samples.ravel(),
            "censored": (waits[-1] > CAP).ravel(),
            "nll": np.exp(moved).ravel(),
        }
        fixed = {"cell": f"w{scale}", "depth": 2, "width": int(scale), "parameters": int(scale), "r": R}
        fixed |= {"split": "test", "length": 10}
        part = pl.DataFrame(columns).with_columns(pl.lit(v).alias(n) for n, v in fixed.items())
        parts.append(part.with_columns(data_seed=pl.col("init_seed")))
    rows = pl.concat(parts).with_columns(pl.col("parameters").cast(pl.Int64))
    return rows, np.exp(-np.exp(f))


LAWS = [0.5, 1.0, 1.5, 2.0, 2.5]


@pytest.fixture(scope="module")
def counts():
    return planted(LAWS, 0.9)[0]


@pytest.fixture(scope="module")
def found(counts):
    return task_scaling(counts, bootstraps=100, item_bootstraps=20)


def test_rates_are_means_of_unbiased_rates(counts, found):
    for row, scale in zip(found.rates.rows(named=True), SCALES, strict=True):
        part = counts.filter(parameters=scale)
        rates = pass_rate(part["passes"], part["samples"], part["censored"], R).value
        assert row["value"] == pytest.approx(np.mean(rates), rel=1e-12)
        assert row["low"] < row["value"] < row["high"]
        assert (row["seeds"], row["items"], row["samples"]) == (11, 5, part["samples"].sum())
    assert found.rates["held_out"].to_list() == [False] * 4 + [True]
    assert not found.rates["unseen"].any()


def test_the_planted_law_is_found_and_predicts_the_largest(counts, found):
    truth = np.exp(-np.array(LAWS)[:, None] * (SCALES / 4_000) ** -0.9)
    assert found.laws.alpha.value == pytest.approx(0.9, abs=0.2)
    for row in found.predicted.rows(named=True):
        assert row["scale"] == 16_000
        assert row["meet"]
        assert row["value"] == pytest.approx(truth[:, -1].mean(), abs=0.05)
        assert row["low"] < row["value"] < row["high"]
    assert found.predicted["level"].to_list() == ["dataset", "instance"]
    assert np.isin(found.laws.growth.name, ["sub-scaling", "super-scaling"]).sum() <= 1  # at a level of 5 %


def test_the_largest_scale_is_not_looked_at(counts, found):
    """Another measurement there: the same laws, and intervals that do not meet."""
    changed = counts.with_columns(
        passes=pl.when(parameters=16_000).then(1).otherwise("passes"),
        samples=pl.when(parameters=16_000).then(CAP).otherwise("samples"),
        censored=pl.when(parameters=16_000).then(True).otherwise("censored"),
    )
    again = task_scaling(changed, bootstraps=100, item_bootstraps=20)
    same = ["level", "scale", "value", "low", "high"]
    assert again.predicted.select(same).equals(found.predicted.select(same))
    assert again.predicted["meet"].to_list() == [False, False]


def test_seeds_that_differ_widen_the_interval(counts):
    wide = task_scaling(planted(LAWS, 0.9, spread=0.6)[0], bootstraps=100, item_bootstraps=20)
    narrow = task_scaling(planted(LAWS, 0.9, spread=0.01)[0], bootstraps=100, item_bootstraps=20)
    for a, b in zip(wide.predicted.rows(named=True), narrow.predicted.rows(named=True), strict=True):
        assert a["high"] - a["low"] > 1.5 * (b["high"] - b["low"])


@pytest.mark.slow
def test_the_interval_holds_the_truth():
    """Item by item, in most of 12 populations; benchmarks/coverage_task_scaling.py has the coverage."""
    held = {"dataset": 0, "instance": 0}
    shift = 0.2 * np.random.default_rng(1).standard_normal((1, 10**5))
    truth = np.exp(-np.exp(np.log(LAWS)[:, None] - 0.9 * np.log(16_000 / 4_000) + shift)).mean()
    for k in range(12):
        found = task_scaling(planted(LAWS, 0.9, key=k, spread=0.2)[0], bootstraps=60, item_bootstraps=20)
        for row in found.predicted.rows(named=True):
            held[row["level"]] += row["low"] <= truth <= row["high"]
    assert held["instance"] >= 9, held


def test_items_without_a_pass_are_predicted_from_their_loss():
    """The hardest item passes at the largest scale alone; its loss is measured everywhere."""
    rows, truth = planted([0.5, 1.0, 2.0, 40.0], 0.9, spread=0.02)
    never = rows.filter(pl.col("item") == 9, pl.col("parameters") < 16_000)
    assert never["passes"].sum() == 0
    found = task_scaling(rows, bootstraps=50, item_bootstraps=20)
    assert np.isnan(found.laws.alpha.value[3])
    hard = found.relation.rate.value[3, 0]
    assert hard == pytest.approx(truth[3, -1], rel=0.9)
    [instance] = found.predicted.filter(level="instance").rows(named=True)
    assert instance["value"] == pytest.approx(truth[:, -1].mean(), rel=0.1)
    unseen = found.items.filter(item="item 9", scale=8_000).row(0, named=True)
    assert unseen["unseen"]
    assert unseen["high"] == pytest.approx(3 / (11 * CAP), rel=0.01)
    without = task_scaling(rows.with_columns(nll=pl.lit(float("nan"))), bootstraps=50, item_bootstraps=20)
    assert without.relation is None


def test_what_cannot_be_fitted(counts):
    assert has_task_scaling(counts)
    assert not has_task_scaling(counts.filter(pl.col("parameters") < 16_000).filter(parameters=1_000))
    assert not has_task_scaling(counts.filter(pl.col("parameters") > 2_000))
    twice = pl.concat([counts, counts.with_columns(cell=pl.col("cell") + "b")])
    assert not has_task_scaling(twice)
    with pytest.raises(ValueError, match=r"cells of \[1000, 1000, .* every scale may have one cell only"):
        task_scaling(twice)
    for held_out in (0, 3):
        with pytest.raises(
            ValueError, match=f"held_out={held_out}: of 5 scales at least 1 is predicted, 3 are"
        ):
            task_scaling(counts, held_out=held_out)
    with pytest.raises(ValueError, match="the frame lacks columns nll"):
        task_scaling(counts.drop("nll"))


def test_a_seed_that_is_missing_is_not_a_failure(counts):
    fewer = counts.filter((pl.col("parameters") != 2_000) | (pl.col("init_seed") < 6))
    rates = task_scaling(fewer, bootstraps=20, item_bootstraps=5).rates
    assert rates["seeds"].to_list() == [11, 6, 11, 11, 11]
    part = fewer.filter(parameters=2_000)
    expected = np.mean(pass_rate(part["passes"], part["samples"], part["censored"], R).value)
    assert rates["value"][1] == pytest.approx(expected, rel=1e-12)


def test_the_report_shows_them(counts, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxemerge.report.mixtures.BOOTSTRAPS", 19)
    monkeypatch.setattr("jaxemerge.report.write.SCALE", 0.25)  # most of the time goes into pixels
    frame = population_frame([(1, 64)], 7, (30,), (5,))  # the least that is reported
    page = write_report(frame, tmp_path, title="A study", passes=counts)
    names = {path.stem for path in (tmp_path / "charts").glob("*.png")}
    assert {"task_scaling", "instances", "rate_against_loss", "growth_classes"} <= names
    text = page.read_text()
    assert "Fitted to the average, the law predicts" in text
    assert "Fitted item by item, the law predicts" in text
    table = pl.read_csv(tmp_path / "tables" / "task_scaling.csv")
    assert table["predicted"].drop_nulls().len() == 2
    few = write_report(frame, tmp_path / "few", title="A study", passes=counts.filter(parameters=1_000))
    assert "task scaling" not in few.read_text()
