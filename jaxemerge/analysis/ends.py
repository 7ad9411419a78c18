"""Where do runs end? Their final rows and scores, and the runs that ended too early."""

from __future__ import annotations

import polars as pl

from .kinds import is_share, worst
from .results import CELL, MEMBER, RESULT, STOPPED_AT, cell_labels, require, rows_of, with_test_label


def final(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows at each member's last step, per metric and split; cells may differ in length.

    A member that ends before the others of its cell is not finished, and has no final rows, unless it
    diverged: `unfinished` lists them.

    Raises:
        ValueError: if columns are missing, or a member has two values of one metric, split and length (two
            studies that share a cell would count its seeds twice).
    """
    require(frame, *CELL, *MEMBER, *RESULT)
    step, measured = pl.col("step"), ("metric", "split")
    last = frame.filter(step == step.max().over(*MEMBER, *measured))
    lost = pl.col("diverged").any().over(*MEMBER)
    ended = last.filter((step == step.max().over("cell", *measured)) | lost)
    keys = [*MEMBER, *measured, "length"]
    twice = ended.height - ended.n_unique(keys) if ended.height else 0
    if twice:
        raise ValueError(f"{twice} final results are there twice (same {', '.join(keys)}); keep one study")
    return ended


def unfinished(frame: pl.DataFrame) -> pl.DataFrame:
    """The runs that end before the others of their cell, and did not diverge.

    Returns:
        cell, label, init_seed, data_seed, step (their last), of (the last of their cell); in order of scale.

    Raises:
        ValueError: if columns are missing.
    """
    require(frame, *CELL, *MEMBER, *RESULT)
    lasts = frame.group_by(*MEMBER).agg(pl.col("step").max(), pl.col("diverged").any())
    short = lasts.with_columns(of=pl.col("step").max().over("cell")).filter(
        pl.col("step") < pl.col("of"), ~pl.col("diverged")
    )
    named = short.join(cell_labels(frame).select("cell", "label", "rank"), on="cell")
    return named.sort("rank", *MEMBER[1:]).select("cell", "label", *MEMBER[1:], "step", "of")


def as_trained(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows up to where rules stopped their seeds; later ones repeat the last scores."""
    if STOPPED_AT not in frame.columns:
        return frame
    return frame.filter(pl.col(STOPPED_AT).is_null() | (pl.col("step") <= pl.col(STOPPED_AT)))


def stopped_sentences(frame: pl.DataFrame) -> list[str]:
    """How many seeds rules stopped, and how these count; empty if none were."""
    if STOPPED_AT not in frame.columns:
        return []
    members = frame.group_by(MEMBER).agg(pl.col(STOPPED_AT).max())
    at: list[int] = members[STOPPED_AT].drop_nulls().to_list()
    if not at:
        return []
    return [
        f"Rules stopped {len(at)} of {members.height} seeds, at steps {min(at):,} to {max(at):,}: their last "
        "scores count as final, and seeds without a breakthrough before are censored there."
    ]


def with_divergence(rows: pl.DataFrame) -> pl.DataFrame:
    """A run without a value of one metric has failed on it; one without any value has diverged."""
    rows = rows.with_columns(diverged="flagged").drop("flagged")
    where = [*MEMBER, "step"]
    missing = rows.filter(pl.col("value").is_null()).select(where).unique()
    if missing.is_empty():
        return rows
    measured = rows.filter(pl.col("value").is_not_null()).select(where).join(missing, on=where, how="semi")
    lost = missing.join(measured, on=where, how="anti").with_columns(lost=pl.lit(True))
    found = rows.select(where).join(lost, on=where, how="left", maintain_order="left")["lost"]
    return rows.with_columns(diverged=pl.col("diverged") | found.fill_null(False))


def failures(rows: pl.DataFrame) -> list[str]:
    """How many values are no numbers, of runs that have not diverged, by metric."""
    values = rows.filter(~pl.col("diverged")).group_by("metric", maintain_order=True)
    counted = values.agg(failed=pl.col("value").null_count(), all=pl.len())
    return [
        f"{failed} of {number} values of {metric} are nan or infinite: failed runs, "
        + ("which score 0" if is_share(rows, metric) else "left out of means")
        for metric, failed, number in counted.rows()
        if failed
    ]


COUNTED_AS = ("omitted", "failed", "last")


def counted_as(frame: pl.DataFrame, unfinished_runs: str) -> pl.DataFrame:
    """The frame with unfinished runs prolonged to the last step of their cell.

    Args:
        frame: results.
        unfinished_runs: "omitted" changes nothing; "failed" makes them diverge there, and "last" repeats
            their last scores there.

    Raises:
        ValueError: if columns are missing.
    """
    require(frame, *CELL, *MEMBER, *RESULT)
    if unfinished_runs == "omitted" or (short := unfinished(frame)).is_empty():
        return frame
    own = frame.join(short.select(*MEMBER, "of"), on=MEMBER, maintain_order="left")
    last = own.filter(pl.col("step") == pl.col("step").max().over(*MEMBER, "metric", "split"))
    longer = last.with_columns(step=pl.col("of").cast(frame.schema["step"]))
    if unfinished_runs == "failed":
        longer = longer.with_columns(value=pl.lit(None, pl.Float64), diverged=pl.lit(True))
    return pl.concat([frame, longer.select(frame.columns)])


def final_scores(frame: pl.DataFrame, metric: str = "exact_match") -> pl.DataFrame:
    """Final scores of one metric, labelled and in order: by scale of the cell, then by test, then by seed.

    A diverged seed is a failure that counts: it scores 0 on a share, and is infinitely bad on other metrics
    (`worst`).

    Returns:
        The rows of `final` for this metric, with the columns label, test, rank and scale added.

    Raises:
        ValueError: as `final`, or if the metric is not there.
    """
    value = pl.col("value").fill_nan(None).fill_null(worst(frame, metric))
    scores = final(rows_of(frame, metric)).with_columns(value=value)
    named = with_test_label(scores).join(
        cell_labels(frame).select("cell", "label", "rank", "scale"), on="cell"
    )
    return named.sort("rank", "split", "length", "init_seed", "data_seed")
