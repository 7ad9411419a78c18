"""One law of the distribution of scores: which coordinate of scale moves successes, which their quality?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jaxemerge.brief import brief
from jaxemerge.stats import DistributionLaw, PredictedDistribution, fit_distribution_law

from .ends import final
from .results import rows_of

Floats = NDArray[np.float64]

# Fewest cells, and seeds in each of them, for a law.
CELLS, SEEDS = 4, 8
BOOTSTRAPS = 100
ALONG = 41  # scales of a curve


class Study(NamedTuple):
    """Final scores in the form that a law is fitted to.

    Attributes:
        scores: [S, L]; NaN where a seed diverged.
        trials: [L] items.
        design: [S, K].
        lengths: [L] of the tests.
        names: [K] columns of scale: depth and width where they vary, else parameters.
        split: of the tests.
        groups: [S, 2] init seed and data seed.
    """

    scores: Floats
    trials: NDArray[np.int64]
    design: Floats
    lengths: Floats
    names: tuple[str, ...]
    split: str
    groups: NDArray[np.int64]


@brief
class LawFit(NamedTuple):
    """The law of all cells, and that without some of them with its prediction.

    Attributes:
        law: of all seeds.
        held: [K] the scale of the cell that is held out, or [H, K] of several.
        without: the law without them.
        predicted: by that law, at every cell.
    """

    law: DistributionLaw
    held: Floats
    without: DistributionLaw
    predicted: PredictedDistribution

    def curves(self) -> pl.DataFrame:
        """part, length, the coordinates, value, low, high: what the law says along its first coordinate.

        The others take the values of the cells. Parts are "P(success)", "mean of successes" and "precision
        of successes".
        """
        cells = self.law.seen.scale
        grid = np.geomspace(cells[:, 0].min(), cells[:, 0].max(), ALONG)
        others = np.unique(cells[:, 1:], axis=0)
        scale = np.column_stack([np.tile(grid, len(others)), np.repeat(others, ALONG, axis=0)])
        found = self.law.predict(scale)
        tests = len(self.law.lengths)
        precision = [np.repeat(a[:, None], tests, 1) for a in _ends(found.precision)]
        parts = {
            "P(success)": _ends(found.success),
            "mean of successes": _ends(found.mean),
            "precision of successes": precision,
        }
        columns = {name: np.repeat(scale[:, k], tests) for k, name in enumerate(self.law.names)}
        columns["length"] = np.tile(self.law.lengths, len(scale))
        return pl.concat(
            pl.DataFrame(
                columns | {name: a.ravel() for name, a in zip(("value", "low", "high"), ends, strict=True)}
            ).select(pl.lit(part).alias("part"), pl.all())
            for part, ends in parts.items()
        ).fill_nan(None)

    def histograms(self) -> pl.DataFrame:
        """label, length, held, score, observed, predicted, low, high: shares of the seeds by score.

        `low` and `high` are the edges of the simultaneous band around the cumulative distribution,
        `observed_upto` and `upto` the observed and predicted cumulative shares.
        """
        seen, found = self.law.seen, self.predicted
        frames = []
        for cell, scale in enumerate(seen.scale):
            for test, length in enumerate(seen.lengths):
                n = int(seen.trials[test])
                counts = np.bincount(seen.counts[cell, :, test], weights=seen.seeds[cell], minlength=n + 1)
                observed = counts / max(counts.sum(), 1)
                columns: dict[str, Any] = {
                    "score": np.arange(n + 1) / n,
                    "observed": observed,
                    "predicted": found.probability[cell, test, : n + 1],
                    "observed_upto": np.cumsum(observed),
                    "upto": found.cumulative[cell, test, : n + 1],
                    "low": found.low[cell, test, : n + 1],
                    "high": found.high[cell, test, : n + 1],
                }
                label = " ".join(
                    f"{name} {value:g}" for name, value in zip(self.law.names, scale, strict=True)
                )
                held = bool(np.any(np.all(scale == np.atleast_2d(self.held), axis=1)))
                frames.append(
                    pl.DataFrame(columns).select(
                        pl.lit(label).alias("label"),
                        pl.lit(length).alias("length"),
                        pl.lit(held).alias("held"),
                        pl.all(),
                    )
                )
        return pl.concat(frames).fill_nan(None)


def _ends(found: Any) -> list[Floats]:
    return [np.asarray(part) for part in (found.value, found.interval.low, found.interval.high)]


def study(frame: pl.DataFrame, metric: str) -> Study | None:
    """The final scores of the first split with lengths; None where there are too few cells, seeds or items.

    A test counts if all its runs have the same number of items, and a run if it has all tests.
    """
    rows = final(rows_of(frame, metric)).filter(pl.col("trials").is_not_null(), pl.col("length") > 0)
    if not rows.height:
        return None
    split = str(rows["split"][0])
    rows = rows.filter(pl.col("split") == split)
    tests = rows.group_by("length").agg(pl.col("trials").first(), pl.col("trials").n_unique().alias("kinds"))
    tests = tests.filter(pl.col("kinds") == 1).sort("length")
    names = _coordinates(frame)
    if not tests.height or not names:
        return None
    value = pl.when(pl.col("diverged")).then(float("nan")).otherwise(pl.col("value"))
    member = ["cell", *names, "init_seed", "data_seed"]
    kept = rows.filter(pl.col("length").is_in(tests["length"].implode())).with_columns(value=value)
    wide = kept.pivot("length", index=member, values="value", aggregate_function="first").sort(member)
    wide = wide.drop_nulls([str(length) for length in tests["length"]])
    sizes = wide.group_by(names).len()
    if sizes.height < max(CELLS, len(names) + 2) or int(sizes["len"].min()) < SEEDS:  # type: ignore[arg-type]
        return None
    return Study(
        wide.select(str(length) for length in tests["length"]).to_numpy(),
        tests["trials"].to_numpy().astype(np.int64),
        wide.select(names).to_numpy().astype(np.float64),
        tests["length"].to_numpy().astype(np.float64),
        tuple(names),
        split,
        wide.select("init_seed", "data_seed").to_numpy(),
    )


def _coordinates(frame: pl.DataFrame) -> list[str]:
    """Depth and width where they vary, if they say which cell is which; else parameters."""
    cells = frame.unique("cell")
    columns: tuple[str, ...] = ("depth", "width", "parameters")
    known = [c for c in columns if c in cells.columns and not cells[c].null_count()]
    varying = [c for c in known if c != "parameters" and cells[c].n_unique() > 1]
    for names in (varying, [c for c in known if c == "parameters"]):
        if (
            names
            and cells.select(names).n_unique() == cells.height
            and cells.select(pl.min_horizontal(names).min()).item() > 0
        ):
            return names
    return []


def distribution_law(
    frame: pl.DataFrame, metric: str, threshold: float, *, bootstraps: int = BOOTSTRAPS, key: Any = 0
) -> LawFit | None:
    """The law of all cells, and that without the largest cell.

    Args:
        frame: results.
        metric: a share of items.
        threshold: between failures and successes.
        bootstraps: of both laws.
        key: int or JAX key.

    Returns:
        LawFit, or None where `study` finds too little.

    Raises:
        ValueError: if columns are missing, or runs of a cell share seeds.
    """
    found = study(frame, metric)
    if found is None or not 0 < threshold < 1:
        return None
    largest = np.log(found.design).sum(axis=1)
    held = found.design[np.argmax(largest)]
    others = ~np.all(found.design == held, axis=1)
    options: dict[str, Any] = {
        "threshold": threshold,
        "names": found.names,
        "bootstraps": bootstraps,
        "key": key,
    }
    law = fit_distribution_law(
        found.scores, found.trials, found.design, found.lengths, groups=found.groups, **options
    )
    if not all(np.ptp(column) > 0 for column in found.design[others].T):
        return None
    without = fit_distribution_law(
        found.scores[others], found.trials, found.design[others], found.lengths, **options
    )
    return LawFit(law, held, without, without.predict(law.seen.scale))
