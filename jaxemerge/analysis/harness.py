"""Results of lm-evaluation-harness: which runs, tests and settings do its files hold?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from .columns import SETTINGS
from .entries import UNITS

COLUMNS: dict[str, Any] = {"model": pl.String, "parameters": pl.Float64, "seed": pl.Int64, "step": pl.Int64}
COLUMNS |= dict.fromkeys((*SETTINGS, "task", "shots", "metric"), pl.String)
COLUMNS |= {"value": pl.Float64, "trials": pl.Int64}
# Numbers of a task that are not scores.
NO_SCORES = ("alias", "name", "sample_len", "samples")
# The size in a name: pythia-1.4b, opt-125m, Llama-2-7b-hf.
SIZE_IN_NAME = re.compile(r"(?<![a-zA-Z0-9.])(\d+(?:\.\d+)?)([kmbt])(?![a-zA-Z0-9])", re.IGNORECASE)
SEED_IN_NAME = re.compile(r"[-_]?seed[-_]?(\d+)", re.IGNORECASE)
STEP_IN_REVISION = re.compile(r"step[-_]?(\d+)", re.IGNORECASE)


def harness_files(place: Path) -> list[Path]:
    """A file, or those in a folder and the folders in it, if they hold results of the harness."""
    files = sorted(place.rglob("*.json")) if place.is_dir() else [place] if place.suffix == ".json" else []
    return [path for path in files if "results" in _loaded(path, quiet=True)]


def harness_rows(files: Sequence[Path], where: Path) -> pl.DataFrame:
    """The scores in files of the harness, of its versions 0.3 and 0.4.

    A revision named after a step, such as step1000, is that step; a model named after a seed, such as
    pythia-70m-seed3, is that seed of the model. Numbers of shots are tests where one task has several. Files
    that agree in all of this are runs, numbered in the order of the files' names.

    Returns:
        model, parameters (as the harness counted them, else as the name says, else null), seed, step, task,
        metric ("acc", or "exact_match,strict-match" where a filter was at work), value, trials (items; null
        where not recorded), and those of revision, dtype and limit that differ.

    Raises:
        ValueError: if one of the files is something else.
        OSError: if a file cannot be read.
    """
    rows = [row for file in files for row in _of_file(file)]
    frame = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    if frame.is_empty():
        raise ValueError(f"{where}: the results hold no score")
    several = pl.col("shots").n_unique().over("task") > 1
    shots = pl.format("{}, {} shots", "task", pl.col("shots").fill_null("default"))
    frame = frame.with_columns(task=pl.when(several).then(shots).otherwise("task")).drop("shots")
    frame = frame.drop(name for name in SETTINGS if frame[name].n_unique() == 1)
    frame = frame.with_columns(pl.col(c).fill_null("default") for c in SETTINGS if c in frame.columns)
    keys = [c for c in frame.columns if c not in ("seed", "value", "trials", "parameters")]
    if frame.select(*keys, "seed").is_duplicated().any():
        frame = frame.with_columns(seed=pl.int_range(pl.len()).over(keys))
    return frame


def _loaded(path: Path, *, quiet: bool = False) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        if quiet:
            return {}
        raise ValueError(f"{path}: this is not JSON: {error}") from None
    tasks = found.get("results") if isinstance(found, dict) else None
    if not isinstance(tasks, dict) or not all(isinstance(scores, dict) for scores in tasks.values()):
        if quiet:
            return {}
        raise ValueError(f"{path}: no results of lm-evaluation-harness: 'results' must hold tasks")
    return dict(found)


def _of_file(path: Path) -> Iterator[tuple[Any, ...]]:
    found = _loaded(path)
    config = _mapping(found.get("config"))
    given = _arguments(config)
    model = str(found.get("model_name") or given.get("pretrained") or path.parent.name)
    revision = str(given.get("revision") or config.get("model_revision") or "main")
    seeded = SEED_IN_NAME.search(model)
    step = STEP_IN_REVISION.search(revision)
    seed = int(seeded[1]) if seeded else int(config.get("random_seed") or 0)
    model = SEED_IN_NAME.sub("", model) if seeded else model
    dtype, limit = given.get("dtype") or config.get("model_dtype"), config.get("limit")
    settings = ("main" if step else revision, _text(dtype), _text(limit))
    at = int(step[1]) if step else 0
    for task, scores in found["results"].items():
        trials, shots = _items(found, task), _shots(found, config, task)
        for metric, value in _scores(scores):
            size = _size(config, model)
            yield model, size, seed, at, *settings, task, shots, metric, value, trials


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _arguments(config: Mapping[str, Any]) -> Mapping[str, Any]:
    given = config.get("model_args") or ""
    if isinstance(given, str):
        return dict(part.partition("=")[::2] for part in given.split(","))
    return _mapping(given)


def _shots(found: Mapping[str, Any], config: Mapping[str, Any], task: str) -> str | None:
    own = _mapping(_mapping(found.get("configs")).get(task)).get("num_fewshot")
    for shots in (_mapping(found.get("n-shot")).get(task), own, config.get("num_fewshot")):
        if shots is not None:
            return str(shots)
    return None


def _scores(scores: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in scores.items():
        name, _, kept = key.partition(",")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if key in NO_SCORES or name.endswith("_stderr") or not number:
            continue
        yield (name if kept in ("", "none") else key), float(value)


def _items(found: Mapping[str, Any], task: str) -> int | None:
    counts = _mapping(_mapping(found.get("n-samples")).get(task))
    return counts.get("effective") or counts.get("original")


def _size(config: Mapping[str, Any], model: str) -> float | None:
    counted = config.get("model_num_parameters")
    if isinstance(counted, int | float) and counted > 0:
        return float(counted)
    return size_in_name(model)


def size_in_name(model: str) -> float | None:
    """The size that the name of a model says, such as 1.4e9 of pythia-1.4b; None where it says none."""
    named = SIZE_IN_NAME.search(model.rpartition("/")[2])
    return float(named[1]) * UNITS[named[2].lower()] if named else None
