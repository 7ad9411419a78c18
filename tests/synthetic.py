"""Frames of results as the runner would store them, with planted two-sided populations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

CELLS = ((1, 64), (2, 64), (4, 64), (8, 64))
LENGTHS = (30, 40, 50, 60)
IDENTITY = ("study", "cell", "task", "family", "depth", "width", "parameters")
STEPS = (0, 10, 20, 50, 100, 200, 400, 600)


def population_frame(
    cells: Sequence[tuple[int, int]] = CELLS,
    seeds: int = 16,
    lengths: Sequence[int | None] = LENGTHS,
    steps: Sequence[int] = STEPS,
    *,
    key: int = 0,
    diverged: int = 1,
    task: str = "count",
    extra: dict[str, Sequence[Any]] | None = None,
) -> pl.DataFrame:
    """A schema-true frame: deeper cells and shorter lengths succeed more often, the rest stay near 0.

    `diverged` seeds of the last cell (its highest seed numbers) diverge half way. `extra` adds swept columns,
    one value per cell.
    """
    parts = []
    for index, (depth, width) in enumerate(cells):
        swept = {name: values[index] for name, values in (extra or {}).items()}
        seed_rng = np.random.default_rng([key, index])
        lost = diverged if index == len(cells) - 1 else 0
        columns = _identity(task, depth, width, swept)
        parts.append(_cell(columns, depth, seeds, list(lengths), np.asarray(steps), lost, seed_rng))
    return pl.concat(parts)


def _identity(task: str, depth: int, width: int, swept: dict[str, Any]) -> dict[str, Any]:
    digest = hashlib.sha256(repr((task, depth, width, swept)).encode()).hexdigest()[:8]
    return {
        "study": "synthetic",
        "cell": f"depth{depth}-width{width}-{digest}",
        "task": task,
        "family": "rotary",
        "depth": depth,
        "width": width,
        "parameters": 12 * width**2 * depth,
        **swept,
    }


def _cell(
    identity: dict[str, Any],
    depth: int,
    seeds: int,
    lengths: list[int | None],
    steps: np.ndarray,
    lost: int,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Rows of one cell: scores [S, T, length] and losses [S, T], flattened in that order."""
    talent = rng.normal(size=seeds)
    breakthrough = np.exp(rng.normal(np.log(max(steps[-1], 2) / 4), 0.4, size=seeds))
    progress = 1 / (1 + (breakthrough[:, None] / np.maximum(steps, 1e-9)) ** 4)
    gone = np.arange(seeds) >= seeds - lost
    dead = gone[:, None] & (steps >= steps[len(steps) // 2])
    rows = [row for length in lengths for row in _scores(length, depth, talent, progress, dead, rng)]
    loss = np.where(
        dead, np.nan, 0.05 + 4.9 * (1 - progress * 0.97) + rng.normal(0, 0.02, progress.shape) ** 2
    )
    train = {"split": "train", "length": None, "trials": None}
    rows += [
        {**train, "metric": "train_loss", "value": loss},
        {**train, "metric": "grad_norm", "value": 0.3 + loss},
    ]
    seed = np.repeat(np.arange(seeds), len(steps))
    step = np.tile(steps, seeds)
    frames = []
    for row in rows:
        columns = {
            **identity,
            **row,
            "init_seed": seed,
            "data_seed": seed,
            "step": step,
            "diverged": gone[seed],
        }
        frames.append(_typed(pl.DataFrame({**columns, "value": np.ravel(row["value"])}), list(identity)))
    return pl.concat(frames)


def _scores(
    length: int | None,
    depth: int,
    talent: np.ndarray,
    progress: np.ndarray,
    dead: np.ndarray,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    reach = 1.2 * np.log2(depth) + talent - ((length or 30) - 30) / 12
    luck = reach + rng.normal(0, 0.4, len(reach))
    best = np.where(luck > 0, 1 - np.exp(-0.9 * np.abs(luck)), np.where(luck > -0.6, 0.04, 0.0))
    best = np.where(luck > 3, 1.0, best)
    trials = 151 - (length or 51)
    exact = np.where(dead, 0.0, np.round(best[:, None] * progress * trials) / trials)
    nll = np.where(dead, np.nan, -np.log(0.02 + 0.97 * np.maximum(exact, progress * 0.3)))
    test = {"split": "test", "length": length}
    tokens = trials * (length or 1)
    right = np.round(np.sqrt(exact) * tokens) / tokens
    return [
        {**test, "metric": "exact_match", "trials": trials, "value": exact},
        {**test, "metric": "token_accuracy", "trials": tokens, "value": right},
        {**test, "metric": "answer_nll", "trials": None, "value": nll},
    ]


def _typed(frame: pl.DataFrame, identity: list[str]) -> pl.DataFrame:
    """The columns of the results schema, in its order and types; swept columns last."""
    ints = {
        "depth": pl.Int32,
        "width": pl.Int32,
        "length": pl.Int32,
        "trials": pl.Int32,
        "parameters": pl.Int64,
    }
    tokens = pl.col("step").cast(pl.Int64) * 16 * 64
    flops = 6.0 * pl.col("parameters") * tokens.cast(pl.Float64)
    seeds = [
        pl.col("init_seed", "data_seed").cast(pl.Int64),
        pl.col("step").cast(pl.Int64),
        tokens.alias("tokens"),
    ]
    swept = [name for name in identity if name not in IDENTITY]
    result = ["split", "length", "metric", "value", "trials", "diverged"]
    return frame.cast(ints).select(*IDENTITY, flops.alias("flops"), *seeds, *result, *swept)
