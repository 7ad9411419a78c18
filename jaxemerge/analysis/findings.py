"""Sentences that state the results of a frame, and the formats of their numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from jaxemerge.stats import Estimate

from .distribution import primary_test, two_sided
from .ends import final_scores, stopped_sentences, unfinished
from .kinds import MAIN, limited
from .results import MEMBER, cell_labels, require
from .training import Survival, curve_quantiles

# Below the first score a seed counts as failed in the sentences, above the second as not failed.
NEAR_ZERO, FAR = 0.1, 0.3
# More cells than this are not listed one by one.
FEW_CELLS = 5


def percent(share: float) -> str:
    """A share of seeds as whole per cent: "50%"."""
    return f"{share:.0%}"


def score(value: float | None) -> str:
    """A score with two decimals, or two digits if small: "0.43", "0.0021"; "infinite" for none."""
    if value is None or not math.isfinite(value):
        return "infinite"
    return f"{value:.2g}" if 0 < abs(value) < 0.1 else f"{value:.2f}"


def three_digits(value: float) -> str:
    """A number with three digits: "0.0123"."""
    return f"{value:.3g}"


LONG = 1e7  # from here on numbers are written with an exponent


def supported(value: float, low: float | None, high: float | None, sign: str = "") -> tuple[str, ...]:
    """A mean and its interval with as many digits as that supports: two of half its width.

    Without an interval the value alone, with six digits.
    """
    if low is None or high is None or not 0 < high - low < math.inf:
        return (f"{value:{sign}.6g}",)
    decimals = min(max(1 - math.floor(math.log10((high - low) / 2)), 0), 12)
    size = max(abs(low), abs(high))
    digits = min(2 + math.floor(math.log10(size)) - math.floor(math.log10((high - low) / 2)), 17)
    kind = f"{max(digits, 2)}g" if size >= LONG else f"{decimals}f"
    return tuple(f"{number:{sign}.{kind}}" for number in (value, low, high))


def in_words(estimate: Estimate, show: Callable[[float], str] = three_digits) -> str:
    """A value with its interval: "0.43 [0.2, 0.61]"; the value only where the interval is not known."""
    value, low, high = (float(v) for v in (estimate.value, estimate.interval.low, estimate.interval.high))
    return show(value) if math.isnan(low) else f"{show(value)} [{show(low)}, {show(high)}]"


def _loss(value: float | None) -> str:
    """Three digits."""
    return "infinite" if value is None or not math.isfinite(value) else f"{value:#.3g}"


def population_sentences(frame: pl.DataFrame) -> list[str]:
    """What was trained, how many runs diverged, and which ended before the others of their cell.

    Raises:
        ValueError: if columns are missing.
    """
    require(frame, *MEMBER, "step", "diverged")
    members = frame.group_by(MEMBER).agg(pl.col("diverged").any())
    sizes = sorted(members.group_by("cell").len()["len"])
    labels = cell_labels(frame)["label"].to_list()
    seeds = ("" if sizes[0] == sizes[-1] else f"{sizes[0]} to ") + _count(sizes[-1], "seed")
    cells = f"of {labels[0]}" if len(labels) == 1 else f"of each of {len(labels)} cells, {_span(labels)},"
    verb = "was" if sizes[-1] == 1 else "were"
    diverged = int(members["diverged"].sum())
    lost = "No run diverged." if not diverged else f"{diverged} of {_count(members.height, 'run')} diverged."
    lost += divergences(frame)
    # Results read from elsewhere may say nothing of steps: they are all at 0 then.
    last = max(frame["step"])
    done = f"trained for {_count(last, 'step')}" if last else "scored"
    return [f"{seeds} {cells} {verb} {done}.", lost, *stopped_sentences(frame), *too_short(frame)]


def too_short(frame: pl.DataFrame) -> list[str]:
    """The runs that ended before the others of their cell, and how they are counted; empty if none did."""
    rows = unfinished(frame).rows(named=True)
    if not rows:
        return []
    ended = f"{_count(len(rows), 'run')} ended before the last step of {'its' if len(rows) == 1 else 'their'}"
    named = [f"{seed_name(row)} of {row['label']} at step {row['step']:,} of {row['of']:,}" for row in rows]
    return [f"{ended} cell and {'is' if len(rows) == 1 else 'are'} not in final scores: {_first(named)}."]


def divergences(frame: pl.DataFrame) -> str:
    """Where and when runs were first seen to have diverged, a few of them; empty if none did."""
    first = frame.filter("diverged").group_by(MEMBER).agg(pl.col("step").min())
    named = first.join(cell_labels(frame).select("cell", "label", "rank"), on="cell")
    rows = named.sort("rank", *MEMBER[1:]).rows(named=True)
    if not rows:
        return ""
    places = [f"{seed_name(row)} of {row['label']} at step {row['step']:,}" for row in rows]
    return f" First seen: {_first(places)}."


def _first(items: list[str]) -> str:
    """The first of them, and how many more there are."""
    more = f"; and {len(items) - FEW_CELLS} more" if len(items) > FEW_CELLS else ""
    return "; ".join(items[:FEW_CELLS]) + more


def seed_name(row: dict[str, Any]) -> str:
    """seed 7, or seed 2/5 for initialisation 2 with data order 5."""
    init, data = row["init_seed"], row["data_seed"]
    return f"seed {init}" if init == data else f"seed {init}/{data}"


def focus(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    threshold: float = 0.2,
    *,
    split: str | None = None,
    length: int | None = None,
) -> dict[str, Any]:
    """The test that is looked at (`primary_test`), and on it the cell whose seeds differ most.

    The cell is chosen by its scores: what is tested of it must be corrected for the number of cells.

    Returns:
        One row of `two_sided`, and the metric.

    Raises:
        ValueError: as `primary_test`.
    """
    chosen = primary_test(frame, metric, threshold, split=split, length=length)
    rows = two_sided(frame, metric, NEAR_ZERO, FAR)
    on_it = (pl.col("split") == chosen[0]) & pl.col("length").eq_missing(pl.lit(chosen[1], pl.Int32))
    return {**rows.filter(on_it).row(0, named=True), "metric": metric}


def test_of(found: dict[str, Any]) -> dict[str, Any]:
    """The metric, split and length of what `focus` returns, as arguments of other functions."""
    return {name: found[name] for name in ("metric", "split", "length")}


def both_ends_sentence(found: dict[str, Any]) -> str:
    """Where seeds differ most on the test looked at: `found` is what `focus` returns."""
    if not found["failed"] * found["succeeded"]:
        return (
            f"At {found['test']} there is no cell in which some seeds score below {NEAR_ZERO} and others "
            f"above {FAR}."
        )
    return (
        f"At {found['test']} seeds differ most in {found['label']}: of its {_count(found['seeds'], 'seed')}, "
        f"{found['failed']} score below {NEAR_ZERO} and {found['succeeded']} above {FAR}."
    )


def success_means(metric: str, threshold: float) -> str:
    """What counts as success: "0.2 or more", or the limit that the metric says is met."""
    return metric.replace("_", " ") if limited(metric) else f"{threshold:g} or more"


def constant_sentences(
    frame: pl.DataFrame, constant: Sequence[tuple[str, str, int | None, float]]
) -> list[str]:
    """Where seeds end at exactly the score of one and the same answer to all items.

    Args:
        frame: results.
        constant: cell, split, length and score of every frequent answer.
    """
    if not constant or MAIN not in frame["metric"].unique():
        return []
    kinds = {"cell": pl.String, "split": pl.String, "length": pl.Int32, "constant": pl.Float64}
    scores = pl.DataFrame(constant, schema=kinds, orient="row")
    ends = final_scores(frame)
    keys = ["cell", "split", "length"]
    alike = ends.join(scores, on=keys, how="inner", nulls_equal=True).filter(
        (pl.col("value") - pl.col("constant")).abs() < 1e-9, ~pl.col("diverged")
    )
    seeds = ends.group_by(keys).len("seeds")
    found = alike.join(seeds, on=keys, nulls_equal=True).sort("rank", "split", "length")
    return [
        f"At {rows['test'][0]}, {rows.height} of {_count(rows['seeds'][0], 'seed')} of {rows['label'][0]} "
        f"score what always giving the same answer scores, such as the majority class: {_values(rows)}."
        for rows in found.partition_by("cell", "test", maintain_order=True)
    ]


def _values(rows: pl.DataFrame) -> str:
    return " or ".join(f"{value:.3g}" for value in rows["constant"].unique().sort(descending=True))


def split_sentence(sides: pl.DataFrame) -> str:
    """In how many cells and tests seeds are on both sides, and how many scores are exactly 0.

    Args:
        sides: what `two_sided` returns.
    """
    both = sides.filter(pl.col("failed") > 0, pl.col("succeeded") > 0).height
    scores, zeros = int(sides["seeds"].sum()), int(sides["zeros"].sum())
    panels = f"{both} of {_count(sides.height, 'panel')}" if both else "no panel do"
    zero = f"{zeros:,} ({percent(zeros / scores)}) {'is' if zeros == 1 else 'are'}" if zeros else "none is"
    return (
        f"In {panels} some seeds score below {NEAR_ZERO} while others score above {FAR}. "
        f"Of the {_count(scores, 'final score')}, {zero} exactly 0."
    )


def centre_sentence(table: pl.DataFrame, test: str) -> str:
    """Mode and mean across scale on one test; `table` is what `summarise` returns."""
    listed = [
        f"{score(row['mode'])} and {score(row['mean'])} for {row['label']}" for row in _across(table, test)
    ]
    return f"At {test} the most populated score (mode) and the mean are {clause(listed)}."


def arrival_sentence(curves: pl.DataFrame, label: str, threshold: float) -> str:
    """When the seeds of one cell first reach the threshold, and how many stay there.

    Args:
        curves: what `learning_curves` returns.
        label: of the cell.
        threshold: what counts as success.
    """
    cell = curves.filter(pl.col("label") == label)
    seeds = cell.n_unique(MEMBER[1:])
    reached = cell.filter(pl.col("value") >= threshold)
    first = sorted(reached.group_by(MEMBER[1:]).agg(pl.col("step").min())["step"])
    population = f"Of the {_count(seeds, 'seed')} of {label}"
    if not first:
        return f"{population}, none ever reaches {threshold:g}."
    verb = "reach" if len(first) > 1 else "reaches"
    when = f"the first at step {first[0]:,} and the last at step {first[-1]:,}"
    if first[0] == first[-1]:
        when = f"{'all ' if len(first) > 1 else ''}first at step {first[0]:,}"
    there = reached.filter(pl.col("step") == cell["step"].max()).height
    return (
        f"{population}, {len(first)} {verb} {threshold:g} at some evaluation, {when}; "
        f"{there} of them {'is' if there == 1 else 'are'} there at the end."
    )


def lost_sentence(curves: pl.DataFrame, test: str, threshold: float) -> str:
    """How many seeds of each cell reached the threshold while training and ended below it; empty if none.

    Args:
        curves: what `learning_curves` returns, of one test.
        test: its name.
        threshold: what counts as success.
    """
    seeds = curves.group_by(MEMBER, maintain_order=True).agg(
        pl.col("label").first(),
        reached=pl.col("value").max() >= threshold,
        ended=pl.col("value").sort_by("step").last() >= threshold,
    )
    cells = seeds.group_by("label", maintain_order=True).agg(
        lost=(pl.col("reached") & ~pl.col("ended")).sum(), seeds=pl.len()
    )
    rows = cells.filter(pl.col("lost") > 0).rows(named=True)
    if not rows:
        return ""
    listed = [f"{row['lost']} of {_count(row['seeds'], 'seed')} of {row['label']}" for row in few(rows)]
    return f"At {test} some seeds reached {threshold:g} while training and ended below it: {clause(listed)}."


def breakthrough_sentence(found: Survival, done: str = "broke through", what: str = "breakthroughs") -> str:
    """Median steps to the breakthrough by cell, and whether the cells differ; `found` is `survival`'s."""
    listed = [
        f"{row['broken']} of {_count(row['seeds'], 'seed')} of {row['label']}{_median(row)}"
        for row in few(found.medians.rows(named=True))
    ]
    words = f"{clause(listed)} {done}."
    if math.isfinite(found.p_value):
        words += f" That all cells do so at one rate has a log-rank p-value of {score(found.p_value)}."
    if found.doubling is not None and not math.isnan(found.doubling.value):
        words += (
            f" Twice the scale multiplies the rate of {what} by {in_words(found.doubling, score)} "
            "(Cox regression)."
        )
    return words


def length_sentence(curves: pl.DataFrame, label: str) -> str:
    """P(breakthrough) of one cell after parts of the training; `curves` is of `Survival`."""
    cell = curves.filter(pl.col("label") == label).sort("step", maintain_order=True)
    end = cell["step"].to_list()[-1]
    listed = []
    for part, name in ((0.25, "a quarter"), (0.5, "half"), (1.0, "all")):
        row = cell.filter(pl.col("step") <= part * end).row(-1, named=True)
        interval = f"[{percent(1 - row['high'])}, {percent(1 - row['low'])}]"
        listed.append(f"{percent(1 - row['survival'])} {interval} by {name}")
    shares = f"{', '.join(listed[:-1])} and {listed[-1]}"
    return f"Of the seeds of {label}, {shares} of the training had broken through."


def _median(row: dict[str, Any]) -> str:
    """Half of the seeds by step 200 [150, 300]; nothing where fewer than half broke through."""
    if not math.isfinite(row["median"]):
        return ""
    high = f"{row['high']:,.0f}" if math.isfinite(row["high"]) else "never"
    return f" (half of them by step {row['median']:,.0f} [{row['low']:,.0f}, {high}])"


def loss_sentence(curves: pl.DataFrame) -> str:
    """Median and 10-90 % range of the last value by cell; `curves` is what `learning_curves` returns."""
    last = curve_quantiles(curves).filter(pl.col("step") == pl.col("step").max().over("cell"))
    listed = [
        f"{_quantiles(row['median'], row['low'], row['high'])} for {row['label']}"
        for row in few(last.rows(named=True))
    ]
    return f"At the last step the median seed and the middle 80% of the seeds are at {clause(listed)}."


def _quantiles(median: float | None, low: float | None, high: float | None) -> str:
    """A median with a range, with the digits that distinguish them."""
    found = supported(median, low, high) if median is not None else ()
    value, *ends = found if len(found) == 3 else map(_loss, (median, low, high))
    return f"{value} [{', '.join(ends)}]"


def _across(table: pl.DataFrame, test: str) -> list[dict[str, Any]]:
    return few(table.filter(pl.col("test") == test).rows(named=True))


def few(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows if they are few, else the smallest, the middle and the largest scale."""
    return rows if len(rows) <= FEW_CELLS else [rows[0], rows[len(rows) // 2], rows[-1]]


def clause(items: list[str]) -> str:
    """Several results as one clause."""
    return items[0] if len(items) == 1 else f"{'; '.join(items[:-1])}; and {items[-1]}"


def _span(labels: list[str]) -> str:
    return " and ".join(labels) if len(labels) == 2 else f"from {labels[0]} to {labels[-1]}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
