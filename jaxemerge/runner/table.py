"""What do results look like? One row per seed, evaluation step, split and metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from jaxemerge.runner.scores import measured
from jaxemerge.runner.sweep import flat_fields, varied_fields
from jaxemerge.training import cost_of

if TYPE_CHECKING:
    from jaxemerge.runner.spec import Experiment
    from jaxemerge.runner.train import Evaluation
    from jaxemerge.training import Seed

SCHEMA: dict[str, type[pl.DataType]] = {
    "study": pl.String,
    "cell": pl.String,
    "task": pl.String,
    "family": pl.String,
    "depth": pl.Int32,
    "width": pl.Int32,
    "parameters": pl.Int64,
    "flops": pl.Float64,
    "init_seed": pl.Int64,
    "data_seed": pl.Int64,
    "step": pl.Int64,
    "tokens": pl.Int64,
    "split": pl.String,
    "length": pl.Int32,
    "metric": pl.String,
    "value": pl.Float64,
    "trials": pl.Int32,
    "diverged": pl.Boolean,
}


def results_table(
    experiment: Experiment,
    seeds: Sequence[Seed],
    evaluations: Sequence[Evaluation],
    extra: Mapping[str, Any] | None = None,
) -> pl.DataFrame:
    """Evaluations as rows of the results schema.

    ``parameters`` leaves out embeddings; ``flops`` and ``tokens`` count training so far. Proportions
    carry in ``trials`` the number of items (``exact_match``) or tokens (``token_accuracy``) behind
    them. ``answer_nll`` is nats per scored token, null where it is not finite. A diverged seed has
    failed: its proportions are 0 from then on, and its other values null. Of an objective ``tokens`` is
    null: what it trains on is its own.

    Args:
        experiment: the cell.
        seeds: the S members, in the order of the evaluations' arrays.
        evaluations: what to tabulate.
        extra: further columns, for example a swept learning rate.
    """
    blocks = [block for evaluation in evaluations for block in _blocks(experiment, evaluation, len(seeds))]
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    pairs = np.tile(np.asarray(seeds, np.int64), (len(blocks), 1))
    per_step = pl.lit(experiment.tokens_per_step)
    frame = pl.DataFrame({**columns, "init_seed": pairs[:, 0], "data_seed": pairs[:, 1]})
    fixed = {**cell_columns(experiment), **(extra or {})}
    return frame.with_columns(
        *(pl.lit(value).alias(name) for name, value in fixed.items()),
        tokens=pl.col("step") * per_step,
        flops=pl.col("step") * cost_of(experiment).flops,
        length=pl.col("length").replace(-1, None),
        trials=pl.col("trials").replace(-1, None),
        value=pl.when(pl.col("value").is_finite()).then("value"),
    ).select(*(pl.col(n).cast(t) for n, t in SCHEMA.items()), *(extra or {}))


def _blocks(experiment: Experiment, evaluation: Evaluation, n_seeds: int) -> Iterator[dict[str, np.ndarray]]:
    """Columns of S rows each, one block per metric and split; -1 stands for null."""
    for split, length, metric, trials, values in measured(experiment, evaluation.scores):
        where = (split, -1 if length is None else length, metric, -1 if trials is None else trials)
        yield _block(evaluation, values, *where, n_seeds)
    for metric, value in (("train_loss", evaluation.train_loss), ("grad_norm", evaluation.gradient_norm)):
        yield _block(evaluation, value, "train", -1, metric, -1, n_seeds)


def cell_columns(experiment: Experiment) -> dict[str, Any]:
    """What is the same in all rows of a cell, by column."""
    return {
        "study": experiment.study,
        "cell": experiment.cell,
        "task": experiment.task.name,
        "family": experiment.family,
        **experiment.learner.sizes,
        "parameters": cost_of(experiment).parameters,
    }


def swept_columns(experiments: Sequence[Experiment]) -> dict[str, dict[str, Any]]:
    """Per cell, the swept fields that the results schema has no column for.

    They are named by their last part, or by as many as tell them apart from one another and from the schema:
    ``learning_rate``, but ``tasks.0.numbers`` and ``tasks.1.numbers`` of a mixture of two.
    """
    shown = {"model.depth", "model.width"}
    if any(experiment.model is None for experiment in experiments):
        shown |= {"task.depth", "task.width"}
    names = varied_fields(experiments)
    if "model.width" in names:
        shown.add("model.heads")  # follows the width
    names = [name for name in names if name not in shown]
    called = {name: _short(name, names) for name in names}
    flat = {experiment.cell: flat_fields(experiment) for experiment in experiments}
    return {
        cell: {called[name]: _plain(fields[name]) for name in names if name in fields}
        for cell, fields in flat.items()
    }


def _short(name: str, names: Sequence[str]) -> str:
    """The fewest last parts of a dotted name that no other ends in, and no column of the schema is called."""
    parts = name.split(".")
    for first in range(len(parts) - 1, 0, -1):
        short = ".".join(parts[first:])
        alike = sum(f".{other}".endswith(f".{short}") for other in names)
        if alike == 1 and short not in SCHEMA and not parts[first].isdigit():
            return short
    return name


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, bool)) else str(value)


def _block(
    evaluation: Evaluation, value: npt.ArrayLike, split: str, length: int, metric: str, trials: int, n: int
) -> dict[str, np.ndarray]:
    return {
        "step": np.full(n, evaluation.step),
        "split": np.full(n, split),
        "length": np.full(n, length),
        "metric": np.full(n, metric),
        "value": np.where(evaluation.diverged, np.nan if trials < 0 else 0.0, np.asarray(value, np.float64)),
        "trials": np.full(n, trials),
        "diverged": evaluation.diverged,
    }
