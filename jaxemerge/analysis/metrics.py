"""How do the same outputs look under each metric, and what can a test of this size resolve?"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.optimize import minimize_scalar
from scipy.special import gammaln, xlog1py, xlogy

from jaxemerge.evaluation.metrics import Items, Metric
from jaxemerge.stats import mean_interval
from jaxemerge.stats.estimates.arguments import check_confidence

from .ends import final_scores
from .kinds import is_share
from .results import SCHEMA, one_test, require


def metric_means(
    frame: pl.DataFrame,
    metrics: list[str] | None = None,
    *,
    split: str | None = None,
    length: int | None = None,
    confidence: float = 0.95,
) -> pl.DataFrame:
    """The mean over seeds of every metric of one test, by cell, with intervals over seeds.

    Intervals are those of `jaxemerge.stats.mean_interval`, within [0, 1] for shares and Student's for losses;
    null with fewer than three seeds.

    Args:
        frame: results.
        metrics: which; by default all that this test has.
        split, length: the test; may be left out where there is one only.
        confidence: probability in (0, 1).

    Returns:
        metric, cell, label, scale, rank, seeds, value, low, high; in order of the metrics and the scale. A
        metric that no run has a value of has no rows.

    Raises:
        ValueError: if columns or a metric are missing, or the choice leaves no test or several.
    """
    found = []
    for metric in metrics if metrics is not None else metrics_of(frame, split, length):
        known = known_scores(frame, metric)
        if known.is_empty():
            continue
        scores = one_test(known, metric, split, length)
        bounds = (0.0, 1.0) if is_share(frame, metric) else None
        for group, seeds in scores.group_by("cell", "label", "scale", "rank", maintain_order=True):
            mean = mean_interval(seeds["value"].to_numpy(), confidence, bounds=bounds)
            interval = mean.interval
            found.append((metric, *group, seeds.height, mean.value, interval.low, interval.high))
    names = ("metric", "cell", "label", "scale", "rank", "seeds", "value", "low", "high")
    return pl.DataFrame(found, schema=list(names), orient="row").fill_nan(None)


def metrics_of(frame: pl.DataFrame, split: str | None = None, length: int | None = None) -> list[str]:
    """The metrics of a test, exact match and its companions first."""
    chosen = frame.filter(pl.col("split") != "train")
    if split is not None:
        chosen = chosen.filter(pl.col("split") == split)
    if length is not None:
        chosen = chosen.filter(pl.col("length") == length)
    there = sorted(chosen["metric"].unique())
    first = [m for m in ("exact_match", "token_accuracy", "answer_nll") if m in there]
    return first + [m for m in there if m not in first]


def known_scores(frame: pl.DataFrame, metric: str) -> pl.DataFrame:
    """`final_scores`, but without diverged runs of metrics other than shares: these have no value."""
    return final_scores(frame, metric).filter(pl.col("value").is_finite())


_NAMED = tuple(name for name in SCHEMA if name not in ("metric", "value", "trials"))
_NEEDED = ("answers", "exact", "right", "nll", "brier")
_LISTS = ("choices", "log_probabilities")


def rescore(items: pl.DataFrame, metric: Metric) -> pl.DataFrame:
    """Means of a metric over the items of every seed, step, split and length.

    A diverged seed has failed: a metric whose values are 0 or 1 is 0, and others are null. Items for which
    the metric is undefined, as multiple choice without distractors, are dropped.

    Args:
        items: a row per seed and item, as a study with ``--keep-items`` keeps them.
        metric: one of ``jaxemerge.evaluation.METRICS``, or one made from them.

    Returns:
        Rows of the results schema; ``trials`` is the number of items behind a proportion.

    Raises:
        ValueError: a column is missing, or nothing was kept that the metric needs.
    """
    require(items, *_NAMED, *_NEEDED)
    values = pl.Series("value", metric.of(_items(items)), pl.Float64)
    rows = items.select(*_NAMED, values).filter(pl.col("value").is_not_nan())
    groups = rows.group_by(_NAMED, maintain_order=True).agg("value")
    means = [float(metric.mean(np.asarray(group))) for group in groups["value"]]
    failed = 0.0 if metric.proportion or metric.group > 1 else None
    scored = groups.with_columns(
        pl.lit(metric.name).alias("metric"),
        pl.when("diverged").then(failed).otherwise(pl.Series(means, dtype=pl.Float64)).alias("mean"),
        (pl.col("value").list.len() if metric.proportion else pl.lit(None)).cast(pl.Int32).alias("trials"),
    )
    finite = pl.when(pl.col("mean").is_finite()).then("mean").alias("value")
    return scored.with_columns(finite).select(SCHEMA)


def _items(frame: pl.DataFrame) -> Items:
    """The columns as arrays, one entry per row; lists as matrices, filled up with NaN."""
    arrays = {name: frame[name].to_numpy() for name in _NEEDED}
    lists = {name: _matrix(frame[name]) for name in _LISTS if name in frame.columns}
    edits = frame["edits"].to_numpy() if "edits" in frame.columns else None
    return Items(**arrays, edits=edits, choices=lists.get("choices"),
                 log_probabilities=lists.get("log_probabilities"))  # fmt: skip


def _matrix(column: pl.Series) -> np.ndarray:
    """Lists as rows of a matrix; a column that mixes studies may lack some."""
    rows = column.to_list()
    width = max((len(row) for row in rows if row is not None), default=0)
    found = np.full((len(rows), max(width, 2)), -np.inf)
    for i, row in enumerate(rows):
        if row is not None:
            found[i, : len(row)] = row
    return found


KEYS = ("cell", "label", "scale", "split", "length")


def per_token(
    frame: pl.DataFrame, *, exact: str = "exact_match", tokens: str = "token_accuracy"
) -> pl.DataFrame:
    """The per-token model of Schaeffer et al. by cell and length, with p found in two ways.

    If each of L tokens is right independently with probability p, exact match is p^L, sharp in p and L, and
    the expected number of wrong tokens L (1 - p), smooth. p is (a) the token accuracy of each seed at this
    length, which leaves nothing to fit, and (b) the most likely one p for all seeds and lengths of a cell,
    given how many items were answered exactly. Where exact match is above p^L of (a), the errors of a seed
    come together: some items have them all.

    Args:
        frame: results.
        exact, tokens: metrics: the share of items without an error, and of right tokens. L is the number of
            tokens behind the second to an item of the first; where these are not known, the test's length.

    Returns:
        cell, label, scale, split, length, tokens (L), exact (measured), wrong (tokens of an answer,
        measured), p (token accuracy), exact_model (p^L), p_fitted, exact_fitted, wrong_fitted (of the one p
        of the cell).

    Raises:
        ValueError: if a metric is missing, or the number of tokens of an answer is not known.

    References:
        Schaeffer, Miranda and Koyejo (2023), arXiv 2304.15004, section 2.
    """
    table = _joined(frame, exact, tokens)
    if table["tokens"].null_count() or table.is_empty():
        raise ValueError(f"{exact} and {tokens} need trials, or tests of known length: p^L has an L")
    fitted = [
        part.with_columns(p_fitted=pl.lit(_most_likely(part)))
        for part in table.partition_by("cell", "split", maintain_order=True)
    ]
    answer, p = pl.col("tokens"), pl.col("p_fitted")
    return (
        pl.concat(fitted)
        .with_columns(
            wrong=answer * (1 - pl.col("p")),
            exact_fitted=p**answer,
            wrong_fitted=answer * (1 - p),
        )
        .select(
            *(*KEYS, "tokens", "exact", "wrong", "p", "exact_model"),
            *("p_fitted", "exact_fitted", "wrong_fitted"),
        )
    )


def _joined(frame: pl.DataFrame, exact: str, tokens: str) -> pl.DataFrame:
    """Both metrics by cell and test: means over seeds, numbers of exact answers, and L."""
    member = ["cell", "split", "length", "init_seed", "data_seed"]
    whole, each = (final_scores(frame, metric) for metric in (exact, tokens))
    other = each.select(*member, p="value", behind="trials")
    seeds = whole.join(other, on=member, nulls_equal=True, maintain_order="left")
    known = (pl.col("behind") / pl.col("trials")).fill_null(pl.col("length").cast(pl.Float64))
    value, trials, p = pl.col("value"), pl.col("trials"), pl.col("p")
    return (
        seeds.with_columns(tokens=known)
        .group_by(*KEYS, maintain_order=True)
        .agg(
            pl.col("tokens").first(),
            exact=value.mean(),
            passed=(trials.fill_null(1) * value).sum(),
            trials=trials.fill_null(1).sum(),
            p=p.mean(),
            exact_model=(p ** pl.col("tokens")).mean(),
        )
    )


def _most_likely(part: pl.DataFrame) -> float:
    """One p of all lengths, from the numbers of exact answers, each of probability p^L."""
    length, passed, items = (part[c].to_numpy().astype(np.float64) for c in ("tokens", "passed", "trials"))
    if not passed.any():
        return 0.0
    if np.all(passed == items):
        return 1.0

    def loss(log_p: float) -> float:
        rate = np.exp(length * log_p)
        return float(-np.sum(xlogy(passed, rate) + xlog1py(items - passed, -rate)))

    return float(
        np.exp(minimize_scalar(loss, bounds=(-20.0, -1e-9), method="bounded", options={"xatol": 1e-9}).x)
    )


# Sizes of smaller tests that are looked at.
SIZES = 12


def resolution(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    *,
    split: str | None = None,
    length: int | None = None,
    confidence: float = 0.95,
) -> pl.DataFrame:
    """The resolution of one test, for every cell.

    Args:
        frame: results.
        metric: a proportion, with trials.
        split, length: the test; may be left out where there is one only.
        confidence: of the upper limits.

    Returns:
        cell, label, scale, seeds, items, value (mean over seeds), smallest (1 / items: the least score of a
        seed that is not 0), limit (the largest rate of a seed that passes no item, at this confidence),
        seeds_limit (the largest share of seeds that pass some item, if none of these does: Clopper-Pearson's
        1 - (1 - confidence)^(1/seeds), which assumes nothing on how rates vary between seeds; the mean score
        is below it too), at_zero (seeds at 0).

    Raises:
        ValueError: if columns, the metric or its trials are missing, or the choice leaves no test or several.
    """
    check_confidence(confidence)
    scores = _counts(frame, metric, split, length)
    zero = 1 - confidence
    items, seeds = pl.col("items"), pl.col("seeds")
    return (
        scores.group_by("cell", "label", "scale", maintain_order=True)
        .agg(
            seeds=pl.len(),
            items=pl.col("trials").min(),
            value=pl.col("value").mean(),
            at_zero=(pl.col("value") <= 0).sum(),
        )
        .with_columns(
            smallest=1 / items,
            limit=1 - zero ** (1 / items),
            seeds_limit=1 - zero ** (1 / seeds),
        )
    )


def smaller_tests(
    frame: pl.DataFrame, metric: str = "exact_match", *, split: str | None = None, length: int | None = None
) -> pl.DataFrame:
    """Expected results of smaller tests, made of random items of this one, for every cell.

    If a seed passes k of n items, it fails all of m items drawn at random with probability
    C(n - k, m) / C(n, m). The mean score does not depend on the size of the test, but the number
    of seeds and cells that score 0 does.

    Args:
        frame: results.
        metric: a share of items.
        split, length: the test; may be left out where there is one only.

    Returns:
        cell, label, scale, items (m), zero (expected share of seeds that score 0), all_zero (probability that
        every seed of the cell does), value (mean score, the same for every m); in order of scale and m.

    Raises:
        ValueError: as `resolution`.
    """
    scores = _counts(frame, metric, split, length)
    n = int(str(scores["trials"].min()))
    sizes = np.unique(np.round(np.geomspace(1, n, SIZES)).astype(int))
    parts = []
    for names, part in scores.group_by("cell", "label", "scale", maintain_order=True):
        k = np.round(part["value"].to_numpy() * n)
        zero_SM = _all_failed(n, k[:, None], sizes)
        columns = {"items": sizes, "zero": zero_SM.mean(axis=0), "all_zero": zero_SM.prod(axis=0)}
        fixed = zip(("cell", "label", "scale", "value"), (*names, part["value"].mean()), strict=True)
        parts.append(pl.DataFrame(columns).select(*(pl.lit(v).alias(c) for c, v in fixed), pl.all()))
    return pl.concat(parts)


def _counts(frame: pl.DataFrame, metric: str, split: str | None, length: int | None) -> pl.DataFrame:
    scores = one_test(final_scores(frame, metric), metric, split, length)
    if scores["trials"].null_count():
        raise ValueError(f"metric={metric!r} has no trials: only a share of items has a resolution")
    return scores


def _all_failed(n: int, k: np.ndarray, m: np.ndarray) -> np.ndarray:
    """C(n - k, m) / C(n, m), 0 where m > n - k."""
    left = n - k - m
    logs = gammaln(n - k + 1) - gammaln(np.maximum(left, 0) + 1) - gammaln(n + 1) + gammaln(n - m + 1)
    return np.where(left >= 0, np.exp(logs), 0.0)
