"""What does the report show of other metrics, of emergence, and of what the test can see?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import (
    Emergence,
    cell_labels,
    emergence,
    emergence_scores,
    forms_a_curve,
    induced,
    metric_means,
    per_token,
    resolution,
    scale_column,
    smaller_tests,
)
from jaxemerge.analysis.findings import percent
from jaxemerge.charts.theme import metric_name

from .page import Figure, figure

LEVEL = 0.05


EXACT, TOKENS = "exact_match", "token_accuracy"


GROUPS = (1, 2, 4, 8)  # items that must all be right


UNSEEN = 1e-6  # chances below it are called 0


TOGETHER = 0.05  # by which exact match is clearly above p^L


PERMUTATIONS = 499


def emergences(
    frame: pl.DataFrame, ends: pl.DataFrame, found: dict[str, Any], chance: float = 0.0
) -> Iterator[Figure]:
    """The same runs under every metric, and what the test can see, where cells follow each other in scale.

    Args:
        frame: results.
        ends: final results of exact match.
        found: what `findings.focus` returns: its test is shown.
        chance: probability of an exact answer by guessing.
    """
    if not forms_a_curve(cell_labels(ends)) or ends["trials"].null_count():
        return
    one_test = {"split": found["split"], "length": found["length"]}
    scale, metric, there = scale_column(ends), ends["metric"][0], set(frame["metric"].unique())
    yield _metrics(frame, found, one_test, scale, chance if metric == EXACT else 0.0)
    if EXACT in there and TOKENS in there and frame.filter(metric=EXACT)["trials"].null_count() == 0:
        yield _per_token(frame.filter(split=found["split"]), scale)
        yield _induced(frame, one_test, scale, found["test"])
    seen = resolution(ends, metric, **one_test)
    yield figure(
        "resolution",
        f"What can the test not resolve? {metric_name(metric).capitalize()} at {found['test']}",
        "Left: the mean over seeds of every cell, on a log axis, with the smallest nonzero score of a seed, "
        "the 95% upper limit of the rate of one seed that passes no item, and that of the mean over further "
        "seeds if none of these passes any; triangles are cells without a pass, at that limit. Right: how "
        "many seeds would have scored 0 "
        f"on a smaller test, of random items of this one. {_resolution_words(seen)}",
        charts.resolution_panel(seen, smaller_tests(ends, metric, **one_test), scale),
        seen,
    )


def _metrics(
    frame: pl.DataFrame, found: dict[str, Any], one_test: dict[str, Any], scale: str, chance: float
) -> Figure:
    metric = found["metric"]
    at = pl.col("length").eq_missing(pl.lit(found["length"]))
    chosen = frame.filter(pl.col("split") == found["split"], at)
    scores = emergence_scores(chosen, permutations=PERMUTATIONS)
    verdict = _verdict_words(emergence(chosen, metric, scale=scale, chance=chance), metric_name(metric))
    return figure(
        "emergence",
        f"Does the ability emerge, or does the metric make it? At {found['test']}",
        "Each panel shows the same runs under another metric: mean over seeds with its 95% interval. "
        "The emergence score divides the rise by the median step between neighbouring cells; a straight line "
        f"over {chosen['cell'].n_unique()} cells scores {chosen['cell'].n_unique() - 1}. "
        f"{verdict} {_score_words(scores)}",
        charts.metric_panel(metric_means(chosen, **one_test), scores, scale),
        scores,
    )


def _per_token(frame: pl.DataFrame, scale: str) -> Figure:
    """p^L and L (1 - p), as Schaeffer et al. have it, over what was measured."""
    table = per_token(frame)
    together = table.filter(pl.col("exact") > pl.col("exact_model") + TOGETHER).height
    return figure(
        "per_token",
        "Do independent errors of tokens explain exact match?",
        "Dots are means over seeds. If each of the L tokens of an answer is right independently with "
        "probability p, exact match is p^L and L (1 - p) tokens are wrong: solid with the most likely p "
        f"of a cell, dashed with each seed's own token accuracy. In {together} of "
        f"{table.height} places exact match is more than {TOGETHER:g} above the dashed line: there the "
        "errors of a seed are concentrated in some items.",
        charts.per_token_models(table, scale),
        table,
    )


def _induced(frame: pl.DataFrame, one_test: dict[str, Any], scale: str, test: str) -> Figure:
    """Emergence made by the metric."""
    items = int(frame.filter(metric=EXACT)["trials"].min())  # type: ignore[arg-type]
    table = induced(frame, groups=[k for k in GROUPS if k <= items], **one_test)
    scores = table.unique("metric", maintain_order=True).drop_nulls("score")
    listed = [f"{score:.2g} for {name.replace('_', ' ')}" for name, score in scores["metric", "score"].rows()]
    said = f"The emergence scores are {', '.join(listed)}." if listed else "No version moves with scale."
    return figure(
        "induced",
        f"How sharp does a harsher metric make it? At {test}",
        "The same outputs under harsher versions of two metrics. Left: mean token accuracy, and the share "
        "of seeds whose token accuracy is at a threshold or above. Right: the probability that k different "
        f"items are all exactly right. {said}",
        charts.induced_versions(table, scale),
        table,
    )


def _verdict_words(found: Emergence, name: str) -> str:
    """Emergent or not as Wei et al. define it, with the scales and with what comes back."""
    test, cells = found.tests.row(0, named=True), found.cells
    chance = f"{test['chance']:.2g}" if test["chance"] >= UNSEEN else "0"
    if test["emergent"]:
        between = cells.filter(pl.col("scale") > test["until"], pl.col("scale") < test["beyond"])
        falls = between["well_above"].any()
        return (
            f"By the definition of Wei et al. (2022) {name} emerges: it is at chance ({chance}) up to a "
            f"scale of {test['until']:,.6g} and well above it from {test['beyond']:,.6g} on"
            f"{', with a fall in between' if falls else ''}."
        )
    reasons = []
    if test["until"] is None:
        again = cells.filter("at_chance")["scale"].to_list()
        reasons.append("at the smallest scale it is above chance already" + _although(again, "is back at it"))
    if test["beyond"] is None:
        before = cells.filter("well_above")["scale"].to_list()
        reasons.append("at the largest scale it is not well above chance" + _although(before, "was"))
    said = ", and ".join(reasons)
    return f"By the definition of Wei et al. (2022) {name} does not emerge from chance ({chance}): {said}."


def _although(scales: list[float], verb: str) -> str:
    """Scales at which it was otherwise, if there are any."""
    if not scales:
        return ""
    return f", though it {verb} at {', '.join(f'{scale:,.6g}' for scale in scales)}"


def _score_words(scores: pl.DataFrame) -> str:
    """The scores by metric, and how many are more than a straight rise and no effect give."""
    known = scores.drop_nulls("score")
    if known.is_empty():
        return "No metric moves with scale at all."
    listed = [f"{row['score']:.2g} for {row['metric'].replace('_', ' ')}" for row in known.rows(named=True)]
    clear = known.filter(pl.col("q_value") <= LEVEL).height
    moved = known.filter(pl.col("p_no_effect") <= LEVEL).height
    said = f"{', '.join(listed[:-1])} and {listed[-1]}" if len(listed) > 1 else listed[0]
    return (
        f"The scores are {said}; {clear} of {known.height} are larger than a straight rise with the same "
        f"scatter of seeds gives (false discovery rate {percent(LEVEL)}), {moved} are larger than seeds "
        f"dealt out to the cells at random give, each at {percent(LEVEL)}."
    )


def _resolution_words(seen: pl.DataFrame) -> str:
    """1/n, the limits, and how many seeds they concern."""
    first = seen.row(0, named=True)
    zeros, seeds = int(seen["at_zero"].sum()), int(seen["seeds"].sum())
    blind = seen.filter(pl.col("value") <= 0)
    words = (
        f"One item is {first['smallest']:.2g} of the {first['items']}-item test, and a seed that passes none "
        f"may have a rate of up to {first['limit']:.2g}: that holds for {zeros} of {seeds} seeds."
    )
    if blind.is_empty():
        return f"{words} In every cell some seed passes some item."
    row = blind.row(-1, named=True)
    cells = "1 cell" if blind.height == 1 else f"{blind.height} cells"
    return (
        f"{words} In {cells} no seed passes any item. Of further seeds of {row['label']} up to "
        f"{percent(row['seeds_limit'])} may still pass some (95% limit from {row['seeds']} seeds)."
    )
