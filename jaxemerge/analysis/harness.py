"""What does lm-evaluation-harness write, as rows: one per model, task and metric?

Its `results_*.json` (versions 0.3 and 0.4) has under `results` one object per task, whose keys are metrics,
as "acc,none" (metric, filter) or "acc", each with an "acc_stderr"; the number of items under `n-samples`;
the model under `config` and `model_name`.

References:
    Gao et al., "The Language Model Evaluation Harness", https://github.com/EleutherAI/lm-evaluation-harness.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from .numbers import UNITS

COLUMNS: dict[str, Any] = {"model": pl.String, "parameters": pl.Float64, "seed": pl.Int64}
COLUMNS |= {"task": pl.String, "metric": pl.String, "value": pl.Float64, "trials": pl.Int64}
# Numbers of a task that are no scores.
NO_SCORES = ("alias", "name", "sample_len", "samples")
# The size in a name: pythia-1.4b, opt-125m, Llama-2-7b-hf.
SIZE = re.compile(r"(?<![a-zA-Z0-9.])(\d+(?:\.\d+)?)([kmbt])(?![a-zA-Z0-9])", re.IGNORECASE)


def harness_rows(path: Path) -> pl.DataFrame:
    """The scores in one file, or in all `results_*.json` of a folder and the folders in it.

    Several files of one model with the same seed are runs of it (or later tasks): where a task comes again,
    the runs are told apart by the order of the files' names.

    Returns:
        model, parameters (as the harness counted them, else as the name says, else null), seed, task, metric
        ("acc", or "exact_match,strict-match" where a filter was at work), value, trials (items; null where
        not recorded).

    Raises:
        ValueError: if there is no such file, or one of them is something else.
        OSError: if a file cannot be read.
    """
    files = sorted(path.rglob("results_*.json")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path}: no results_*.json of lm-evaluation-harness in this folder")
    rows = [row for file in files for row in _of_file(file)]
    frame = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    if frame.is_empty():
        raise ValueError(f"{path}: the results hold no score")
    again = pl.int_range(pl.len()).over("model", "seed", "task", "metric")
    if frame.select((again > 0).any()).item():
        frame = frame.with_columns(seed=again)
    return frame


def _of_file(path: Path) -> Iterator[tuple[Any, ...]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: this is no JSON: {error}") from None
    tasks = found.get("results") if isinstance(found, dict) else None
    if not isinstance(tasks, dict) or not all(isinstance(scores, dict) for scores in tasks.values()):
        raise ValueError(f"{path}: no results of lm-evaluation-harness: 'results' must hold tasks")
    config = found.get("config") or {}
    model = _model(found, config, path)
    seed = config.get("random_seed")
    for task, scores in tasks.items():
        trials = _items(found, task)
        for metric, value in _scores(scores):
            yield model, _size(config, model), int(seed or 0), task, metric, value, trials


def _scores(scores: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in scores.items():
        name, _, kept = key.partition(",")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if key in NO_SCORES or name.endswith("_stderr") or not number:
            continue
        yield (name if kept in ("", "none") else key), float(value)


def _items(found: Mapping[str, Any], task: str) -> int | None:
    counts = (found.get("n-samples") or {}).get(task) or {}
    return counts.get("effective") or counts.get("original")


def _model(found: Mapping[str, Any], config: Mapping[str, Any], path: Path) -> str:
    """The name given to the model; the file's folder where there is none."""
    if found.get("model_name"):
        return str(found["model_name"])
    arguments = config.get("model_args") or ""
    if isinstance(arguments, str):
        arguments = dict(part.partition("=")[::2] for part in arguments.split(","))
    return str(arguments.get("pretrained") or path.parent.name)


def _size(config: Mapping[str, Any], model: str) -> float | None:
    counted = config.get("model_num_parameters")
    if isinstance(counted, int | float) and counted > 0:
        return float(counted)
    named = SIZE.search(model.rpartition("/")[2])
    return float(named[1]) * UNITS[named[2].lower()] if named else None
