"""What do results look like? One row per seed, evaluation step, split and metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from jaxemerge.evaluation import Sheet, sheet
from jaxemerge.models import non_embedding_parameters, training_flops_per_token

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
    failed: its proportions are 0 from then on, and its other values null.

    Args:
        experiment: the cell.
        seeds: the S members, in the order of the evaluations' arrays.
        evaluations: what to tabulate.
        extra: further columns, for example a swept learning rate.
    """
    items = sheet(experiment.task)
    blocks = [block for evaluation in evaluations for block in _blocks(items, evaluation, len(seeds))]
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    pairs = np.tile(np.asarray(seeds, np.int64), (len(blocks), 1))
    per_step = experiment.batch * experiment.context
    per_token = training_flops_per_token(experiment.model, experiment.task.vocabulary, experiment.context)
    frame = pl.DataFrame({**columns, "init_seed": pairs[:, 0], "data_seed": pairs[:, 1]})
    fixed = {**cell_columns(experiment), **(extra or {})}
    return frame.with_columns(
        *(pl.lit(value).alias(name) for name, value in fixed.items()),
        tokens=pl.col("step") * per_step,
        flops=pl.col("step") * (per_step * per_token),
        length=pl.col("length").replace(-1, None),
        trials=pl.col("trials").replace(-1, None),
        value=pl.when(pl.col("value").is_finite()).then("value"),
    ).select(*(pl.col(n).cast(t) for n, t in SCHEMA.items()), *(extra or {}))


def _blocks(items: Sheet, evaluation: Evaluation, n_seeds: int) -> Iterator[dict[str, np.ndarray]]:
    """Columns of S rows each, one block per metric and split; -1 stands for null."""
    scored = evaluation.scores
    for i, (split, length) in enumerate(zip(items.splits, items.lengths, strict=True)):
        n_items, n_answers = int(items.items[i]), int(items.answers[i])
        for metric, value, trials in (
            ("exact_match", scored.exact[:, i] / n_items, n_items),
            ("token_accuracy", scored.right[:, i] / n_answers, n_answers),
            ("answer_nll", scored.nll[:, i].astype(np.float64) / n_answers, -1),
        ):
            where = (split, -1 if length is None else length, metric, trials)
            yield _block(evaluation, value, *where, n_seeds)
    for metric, value in (("train_loss", evaluation.train_loss), ("grad_norm", evaluation.gradient_norm)):
        yield _block(evaluation, value, "train", -1, metric, -1, n_seeds)


def cell_columns(experiment: Experiment) -> dict[str, Any]:
    """What is the same in all rows of a cell, by column."""
    return {
        "study": experiment.study,
        "cell": experiment.cell,
        "task": experiment.task.name,
        "family": experiment.family,
        "depth": experiment.model.depth,
        "width": experiment.model.width,
        "parameters": non_embedding_parameters(experiment.model),
    }


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
