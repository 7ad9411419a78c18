"""Which points and lines show the laws that were fitted? Frames that the charts draw as they are."""

from __future__ import annotations

import numpy as np
import polars as pl

from jaxemerge.stats import Envelope, IsoFlop, Ladder, ParametricLoss

from .laws import FLOPS_PER_PARAMETER_AND_TOKEN as SIX
from .laws import ScalingLaws

PLACES = 81
LEVELS = 8
# How far lines go beyond the runs, as a factor.
BEYOND = 1.6


def contours(law: ParametricLoss) -> pl.DataFrame:
    """level, line, flops, parameters, place: lines of equal loss, evenly spaced over the runs' losses."""
    low, high = np.quantile(law.loss, [0.02, 0.98])
    A, B, E, alpha, beta = law.values
    N = np.geomspace(law.parameters.min() / BEYOND, law.parameters.max() * BEYOND, 4 * PLACES)
    parts = []
    for level in np.linspace(max(low, E * 1.005), high, LEVELS):
        left = level - E - A / N**alpha  # what the tokens may cost
        here = left > 0
        D = (B / left[here]) ** (1 / beta)
        line = {"flops": SIX * N[here] * D, "parameters": N[here], "place": np.arange(here.sum())}
        parts.append(pl.DataFrame(line).with_columns(level=pl.lit(float(level))))
    C = SIX * law.parameters * law.tokens
    inside = pl.col("flops").is_between(C.min() / BEYOND, C.max() * BEYOND)
    drawn = pl.concat(parts).filter(inside)
    # A line that leaves the picture and comes back is two.
    cut = (pl.col("place").diff().over("level") != 1).fill_null(True).cum_sum()
    return drawn.with_columns(line=cut)


def frontier(law: ParametricLoss) -> pl.DataFrame:
    """flops, parameters, low, high: the model size of the lowest loss at each budget, with its interval."""
    C = SIX * law.parameters * law.tokens
    flops = np.geomspace(C.min() / BEYOND, C.max() * BEYOND, PLACES)
    best = law.optimal(flops).parameters
    ends = {"parameters": best.value, "low": best.interval.low, "high": best.interval.high}
    return pl.DataFrame({"flops": flops} | {n: np.asarray(v) for n, v in ends.items()}).fill_nan(None)


def profiles(found: IsoFlop, runs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Runs, parabolas and minima of each budget: budget (text), parameters, loss; minima with low, high."""
    names = [f"{budget:.2g}".replace("e+", "e") for budget in found.budgets]
    named = runs.with_columns(budget=pl.Series([names[i] for i in found.runs]))
    sizes = named.group_by("budget", maintain_order=True).agg(
        low=pl.col("parameters").min(), high=pl.col("parameters").max()
    )
    lines = []
    for budget, low, high in sizes.rows():
        N = np.geomspace(low / 1.15, high * 1.15, PLACES)
        loss = found.profile(N)[names.index(budget)]
        lines.append(pl.DataFrame({"parameters": N, "loss": loss}).with_columns(budget=pl.lit(budget)))
    best = found.parameters
    ends = {"parameters": best.value, "low": best.interval.low, "high": best.interval.high}
    minima = pl.DataFrame(
        {"budget": names, "loss": found.loss.value} | {n: np.asarray(v) for n, v in ends.items()}
    )
    return named.select("budget", "parameters", "loss"), pl.concat(lines), minima.fill_nan(None)


def envelope_points(found: Envelope) -> pl.DataFrame:
    """flops, parameters, loss, law: the best size along the training, and the power law through it."""
    law = found.law.optimal(found.flops).parameters.value
    columns = {"flops": found.flops, "parameters": found.parameters, "loss": found.loss}
    return pl.DataFrame(columns | {"law": np.asarray(law)})


def envelope_turns(found: Envelope) -> pl.DataFrame:
    """flops, parameters: where each size is best between its neighbours, which the power law goes through."""
    return pl.DataFrame({"flops": found.best_at, "parameters": found.sizes})


def ladder_lines(found: Ladder, runs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """loss, accuracy along the link; and per run parameters, tokens, accuracy, predicted, low, high."""
    scored = runs.drop_nulls("accuracy")
    loss = scored["loss"].to_numpy()
    places = np.linspace(loss.min(), loss.max(), PLACES)
    link = pl.DataFrame({"loss": places, "accuracy": np.asarray(found.link.accuracy(places))})
    chain = found.predict(scored["parameters"].to_numpy(), scored["tokens"].to_numpy())
    ends = {"predicted": chain.value, "low": chain.interval.low, "high": chain.interval.high}
    columns = [pl.Series(n, np.asarray(v)) for n, v in ends.items()]
    return link, scored.select("parameters", "tokens", "loss", "accuracy").with_columns(columns).fill_nan(
        None
    )


def steps_of(laws: ScalingLaws) -> pl.DataFrame:
    """parameters, run, flops, loss: the curves of the envelope, from where it begins."""
    if laws.envelope is None:
        return laws.curves.clear()
    return laws.curves.filter(pl.col("flops") >= float(laws.envelope.flops.min()) / 4)
