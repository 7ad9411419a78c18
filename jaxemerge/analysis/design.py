"""Numbers of seeds: the power of a planned study, and what a finished one could not have shown."""

from __future__ import annotations

import math

import polars as pl

from jaxemerge.stats import SeedPlan, detectable_difference

from .results import MEMBER

RARE = 0.1  # share of seeds of an outcome that may be missed


def power_table(plan: SeedPlan) -> pl.DataFrame:
    """Power against the number of seeds.

    Returns:
        seeds (per cell), power, low, high, studies; in order of seeds.
    """
    columns = {
        "seeds": plan.curve_seeds,
        "power": plan.curve.value,
        "low": plan.curve.interval.low,
        "high": plan.curve.interval.high,
        "studies": plan.curve_studies,
    }
    return pl.DataFrame(columns)


def unseen_sentence(ends: pl.DataFrame) -> str:
    """What the number of seeds of a study could not have shown.

    Args:
        ends: final results of one metric; at least one row.

    Returns:
        How probably an outcome of a tenth of the seeds is missed, and which difference of two success rates
        is found in less than half of all studies; both by exact formulas, of the cell with the fewest seeds.
    """
    seeds = min(cell.select(MEMBER).unique().height for cell in ends.partition_by("cell"))
    number = f"With {seeds} seed{'s' * (seeds != 1)} per cell"
    missed = f"an outcome of {RARE:.0%} of seeds is missed with probability {(1 - RARE) ** seeds:.2g}"
    difference = detectable_difference(seeds)
    if math.isnan(difference):
        return f"{number} {missed}, and Fisher's test cannot tell any two success rates apart."
    return (
        f"{number} {missed}, and a difference of success rates around one half is found in less than half of "
        f"all studies if it is below {difference:.2f} (Fisher's exact test)."
    )
