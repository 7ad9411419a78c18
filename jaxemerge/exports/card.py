"""The model card: what are the members, how did they come about, how good are they and how surely?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from jaxemerge.analysis import final_values, is_share, main_metric, summarise
from jaxemerge.runner.provenance import described_circumstances

_MOST_SEEDS = 20  # that are named


def card(
    experiment: Mapping[str, Any],
    scores: pl.DataFrame | None,
    circumstances: Sequence[Mapping[str, Any]],
    threshold: float,
) -> str:
    """The card as Markdown.

    Args:
        experiment: a cell as JSON, with its seeds.
        scores: rows of results of its members, or None.
        circumstances: provenances of their training.
        threshold: success is a score of at least this.
    """
    task, model = experiment["task"], experiment["model"]
    seeds = experiment["seeds"]
    what = f"{task['kind']}, learnt by a population of {len(seeds)}" if len(seeds) > 1 else task["kind"]
    parts = [
        f"# {what}",
        f"{len(seeds)} member{'s' * (len(seeds) > 1)} of one population: the same model and data law, "
        f"trained with jaxemerge from the random seeds {_seeds(seeds)}. One file each, of safetensors.",
        "## What was trained",
        _list(_fields("task", task)),
        *([_list(_fields("model", model))] if model else []),
        _list(_recipe(experiment)),
        "## How good they are",
        *_scores(scores, threshold),
        "## How they came about",
        _list(described_circumstances(circumstances)),
        "## How they are read",
        "```python\nimport jaxemerge as je\n\n"
        f'trained = je.load("."{_own(experiment)})  # this folder, or one of its files\n'
        + ("print(trained.generate().tokens[:, :10, 0])\n```" if model else "print(trained.params)\n```"),
    ]
    return "\n\n".join(parts) + "\n"


def _seeds(seeds: Sequence[Sequence[int]]) -> str:
    """``7``, or ``3/8`` where weights and data have two."""
    names = [str(init) if init == data else f"{init}/{data}" for init, data in seeds]
    more = f" and {len(names) - _MOST_SEEDS} more" if len(names) > _MOST_SEEDS else ""
    return ", ".join(names[:_MOST_SEEDS]) + more


def _own(experiment: Mapping[str, Any]) -> str:
    """What ``load`` must be given for classes that are not the library's."""
    if "code" not in experiment:
        return ""
    model = experiment["model"]
    given = [f"tasks=[{experiment['task']['kind']}]"]
    given += [f"models=[{model['kind']}]"] if model and "kind" in model else []
    return f", {', '.join(given)}"


def _fields(what: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield what, str(fields.get("kind", "Transformer"))
    for name, value in fields.items():
        if name != "kind":
            yield f"{what}.{name}", str(value)


def _recipe(experiment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("steps", "batch", "context") if experiment["model"] else ("steps",):
        yield name, str(experiment[name])
    for name, value in experiment["optimizer"].items():
        yield f"optimizer.{name}", str(value)
    for name, value in experiment.get("code", {}).items():
        yield f"code, {name}", f"SHA-256 {value}..."


def _list(pairs: Any) -> str:
    return "\n".join(f"* {name}: `{value}`" for name, value in pairs)


def _scores(scores: pl.DataFrame | None, threshold: float) -> Iterator[str]:
    """One table per metric of a test."""
    if scores is None:
        yield "Not known here: these members were exported without their results."
        return
    main = main_metric(scores)
    metrics = [name for name in scores["metric"].unique(maintain_order=True) if name != main]
    yield (
        "Means over members with 95 % intervals, in which members are resampled; P is the share of members "
        f"with at least {threshold:g}, with its Wilson interval."
    )
    for metric in [main, *metrics] if main else metrics:
        if metric == main and is_share(scores, metric):
            yield _success(summarise(scores, metric, threshold), metric, threshold)
        else:
            yield _means(final_values(scores, metric).table, metric)


def _success(table: pl.DataFrame, metric: str, threshold: float) -> str:
    rows = [
        (
            row["test"],
            str(row["seeds"]),
            _interval(row, "success"),
            _interval(row, "success_mean"),
            _interval(row, "mean"),
        )
        for row in table.iter_rows(named=True)
    ]
    heads = (metric, "members", f"P(at least {threshold:g})", "mean of these", "mean of all")
    return _table(heads, rows)


def _means(table: pl.DataFrame, metric: str) -> str:
    rows = [
        (
            row["test"],
            str(row["runs"]),
            _number(row["mean"]),
            f"{_number(row['low'])} to {_number(row['high'])}",
        )
        for row in table.iter_rows(named=True)
    ]
    return _table((metric, "members", "mean", "95 %"), rows)


def _interval(row: Mapping[str, Any], name: str) -> str:
    low, high = (_number(row[f"{name}_{end}"]) for end in ("low", "high"))
    return f"{_number(row[name])} ({low} to {high})"


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.4g}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
