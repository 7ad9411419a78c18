"""Which rows do scores, items and counts of samples become? Tables of results, of items and of passes.

results_table    one row per seed, evaluation step, split and metric
items_table      one row per seed and item: enough to score a population again without its weights
passes_table     one row per seed and item: how many samples were drawn until enough of them passed
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from jaxemerge.evaluation import Evaluated, Passed
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.labels import flat_fields, short_name, varied_fields
from jaxemerge.runner.scores import Evaluation, measured
from jaxemerge.schema import RESERVED, SCHEMA, STOPPED_AT
from jaxemerge.training import Seed, cost_of

METRIC = "pass_rate"


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
    null: what it trains on is its own. With rules that stop seeds there is the column ``stopped_at``; a
    stopped seed's later rows repeat its last scores, with the tokens and FLOPs that it was trained for.

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
    stops = [STOPPED_AT] if experiment.stop_when else []
    frame = pl.DataFrame({**columns, "init_seed": pairs[:, 0], "data_seed": pairs[:, 1]})
    frame = frame.with_columns(pl.col(name).replace(-1, None) for name in stops)
    trained = pl.min_horizontal("step", *stops)
    fixed = {**cell_columns(experiment), **(extra or {})}
    return frame.with_columns(
        *(pl.lit(value).alias(name) for name, value in fixed.items()),
        tokens=trained * per_step,
        flops=trained * cost_of(experiment).flops,
        length=pl.col("length").replace(-1, None),
        trials=pl.col("trials").replace(-1, None),
        value=pl.when(pl.col("value").is_finite()).then("value"),
    ).select(*(pl.col(n).cast(t) for n, t in SCHEMA.items()), *stops, *(extra or {}))


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
    return columns_of({each.cell: each.to_dict() for each in experiments})


def columns_of(cells: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The same for cells given by their plain fields, as ``to_dict`` and study.json have them."""
    shown = {"model.depth", "model.width"}
    if any(fields["model"] is None for fields in cells.values()):
        shown |= {"task.depth", "task.width"}
    flat = {cell: flat_fields(fields) for cell, fields in cells.items()}
    varied = varied_fields(flat.values())
    if "model.width" in varied:
        shown.add("model.heads")  # follows the width
    names = [name for name in varied if name not in shown]
    called = {name: short_name(name, names, {*SCHEMA, *RESERVED}) for name in names}
    kinds = {name: {type(fields[name]) for fields in flat.values() if name in fields} for name in names}
    return {
        cell: {called[name]: _plain(fields[name], kinds[name]) for name in names if name in fields}
        for cell, fields in flat.items()
    }


def _plain(value: Any, kinds: Set[type]) -> Any:
    """A value as it stands in a column, among values of these types: text where these do not go together."""
    if kinds == {int, float}:
        return float(value)
    return value if len(kinds) == 1 and isinstance(value, (int, float, str, bool)) else str(value)


def with_swept_columns(parts: Sequence[pl.DataFrame], cells: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    """Parts of a study's rows as one frame, with columns for the fields in which its cells differ.

    Rows that were written before another cell was added have no column for what tells the two apart.

    Args:
        parts: rows of results.
        cells: plain fields of the study's cells by id.
    """
    swept = columns_of(cells)
    names = dict.fromkeys(name for columns in swept.values() for name in columns)
    order = dict.fromkeys([*(name for part in parts for name in part.columns), *names])
    frame = pl.concat([part.drop(names, strict=False) for part in parts], how="diagonal")
    values = {name: [columns.get(name) for columns in swept.values()] for name in names}
    columns = pl.DataFrame({"cell": list(swept), **values})
    return frame.join(columns, on="cell", how="left", maintain_order="left").select(*order)


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
        **({} if evaluation.stopped_at is None else {STOPPED_AT: evaluation.stopped_at}),
    }


def items_table(
    experiment: Experiment, seeds: Sequence[Seed], last: Evaluation, seen: Evaluated
) -> pl.DataFrame:
    """Items of a population at one step, with the columns that name a row of results.

    Further columns are those of ``jaxemerge.evaluation.Items``, an item's place in its set (``item``), and
    the score of a guess (``vocabulary``, ``chance``). ``jaxemerge.analysis.rescore`` reads them.

    Args:
        experiment: the cell.
        seeds: the S members.
        last: their evaluation at this step.
        seen: their items.
    """
    names = ("exact", "right", "nll", "brier", "edits")
    found = {name: values for name in names if (values := getattr(seen.items, name)) is not None}
    frame = _item_rows(experiment, seeds, last, seen, seen.items.answers, found)
    lists = {name: getattr(seen.items, name) for name in ("choices", "log_probabilities")}
    return frame.with_columns(
        vocabulary=pl.lit(seen.vocabulary),
        chance=pl.lit(seen.chance),
        **{
            name: pl.Series(values.reshape(frame.height, -1).tolist(), dtype=pl.List(pl.Float32))
            for name, values in lists.items()
            if values is not None
        },
    )


def passes_table(
    experiment: Experiment, seeds: Sequence[Seed], last: Evaluation, seen: Passed
) -> pl.DataFrame:
    """Counts of samples of a population at one step, with the columns that name a row of results.

    Further columns: an item's place in its set (``item``), ``passes``, ``samples``, ``censored`` (the cap was
    reached before the r-th pass) and ``r``, as ``jaxemerge.stats.pass_rate`` takes them, and of the item's
    reference the scored tokens (``answers``) and their negative log-likelihood in nats (``nll``).

    Args:
        experiment: the cell.
        seeds: the S members.
        last: their evaluation at this step.
        seen: their counts.
    """
    found = {name: getattr(seen.counts, name) for name in ("passes", "samples", "censored")}
    found["nll"] = seen.nll.astype(np.float64)
    frame = _item_rows(experiment, seeds, last, seen, seen.answers, found)
    return frame.with_columns(r=pl.lit(seen.counts.r))


def _item_rows(
    experiment: Experiment,
    seeds: Sequence[Seed],
    last: Evaluation,
    seen: Evaluated | Passed,
    answers: np.ndarray,
    values: Mapping[str, np.ndarray],
) -> pl.DataFrame:
    """A row per seed and item: which it is, ``values`` of shape [S, E], and what names a row of results."""
    n_items = len(seen.number)
    pairs = np.repeat(np.asarray(seeds, np.int64), n_items, axis=0)
    stopped: dict[str, np.ndarray] = {}
    trained: Any = last.step
    if last.stopped_at is not None:
        stopped[STOPPED_AT] = np.repeat(last.stopped_at, n_items)
        trained = np.where(last.stopped_at < 0, last.step, last.stopped_at).repeat(n_items)
    of_item = {"split": seen.split, "length": seen.length, "item": seen.number, "answers": answers}
    named = {
        **cell_columns(experiment),
        "step": last.step,
        "tokens": trained * experiment.batch * experiment.context,
        "flops": trained * cost_of(experiment).flops,
    }
    return pl.DataFrame(
        {
            "init_seed": pairs[:, 0],
            "data_seed": pairs[:, 1],
            **{name: np.tile(column, len(seeds)) for name, column in of_item.items()},
            **{name: array.ravel() for name, array in values.items()},
            "diverged": np.repeat(last.diverged, n_items),
            **stopped,
        }
    ).with_columns(
        *(pl.lit(value).alias(name) for name, value in named.items()),
        *(pl.col(name).replace(-1, None) for name in stopped),
        length=pl.col("length").replace(-1, None),
    )


def rate_rows(passes: pl.DataFrame, extra: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """Rows of results: for every seed and set the mean over its items of the unbiased rate.

    That is (r - 1) / (K - 1) where K samples gave the r-th pass, and m / K with m passes of K at the cap.

    Args:
        passes: what ``passes_table`` returns.
        extra: further columns, for example a swept learning rate.
    """
    less = pl.when("censored").then(0).otherwise(1)
    rate = ((pl.col("passes") - less) / (pl.col("samples") - less)).mean()
    stops = [STOPPED_AT] if STOPPED_AT in passes.columns else []
    named = [*(name for name in SCHEMA if name not in ("metric", "value", "trials")), *stops]
    rows = passes.group_by(named, maintain_order=True).agg(value=rate)
    return rows.with_columns(
        *(pl.lit(value).alias(name) for name, value in (extra or {}).items()),
        metric=pl.lit(METRIC),
        trials=pl.lit(None),
    ).select(*(pl.col(n).cast(t) for n, t in SCHEMA.items()), *stops, *(extra or {}))


def with_pass_rates(
    rows: pl.DataFrame, passes: pl.DataFrame | None, extra: Mapping[str, Any] | None = None
) -> pl.DataFrame:
    """Rows of results, and those of pass rates where there are any; ``extra`` as in ``results_table``."""
    return rows if passes is None else pl.concat([rows, rate_rows(passes, extra)])
