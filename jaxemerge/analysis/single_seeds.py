"""Single seeds: correlations between outcomes, variance by source, and curves along the scale."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jaxemerge.stats import breakthroughness, correlation, holm, linearity, split_variance
from jaxemerge.stats.estimates.arguments import check_at_least

from .ends import final, final_scores
from .kinds import less_is_better
from .results import MEMBER, cell_labels, forms_a_curve, one_test, rows_of

SEED = MEMBER[1:]
PAIRS: dict[str, Any] = {"first": pl.String, "second": pl.String, "seeds": pl.Int64}
PAIRS |= dict.fromkeys(("correlation", "low", "high", "p_value", "p_adjusted"), pl.Float64)
SHARES: dict[str, Any] = {"cell": pl.String, "label": pl.String, "scale": pl.Float64}
SHARES |= {"init_seeds": pl.Int64, "data_seeds": pl.Int64, "source": pl.String}
SHARES |= dict.fromkeys(("share", "low", "high", "p_value"), pl.Float64)
RANKINGS = ("breakthroughness", "linearity")


def correlations(
    frame: pl.DataFrame,
    across: Literal["length", "split", "metric", "scale"],
    metric: str = "exact_match",
    *,
    cell: str | None = None,
    split: str | None = None,
    length: int | None = None,
    key: Any = 0,
) -> pl.DataFrame:
    """Spearman's correlation over seeds between two lengths, splits, metrics or scales, all pairs.

    "length": one cell, one metric, all test lengths of a split. "split": one cell, one metric, and of every
    split, such as those of the tasks of a mixture, the test on which seeds differ most. "metric": one cell
    and test, all metrics measured on it and the final training loss. "scale": one metric and test, all
    cells; a seed is then the same pair of seed numbers, and models of different shape share nothing but the
    data.

    A diverged seed has the worst outcome: 0 where the metric is a proportion, else one that is larger than
    all others. Seeds without one of the outcomes are left out.

    Args:
        frame: results.
        across: what differs between outcomes.
        metric: of the outcomes; not used by "metric".
        cell: needed by "length", "split" and "metric" where there are several.
        split, length: the test, where there are several.
        key: int or JAX key of the permutations and resamples.

    Returns:
        first, second (names of the outcomes, each pair once), seeds, correlation, low, high, p_value
        (permutation), p_adjusted (the same, by Holm for all pairs); null where undefined (a constant
        outcome). No row with one outcome only.

    Raises:
        ValueError: if `across` is none of the four, a metric or cell is missing, or the choice leaves no
            test or several.
    """
    chosen = frame if cell is None else frame.filter(pl.col("cell") == cell)
    if across != "scale" and chosen["cell"].n_unique() != 1:
        known = ", ".join(sorted(frame["cell"].unique()))
        raise ValueError(f"cell={cell!r}: correlations across {across} need one of {known}")
    if across == "length":
        rows = final_scores(chosen, metric)
        rows = rows if split is None else rows.filter(pl.col("split") == split)
        return _pairs(rows, "test", key)
    if across == "split":
        return _pairs(_most_varied(final_scores(chosen, metric)), "test", key)
    if across == "metric":
        return _pairs(_metrics(chosen, split, length), "metric", key)
    if across == "scale":
        return _pairs(one_test(final_scores(frame, metric), metric, split, length), "label", key)
    raise ValueError(f"across={across!r} must be 'length', 'split', 'metric' or 'scale'")


def variance_shares(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    *,
    split: str | None = None,
    length: int | None = None,
    key: Any = 0,
) -> pl.DataFrame:
    """Shares of the variance over runs due to the init seed, the data seed and their interaction.

    Only cells whose runs cross two or more init seeds with two or more data seeds, every pair once, can tell
    them apart; the others have no row.

    Args:
        frame: results.
        metric: a metric in [0, 1].
        split, length: the test; may be left out where there is one only.
        key: int or JAX key.

    Returns:
        cell, label, scale, init_seeds, data_seeds (numbers of them), source ("init seed", "data seed",
        "both together"), share, low, high, p_value (of the F test, null for the last source); null where all
        outcomes are equal.

    Raises:
        ValueError: as `correlations`.

    References:
        As `jaxemerge.stats.split_variance`.
    """
    scores = one_test(final_scores(frame, metric), metric, split, length)
    rows = []
    for group, runs in scores.group_by("cell", "label", "scale", maintain_order=True):
        inits, orders = runs["init_seed"].n_unique(), runs["data_seed"].n_unique()
        if min(inits, orders) < 2 or inits * orders != runs.height:
            continue
        found = split_variance(runs.sort(*SEED)["value"].to_numpy().reshape(inits, orders), key=key)
        parts = (
            ("init seed", found.init_share, found.init_p),
            ("data seed", found.data_share, found.data_p),
            ("both together", found.residual_share, None),
        )
        for source, share, p_value in parts:
            ends = (share.interval.low, share.interval.high)
            rows.append((*group, inits, orders, source, share.value, *ends, p_value))
    return pl.DataFrame(rows, schema=SHARES, orient="row").fill_nan(None)


def _most_varied(scores: pl.DataFrame) -> pl.DataFrame:
    """Of every split the test with the largest variance over seeds; of equals the shortest."""
    spread = scores.group_by("split", "test", "length").agg(spread=pl.col("value").var())
    chosen = spread.sort("split", -pl.col("spread"), "length").unique("split", keep="first")
    return scores.filter(pl.col("test").is_in(chosen["test"].to_list()))


def _metrics(frame: pl.DataFrame, split: str | None, length: int | None) -> pl.DataFrame:
    """Outcomes of one cell on one test under every metric, and its final training loss."""
    tested = frame.filter(~pl.col("metric").is_in(["train_loss", "grad_norm"]))
    chosen = final(one_test(tested, "all metrics", split, length))
    losses = frame.filter(pl.col("metric") == "train_loss")
    if losses.is_empty():
        return chosen
    return pl.concat([chosen, final(rows_of(losses, "train_loss"))])


def _pairs(rows: pl.DataFrame, name: str, key: Any) -> pl.DataFrame:
    """Correlations between all pairs of outcomes, which differ in the column `name`."""
    value = pl.when(pl.col("diverged") | ~pl.col("value").is_finite()).then(None).otherwise(pl.col("value"))
    outcomes = rows.with_columns(value=value)
    falls = [metric for metric in rows["metric"].unique() if less_is_better(metric)]
    above, below = (pl.col("value").max().over(name) + 1, pl.col("value").min().over(name) - 1)
    unlike = pl.when(pl.col("metric").is_in(falls)).then(above).otherwise(below).fill_null(0.0)
    loses = pl.when(pl.col("trials").is_null()).then(unlike).otherwise(0.0)
    names = outcomes[name].unique(maintain_order=True).to_list()
    wide = (
        outcomes.with_columns(pl.col("value").fill_null(loses))
        .pivot(on=name, index=SEED, values="value")
        .drop_nulls()
    )
    if len(names) < 2:
        return pl.DataFrame(schema=PAIRS)
    found = correlation(wide.select(names).to_numpy(), key=key)
    numbers = (found.value.value, found.value.interval.low, found.value.interval.high, found.p_value)
    pairs = [
        (names[i], names[j], wide.height, *(float(np.asarray(n)[i, j]) for n in numbers))
        for i in range(len(names))
        for j in range(i + 1, len(names))
    ]
    pairs = [(*pair, p) for pair, p in zip(pairs, holm([pair[-1] for pair in pairs]).tolist(), strict=True)]
    return pl.DataFrame(pairs, schema=PAIRS, orient="row").fill_nan(None)


def rank_curves(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    *,
    top: int = 5,
    split: str | None = None,
    length: int | None = None,
) -> pl.DataFrame:
    """The scale curves of the seeds with the highest breakthroughness and with the highest linearity.

    A seed's curve is made of its final scores in all cells, in order of scale; seeds that lack one have none.
    Where the metric is a proportion of n items, both numbers have the floor 1/n of what the test can resolve:
    without it, B is infinite for every curve that mostly stays at 0, and ranks none of them. A curve without
    a value (flat, no trials) comes last; equals come in order of their seeds. Where most curves fall with
    scale, the most negative numbers come first.

    Args:
        frame: results whose cells follow each other along the scale (`forms_a_curve`).
        metric: any metric.
        top: number of seeds of each ranking.
        split: may be left out if the metric was measured on one split only.
        length: may be left out if the metric was measured at one length only, or at none.

    Returns:
        ranking ("breakthroughness" or "linearity"), place (1, 2, ...), init_seed, data_seed, cell, label,
        scale, value, breakthroughness, linearity; no rows if no seed was run in every cell.

    Raises:
        ValueError: if `top` < 1, the cells form no curve, columns or the metric are missing, or the choice
            leaves no test or several.

    References:
        Srivastava et al. (2022), arXiv 2206.04615 (breakthroughness and linearity).
    """
    check_at_least(1, top=top)
    scores = final_scores(frame, metric)
    labels = cell_labels(frame)
    if not forms_a_curve(labels):
        found = ", ".join(labels["label"].to_list())
        raise ValueError(f"cells {found} form no curve; three or more in order of one scale are needed")
    chosen = one_test(scores, metric, split, length).filter(pl.col("value").is_finite())
    curves = chosen.filter(pl.len().over(*SEED) == labels.height).sort(*SEED, "rank")
    if curves.is_empty():
        return _ranked(
            curves.with_columns(ranking=pl.lit(""), place=pl.lit(1), **dict.fromkeys(RANKINGS, 0.0))
        )
    numbers = _rankings(curves, labels.height)
    best = [_best(numbers, ranking, top) for ranking in RANKINGS]
    return _ranked(pl.concat(best).join(curves, on=SEED, maintain_order="left_right"))


def _rankings(curves: pl.DataFrame, cells: int) -> pl.DataFrame:
    """B and L of every seed, in order of the seeds."""
    values: NDArray[np.float64] = curves["value"].to_numpy().reshape(-1, cells)
    trials = curves["trials"].min()
    floor = None if trials is None else 1 / float(str(trials))
    return (
        curves.select(SEED)
        .unique(maintain_order=True)
        .with_columns(
            breakthroughness=pl.Series(breakthroughness(values, resolution=floor)),
            linearity=pl.Series(linearity(values, resolution=floor)),
        )
    )


def _best(numbers: pl.DataFrame, ranking: str, top: int) -> pl.DataFrame:
    falls = (numbers["linearity"].fill_nan(None).median() or 0) < 0  # type: ignore[operator]
    ordered = numbers.sort(
        pl.col(ranking).fill_nan(None), descending=not falls, nulls_last=True, maintain_order=True
    )
    place = (pl.int_range(pl.len()) + 1).alias("place")
    return ordered.head(top).with_columns(place, ranking=pl.lit(ranking))


def _ranked(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("ranking", "place", *SEED, "cell", "label", "scale", "value", *RANKINGS)
