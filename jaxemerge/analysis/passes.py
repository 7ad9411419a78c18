"""Do pass rates follow the task scaling law, and what does the law predict for larger models?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jaxemerge.brief import brief
from jaxemerge.stats import (
    Estimate,
    Interval,
    LossPrediction,
    TaskScaling,
    bootstrap,
    fit_task_scaling,
    generator,
    pass_rate,
    percentile_interval,
    predict_from_loss,
    success_interval,
)
from jaxemerge.stats.estimates.mean import FEWEST
from jaxemerge.stats.estimates.resampling import stretch, stretched
from jaxemerge.stats.passes.counts import Units, average_counts

from .results import MEMBER, cell_labels, require

Array = NDArray[np.float64]
COUNTS = ("passes", "samples", "censored", "r", "nll")
LEAST = 3  # scales to which a law is fitted


@brief
@dataclass(frozen=True, eq=False)
class PassScaling:
    """Pass rates of I items at N scales by S seeds, and laws of them without the largest scales.

    Attributes:
        rates: label, scale, seeds, items, samples, value (mean over seeds and items of the unbiased rates),
            low, high (bootstrap over seeds), unseen (no sample passed: the rate is below `high`), held_out;
            in order of scale.
        law: of the average rate (dataset level), seeds being what is drawn again.
        laws: of every item (instance level), of its rate averaged over seeds.
        items: item, scale, value, low, high, unseen, loss (mean answer loss in nats), fitted (by its law),
            growth; a row per item and scale.
        relation: P(pass) against answer loss over the items with passes; None where no loss is known.
        predicted: level, scale, value, low, high, measured, measured_low, measured_high, meet (whether the
            intervals do); a row per level ("dataset", "instance") and scale held out.
    """

    rates: pl.DataFrame
    law: TaskScaling
    laws: TaskScaling
    items: pl.DataFrame
    relation: LossPrediction | None
    predicted: pl.DataFrame


@dataclass(frozen=True, eq=False)
class _Table:
    """Counts and answer losses [I, S, N], samples = 0 where there are none, and what the axes are."""

    units: Units
    loss: Array
    scales: Array
    labels: list[str]
    items: list[str]

    def fitted(self, n: int) -> _Table:
        """The first n scales."""
        units = Units(*(a[..., :n] for a in self.units))
        return _Table(units, self.loss[..., :n], self.scales[:n], self.labels[:n], self.items)


def has_task_scaling(passes: pl.DataFrame) -> bool:
    """Whether there are enough scales for a law and one to predict, and any pass below the largest."""
    sizes = passes.filter(pl.col("parameters").is_not_null())["parameters"].unique().sort()
    if len(sizes) <= LEAST or passes["cell"].n_unique() != len(sizes):
        return False
    below = passes.filter(pl.col("parameters") < sizes[-1])
    return bool(below["passes"].sum())


def task_scaling(
    passes: pl.DataFrame,
    *,
    held_out: int = 1,
    confidence: float = 0.95,
    bootstraps: int = 1000,
    item_bootstraps: int = 100,
    key: Any = 0,
) -> PassScaling:
    """Fits the task scaling law to the pass counts of a model series, and tests its predictions.

    The scale is the number of non-embedding parameters, one cell for each. Seeds are resampled
    independently at each scale: for the average rate as in `fit_task_scaling`, for items keeping all items of
    a seed together, so that the average of the items' laws has an interval over seeds too. Where an item has
    no pass at the scales fitted, its rate is predicted from its answer loss (`predict_from_loss`).

    Intervals are too narrow with few seeds: of 40 planted populations of 11 seeds and five items of different
    laws, 95 % intervals held the true rate at the predicted scale in 33 item by item, and in 26 by one law of
    the average, as an average of different laws does not follow a law.

    Args:
        passes: a row per seed and item, as an experiment with `pass_until` keeps them.
        held_out: number of the largest scales to predict.
        confidence: probability in (0, 1).
        bootstraps: of the law of the average.
        item_bootstraps: of the items' laws together.
        key: int or JAX key.

    Raises:
        ValueError: if columns are missing, cells share a scale, or fewer than three scales are left to fit.

    References:
        Hu et al. (2023), arXiv 2310.03262, section 5.
    """
    require(passes, *MEMBER, *COUNTS, "parameters", "split", "length", "item")
    table = _table(passes)
    n = len(table.scales) - held_out
    if held_out < 1 or n < LEAST:
        raise ValueError(
            f"held_out={held_out}: of {len(table.scales)} scales at least 1 is predicted, {LEAST} are fitted"
        )
    rng = generator(key)
    known = table.fitted(n)
    rates = _rates(table, passes, n, confidence, key)
    rate_SN, worth_SN = _of_seeds(known)
    options: dict[str, Any] = {"confidence": confidence, "key": key}
    law = fit_task_scaling(
        known.scales,
        counts=(rate_SN * worth_SN, worth_SN),
        level="dataset",
        unit="seeds",
        bootstraps=bootstraps,
        **options,
    )
    counts_IN = average_counts(known.units, "seeds")
    laws = fit_task_scaling(known.scales, counts=counts_IN, bootstraps=0, confidence=confidence)
    relation = _relation(known, counts_IN, table.scales[n:], options)
    instance = _average(known, laws, relation, table.scales[n:], item_bootstraps, confidence, rng)
    ahead = law.predict(table.scales[n:])
    return PassScaling(
        rates=rates,
        law=law,
        laws=laws,
        items=_items(table, laws, confidence),
        relation=relation,
        predicted=_predicted({"dataset": ahead, "instance": instance}, rates.tail(held_out)),
    )


def _table(passes: pl.DataFrame) -> _Table:
    """Counts as arrays; seeds in the order of their rows, filled up with none where a cell has fewer."""
    cells = cell_labels(passes).sort("parameters")
    sizes = cells["parameters"].to_list()
    if len(set(sizes)) < len(sizes):
        raise ValueError(f"cells of {sizes} parameters: every scale may have one cell only")
    keys = ["split", "length", "item"]
    items = passes.select(keys).unique().sort(keys)
    several = items.select("split", "length").n_unique() > 1
    place = {key: i for i, key in enumerate(items.rows())}
    most = max(part.select(MEMBER).n_unique() for part in passes.partition_by("cell"))
    shape = len(place), most, len(sizes)
    found = {name: np.zeros(shape) for name in ("passes", "samples", "rate")}
    loss = np.full(shape, np.nan)
    for j, cell in enumerate(cells["cell"]):
        part = passes.filter(pl.col("cell") == cell)
        seeds = {seed: s for s, seed in enumerate(part.select(MEMBER).unique(maintain_order=True).rows())}
        at = (
            [place[row] for row in part.select(keys).rows()],
            [seeds[row] for row in part.select(MEMBER).rows()],
        )
        rate = pass_rate(part["passes"], part["samples"], part["censored"], int(part["r"][0])).value
        for name in ("passes", "samples"):
            found[name][(*at, j)] = part[name].to_numpy()
        found["rate"][(*at, j)] = rate
        loss[(*at, j)] = part["nll"].to_numpy()
    names = [f"{split} {length or ''} {item}" if several else f"item {item}" for split, length, item in place]
    units = Units(found["passes"], found["samples"], found["rate"])
    return _Table(units, loss, np.array(sizes, np.float64), cells["label"].to_list(), names)


def _of_seeds(table: _Table) -> tuple[Array, Array]:
    """The mean rate of every seed over its items, and the samples of one count worth as much, [S, N] each.

    That count has the variance of the mean, each item's being p (1 - p) / K, with one pass and failure more
    so that 0 of K is not certain.
    """
    passes, samples, rate = table.units
    there = samples > 0
    number = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, rate, 0.0).sum(axis=0) / number
    p = np.where(passes > 0, rate, (passes + 0.5) / (samples + 1))
    own = np.where(there, p * (1 - p) / np.maximum(samples, 1), 0.0)
    variance = own.sum(axis=0) / number**2
    total = samples.sum(axis=0)
    worth = np.divide(
        mean * (1 - mean), variance, out=total.copy(), where=(mean > 0) & (mean < 1) & (variance > 0)
    )
    return mean, np.minimum(worth, total)


def _rates(table: _Table, passes: pl.DataFrame, n: int, confidence: float, key: Any) -> pl.DataFrame:
    rate_SN, _ = _of_seeds(table)
    there_SN = table.units.samples.sum(axis=0) > 0
    rows = []
    for j, scale in enumerate(table.scales):
        seeds = rate_SN[there_SN[:, j], j]
        samples = float(table.units.samples[..., j].sum())
        mean = bootstrap(seeds, lambda v: v.mean(axis=-1), confidence=confidence, key=key)
        unseen = not table.units.passes[..., j].any()
        high = 1 - (1 - confidence) ** (1 / samples) if unseen else mean.interval.high
        sizes = (len(seeds), len(table.items), int(samples))
        low = max(mean.interval.low, 0.0) if not unseen else 0.0
        rows.append((table.labels[j], scale, *sizes, mean.value, low, high, unseen, j >= n))
    names = ["label", "scale", "seeds", "items", "samples", "value", "low", "high", "unseen", "held_out"]
    return pl.DataFrame(rows, schema=names, orient="row")


def _relation(
    known: _Table, counts: tuple[Array, Array], at: Array, options: dict[str, Any]
) -> LossPrediction | None:
    loss_IN = _mean_loss(known)
    if not np.all(np.isfinite(loss_IN) & (loss_IN > 0)):
        return None
    return predict_from_loss(known.scales, loss_IN, counts, at, **options)


def _mean_loss(table: _Table) -> Array:
    """Over seeds, [I, N]; NaN where none has a finite loss, as where all diverged."""
    finite = np.isfinite(table.loss)
    number = finite.sum(axis=1)
    total = np.where(finite, table.loss, 0.0).sum(axis=1)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def _average(
    known: _Table,
    laws: TaskScaling,
    relation: LossPrediction | None,
    at: Array,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> Estimate:
    """The mean over items of the predictions of their laws, [M], with percentiles over resampled seeds."""
    instead = np.zeros((len(known.items), len(at))) if relation is None else np.asarray(relation.rate.value)
    n_seeds = known.units.passes.shape[1]
    means = []
    for _ in range(resamples):
        drawn = rng.integers(n_seeds, size=(1, n_seeds, len(known.scales)))
        units = Units(*(np.take_along_axis(a, drawn, axis=1) for a in known.units))
        again = fit_task_scaling(known.scales, counts=average_counts(units, "seeds"), bootstraps=0)
        means.append(_filled(again, at, instead).mean(axis=0))
    value = _filled(laws, at, instead).mean(axis=0)
    known_seeds = n_seeds if n_seeds >= FEWEST else np.nan
    by = stretch(known_seeds - 1, confidence) * np.sqrt(known_seeds / (known_seeds - 1))
    ends = stretched(value, percentile_interval(np.stack(means), confidence), by)
    return Estimate(value, Interval(np.clip(ends.low, 0, 1), np.clip(ends.high, 0, 1)))


def _filled(laws: TaskScaling, at: Array, instead: Array) -> Array:
    """Predictions of the laws [I, M], replaced where an item has no law."""
    value = np.asarray(laws.predict(at).value)
    return np.where(np.isnan(value), instead, value)


def _items(table: _Table, laws: TaskScaling, confidence: float) -> pl.DataFrame:
    passes, worth = average_counts(table.units, "seeds")
    rate = np.divide(passes, worth, out=np.zeros(passes.shape), where=worth > 0)
    ends = success_interval(np.minimum(passes, worth), worth, confidence)
    fitted, loss = np.asarray(laws.predict(table.scales).value), _mean_loss(table)
    unseen = table.units.passes.sum(axis=1) == 0
    total = table.units.samples.sum(axis=1)
    limit = 1 - (1 - confidence) ** (1 / np.maximum(total, 1))
    high = np.where(unseen, limit, ends.high)
    shape = rate.shape
    columns = {
        "item": np.repeat(table.items, shape[1]),
        "scale": np.tile(table.scales, shape[0]),
        "label": np.tile(table.labels, shape[0]),
        "growth": np.repeat(np.asarray(laws.growth.name), shape[1]),
    }
    values = {"value": rate, "low": ends.low, "high": high, "unseen": unseen, "loss": loss, "fitted": fitted}
    return pl.DataFrame({**columns, **{name: np.ravel(a) for name, a in values.items()}}).with_columns(
        pl.col("fitted", "loss").fill_nan(None)
    )


def _predicted(ahead: dict[str, Estimate], measured: pl.DataFrame) -> pl.DataFrame:
    """Predicted and measured rates by level and scale."""
    rows = []
    for level, estimate in ahead.items():
        ends = estimate.interval
        predictions = zip(*map(np.atleast_1d, (estimate.value, ends.low, ends.high)), strict=True)
        for row, (value, low, high) in zip(measured.rows(named=True), predictions, strict=True):
            seen = row["value"], row["low"], row["high"]
            rows.append(
                (level, row["scale"], value, low, high, *seen, bool(low <= seen[2] and seen[1] <= high))
            )
    names = ["level", "scale", "value", "low", "high", "measured", "measured_low", "measured_high", "meet"]
    return pl.DataFrame(rows, schema=names, orient="row").fill_nan(None)
