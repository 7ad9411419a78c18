"""Scaling laws of the loss in parameters, tokens and compute, by all approaches of Hoffmann et al."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jaxemerge.brief import brief
from jaxemerge.stats import (
    ComputeOptimal,
    Envelope,
    IsoFlop,
    Ladder,
    ParametricLoss,
    TrainingCurve,
    compare_exponents,
    fit_chinchilla,
    fit_envelope,
    fit_isoflop,
    fit_ladder,
)

from .ends import as_trained, final
from .groups import divided, dividing_columns
from .kinds import is_loss, is_share
from .results import MEMBER, require

FLOPS_PER_PARAMETER_AND_TOKEN = 6.0
# Least number of combinations of N and D for a law.
FEWEST = 6
# Held-out runs are those of more FLOPs than this share of the largest, and at least this share of all runs.
HELD_OUT, LEAST_HELD_OUT = 0.5, 0.1
# The training loss is used only if there is no other; a gradient norm is not a loss.
LAST, NEVER = "train_loss", "grad_norm"

_Fit = TypeVar("_Fit")


class HeldOut(NamedTuple):
    """Predictions for the larger runs from the smaller ones.

    Attributes:
        law: fitted to the smaller.
        limit: the most FLOPs of these.
        runs: parameters, tokens, flops, loss, predicted, low, high: one row per larger run.
    """

    law: ParametricLoss
    limit: float
    runs: pl.DataFrame


@brief
class ScalingLaws(NamedTuple):
    """All fits to the runs of a frame; None where a fit failed, with the reason in `notes`.

    Attributes:
        metric: the loss.
        runs: parameters, tokens, flops (6 N D), budget (C as the frame has it, else 6 N D), loss, accuracy
            (null if there are none), init_seed, data_seed.
        parametric: approach 3, loss = E + A / N^alpha + B / D^beta.
        isoflop: approach 2, a parabola per budget.
        envelope: approach 1, of the losses along the training.
        curves: parameters, tokens, flops, loss, run (a number): what approach 1 was fitted to.
        ladder: from (N, D) to the loss and from there to the accuracy.
        held_out: the law of the smaller runs on the larger.
        notes: errors and warnings of the approaches.
    """

    metric: str
    runs: pl.DataFrame
    parametric: ParametricLoss | None
    isoflop: IsoFlop | None
    envelope: Envelope | None
    curves: pl.DataFrame
    ladder: Ladder | None
    held_out: HeldOut | None
    notes: tuple[str, ...]

    def laws(self) -> tuple[ComputeOptimal, ...]:
        """The frontiers that were found, approach 1 first."""
        found = (self.envelope, self.isoflop, self.parametric)
        return tuple(one.law for one in found if one is not None)

    def exponents(self) -> pl.DataFrame:
        """source, approach, a, low, high: of these runs, and published ones."""
        rows = [
            (row.source, row.approach, row.a.value, row.a.interval.low, row.a.interval.high)
            for row in compare_exponents(*self.laws())
        ]
        schema: dict[str, Any] = {"source": pl.String, "approach": pl.String}
        schema |= dict.fromkeys(("a", "low", "high"), pl.Float64)
        return pl.DataFrame(rows, schema=schema, orient="row").fill_nan(None)

    def table(self) -> pl.DataFrame:
        """approach, parameter, value, low, high: every fitted number with its interval."""
        rows = []
        if self.parametric is not None:
            named = {n: getattr(self.parametric, n) for n in ("A", "B", "E", "alpha", "beta")}
            rows += [("parametric", n, e.value, e.interval.low, e.interval.high) for n, e in named.items()]
        for law in self.laws():
            rows += [
                (law.approach, n, e.value, e.interval.low, e.interval.high)
                for n, e in (("a", law.a), ("b", law.b))
            ]
        schema: dict[str, Any] = {"approach": pl.String, "parameter": pl.String}
        schema |= dict.fromkeys(("value", "low", "high"), pl.Float64)
        return pl.DataFrame(rows, schema=schema, orient="row").fill_nan(None)


def loss_metric(frame: pl.DataFrame) -> str | None:
    """The loss that laws are fitted to: on held-out data where there is one, else of training.

    Raises:
        ValueError: if columns are missing.
    """
    require(frame, "metric")
    names = frame["metric"].unique(maintain_order=True).to_list()
    losses = sorted((n for n in names if is_loss(n) and n != NEVER), key=lambda n: n == LAST)
    return next(iter(losses), None)


def law_runs(frame: pl.DataFrame, metric: str) -> pl.DataFrame:
    """The runs that a law can be fitted to, as `ScalingLaws.runs` has them.

    Runs that failed, those that a rule stopped early, and those whose learning rate fell over another length
    than their own (`horizon`) are left out. Tokens that are not known are those that the FLOPs pay for,
    C / (6 N). Where there are several tests of the metric the first is taken.
    """
    ends = as_trained(final(_usable(frame, metric)))
    scores = _accuracies(frame)
    keys = ["cell", "init_seed", "data_seed"]
    joined = (
        ends.join(scores, on=keys, how="left") if scores is not None else ends.with_columns(accuracy=None)
    )
    return joined.select(
        *("parameters", "tokens", "flops", "budget"),
        pl.col("value").alias("loss"),
        pl.col("accuracy").cast(pl.Float64),
        *("init_seed", "data_seed"),
    ).sort("flops", "parameters", "init_seed", "data_seed")


def has_laws(frame: pl.DataFrame) -> bool:
    """Whether there are enough combinations of N and D to fit a law of the loss."""
    metric = loss_metric(frame)
    return metric is not None and _enough(law_runs(frame, metric))


def _enough(runs: pl.DataFrame) -> bool:
    enough = min(runs["parameters"].n_unique(), runs["tokens"].n_unique()) >= 3
    return enough and runs.select("parameters", "tokens").n_unique() >= FEWEST


def law_groups(frame: pl.DataFrame, metric: str) -> list[tuple[str, pl.DataFrame]]:
    """The rows of the groups of runs that may have a law each, with the groups' names.

    Runs of one group differ in N, D, C and seed only, see `dividing_columns`. Groups with too few runs for a
    law are there, too. One group has an empty name.

    Raises:
        ValueError: if runs of equal N and D differ in a name that no other size has.
    """
    ends = final(_usable(frame, metric))
    names = dividing_columns(ends, ("parameters", "tokens")) if ends.height else []
    return list(divided(frame, names))


def scaling_laws(
    frame: pl.DataFrame, metric: str | None = None, *, bootstraps: int = 200, key: Any = 0
) -> ScalingLaws:
    """Fits everything that the runs of a frame allow, with bootstrap intervals over seeds.

    N is `parameters` and D is `tokens`. C is 6 N D, not the column `flops`, as in the publications that the
    exponents are compared with.

    Args:
        frame: results with several combinations of N and D.
        metric: a loss, positive; by default what `loss_metric` says.
        bootstraps: of each approach; 0 leaves intervals out.
        key: int or JAX key.

    Raises:
        ValueError: if there is no loss, the runs differ in more than N, D, C and seed (`law_groups` divides
            them), or as `law_runs`.
    """
    chosen = metric or loss_metric(frame)
    if chosen is None:
        raise ValueError("no metric of the frame is a loss: laws need one")
    groups = [name for name, _ in law_groups(frame, chosen)]
    if len(groups) > 1:
        raise ValueError(
            f"the runs are {len(groups)} groups ({', '.join(groups[:NAMED])}), each with a law of its own"
        )
    runs, curves = law_runs(frame, chosen), _curves(frame, chosen)
    N, D, L = (runs[name].to_numpy().astype(np.float64) for name in ("parameters", "tokens", "loss"))
    options = {"bootstraps": bootstraps, "key": key}
    notes: list[str] = []

    def tried(name: str, fit: Callable[[], _Fit]) -> _Fit | None:
        try:
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                found = fit()
        except ValueError as error:
            notes.append(f"{name}: {error}")
            return None
        notes.extend(f"{name}: {warning.message}" for warning in seen)
        return found

    paths = [
        TrainingCurve(float(N), part["tokens"].to_numpy(), part["loss"].to_numpy())
        for (N, _), part in curves.group_by("parameters", "run", maintain_order=True)
    ]
    scored = runs.drop_nulls("accuracy")
    step = [scored[c].to_numpy().astype(np.float64) for c in ("parameters", "tokens", "loss", "accuracy")]
    parametric = tried(
        "parametric law", lambda: _determined(fit_chinchilla(N, D, L, starts="quick", **options))
    )
    isoflop = tried("IsoFLOP profiles", lambda: fit_isoflop(N, L, _budgets(runs), **options))
    envelope = tried("envelope", lambda: fit_envelope(paths, **options)) if paths else None
    notes += left_out(frame, chosen)
    ladder = tried("ladder", lambda: fit_ladder(*step, **options)) if scored.height else None
    held_out = tried("held-out runs", lambda: _held_out(runs, options))
    return ScalingLaws(chosen, runs, parametric, isoflop, envelope, curves, ladder, held_out, tuple(notes))


WIDEST = 10.0  # ratio of the ends of an exponent's interval from which it is not determined


def _determined(law: ParametricLoss) -> ParametricLoss:
    """The law, if the runs determine its exponents to less than an order of magnitude."""
    for name, found in (("alpha", law.alpha), ("beta", law.beta)):
        low, high = float(found.interval.low), float(found.interval.high)
        if low <= 0 or high > WIDEST * low:
            ends = f"[{low:.2g}, {high:.2g}]"
            raise ValueError(f"the runs do not determine it: the 95% interval of {name} is {ends}")
    return law


def left_out(frame: pl.DataFrame, metric: str) -> list[str]:
    """The runs that rules stopped, and those without a positive last loss, most of them diverged.

    Returns:
        A sentence for each of the two, where there are any.
    """
    ends = final(frame.filter(pl.col("metric") == metric)).unique(MEMBER, maintain_order=True)
    value = pl.col("value").fill_nan(None)
    lost = ends.filter(pl.col("diverged") | value.is_null() | (value <= 0))
    early = ends.height - as_trained(ends).height
    notes = [f"rules stopped {early} of {ends.height} runs early; these are in no fit"] if early else []
    if lost.is_empty():
        return notes
    named = [
        f"{row['cell']} seed {row['init_seed']}/{row['data_seed']}"
        for row in lost.head(NAMED).rows(named=True)
    ]
    more = f" and {lost.height - NAMED} more" if lost.height > NAMED else ""
    return [
        *notes,
        f"{lost.height} of {ends.height} runs diverged and are in no fit: {', '.join(named)}{more}",
    ]


NAMED = 5  # runs or groups that are named one by one


def _budgets(runs: pl.DataFrame) -> NDArray[np.float64]:
    """The FLOPs whose profiles hold more of the runs: those given or, where these do not group runs, 6 N D.

    A count of FLOPs that leaves nothing out differs from 6 N D by a factor that depends on the size, so that
    budgets planned by one are no budgets by the other.
    """
    N = runs["parameters"].to_numpy().astype(np.float64)
    loss = runs["loss"].to_numpy()

    def held(flops: NDArray[np.float64]) -> int:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return int((fit_isoflop(N, loss, flops).runs >= 0).sum())
        except ValueError:
            return 0

    given, computed = runs["budget"].to_numpy(), runs["flops"].to_numpy()
    return given if held(given) >= held(computed) else computed


def _usable(frame: pl.DataFrame, metric: str) -> pl.DataFrame:
    """The rows of one loss on its first test, with what is needed of N, D and C."""
    rows = frame.filter(pl.col("metric") == metric, ~pl.col("diverged"), pl.col("value") > 0)
    if "horizon" in rows.columns:
        rows = rows.filter(pl.col("horizon") == 1)
    test = rows.select("split", "length").head(1)
    rows = rows.join(test, on=["split", "length"], how="semi", nulls_equal=True)
    paid = (pl.col("flops") / (FLOPS_PER_PARAMETER_AND_TOKEN * pl.col("parameters"))).round()
    rows = rows.with_columns(pl.col("tokens").cast(pl.Float64).fill_null(paid), budget="flops")
    known = rows.filter(pl.col("parameters") > 0, pl.col("tokens") > 0)
    computed = FLOPS_PER_PARAMETER_AND_TOKEN * pl.col("parameters") * pl.col("tokens")
    return known.with_columns(flops=computed, budget=pl.col("budget").fill_null(computed))


def _accuracies(frame: pl.DataFrame) -> pl.DataFrame | None:
    """Final accuracies of the runs: of the first share of items that is not the same for all."""
    names = frame["metric"].unique(maintain_order=True)
    shares = frame.filter(pl.col("metric").is_in([name for name in names if is_share(frame, name)]))
    known = shares.filter(pl.col("trials").is_not_null()) if shares["trials"].count() else shares
    ends = final(known)
    moving = ends.group_by("metric", "split", "length", maintain_order=True).agg(pl.col("value").n_unique())
    for metric, split, length, distinct in moving.rows():
        if distinct > 3:
            one = ends.filter(
                pl.col("metric") == metric, pl.col("split") == split, pl.col("length").eq_missing(length)
            )
            return one.select("cell", "init_seed", "data_seed", accuracy="value")
    return None


def _curves(frame: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Losses along the training, of runs with two or more; one row per step."""
    rows = as_trained(_usable(frame, metric))
    member = ("cell", "init_seed", "data_seed")
    several = rows.filter(pl.len().over(member) > 1)
    number = pl.struct(member).rank("dense").alias("run")
    return several.select("parameters", "tokens", "flops", pl.col("value").alias("loss"), number).sort(
        "run", "tokens"
    )


def _held_out(runs: pl.DataFrame, options: dict[str, Any]) -> HeldOut:
    """Fits the runs of less compute and predicts the others."""
    flops = runs["flops"].to_numpy()
    limit = float(min(HELD_OUT * flops.max(), np.quantile(flops, 1 - LEAST_HELD_OUT)))
    small, large = runs.filter(pl.col("flops") <= limit), runs.filter(pl.col("flops") > limit)
    N, D, L = (small[c].to_numpy().astype(np.float64) for c in ("parameters", "tokens", "loss"))
    law = fit_chinchilla(N, D, L, starts="quick", **options)
    found = law.predict(large["parameters"].to_numpy(), large["tokens"].to_numpy())
    ends = {"predicted": found.value, "low": found.interval.low, "high": found.interval.high}
    kept = large.select("parameters", "tokens", "flops", "loss")
    return HeldOut(
        law, limit, kept.with_columns(*(pl.Series(n, np.asarray(v)) for n, v in ends.items())).fill_nan(None)
    )
