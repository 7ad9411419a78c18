"""The model card: what was trained, how, and how good are the members, with intervals?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from jaxemerge.analysis import final_values, is_share, main_metric, summarise
from jaxemerge.runner.plain import pair_call
from jaxemerge.runner.provenance import described_circumstances
from jaxemerge.tasks import BUILT_IN
from jaxemerge.training.objective import Pair
from jaxemerge.training.optimizer import BUILT_IN_OPTIMIZERS
from jaxemerge.training.schedules import SCHEDULES

_UNKNOWN = "-"
_MOST_SEEDS = 20  # that are named
_OF_TRAINING = ("train_loss", "grad_norm")  # metrics that are of no test


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
    two = " (of weights/data where these differ)" if any("/" in name for name in names) else ""
    return ", ".join(names[:_MOST_SEEDS]) + more + two


def _own(experiment: Mapping[str, Any]) -> str:
    """What ``load`` must be given for classes that are not the library's."""
    model, task = experiment["model"], experiment["task"]
    if task["kind"] == Pair.__name__:
        return f", tasks=[je.{pair_call(task)}]"
    built_in = {kind.__name__ for kind in BUILT_IN}
    own = [kind for kind in dict.fromkeys(_kinds(task)) if kind not in built_in]
    given = [f"tasks=[{', '.join(own)}]"] if own else []
    given += [f"models=[{model['kind']}]"] if model and "kind" in model else []
    own = _own_optimizer(experiment["optimizer"])
    given += [f"optimizers=[{', '.join(own)}]"] if own else []
    return "".join(f", {each}" for each in given)


def _own_optimizer(optimizer: Mapping[str, Any]) -> list[str]:
    """Names of the user's class of an optimizer, and of functions that make one or are its schedule."""
    built_in = {"Optax", *(kind.__name__ for kind in BUILT_IN_OPTIMIZERS)}
    named = [optimizer.get("kind", "AdamW"), optimizer.get("make"), optimizer.get("schedule")]
    names = [each["kind"] if isinstance(each, Mapping) else each for each in named if each]
    return [name for name in names if name not in built_in and name not in SCHEDULES]


def _kinds(value: Any) -> Iterator[str]:
    """Names of the classes of a task, and of those within it."""
    if isinstance(value, Mapping):
        yield from [value["kind"]] if "kind" in value else []
        yield from _kinds([*value.values()])
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _kinds(each)


def _written(value: Any) -> str:
    """A field's value as it is written in Python, near enough."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name}={_written(each)}" for name, each in value.items() if name != "kind")
        return f"{value['kind']}({inner})" if "kind" in value else f"({inner})"
    if isinstance(value, list | tuple):
        return ", ".join(map(_written, value))
    return str(value)


def _fields(what: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield what, str(fields.get("kind", "Transformer"))
    for name, value in fields.items():
        if name != "kind":
            yield f"{what}.{name}", _written(value)


def _recipe(experiment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("steps", "batch", "context") if experiment["model"] else ("steps",):
        yield name, str(experiment[name])
    for name, value in experiment["optimizer"].items():
        yield f"optimizer.{name}", _written(value)
    for name, value in experiment.get("code", {}).items():
        yield f"code, {name}", f"SHA-256 {value}..."
    for name, value in experiment.get("files", {}).items():
        yield f"data, {name}", f"SHA-256 {value}..."


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
        f"with at least {threshold:g}, with its 95 % interval.{_diverged(scores)}"
    )
    for metric in [main, *metrics] if main else metrics:
        if metric == main and is_share(scores, metric):
            yield _success(summarise(scores, metric, threshold), metric, threshold)
        else:
            yield _means(final_values(scores, metric).table, metric)


def _diverged(scores: pl.DataFrame) -> str:
    lost = scores.filter(pl.col("diverged")).select("init_seed", "data_seed").unique().sort(pl.all())
    if lost.is_empty():
        return ""
    return (
        f" Diverged in training: {_seeds(lost.rows())}. Such members keep their last finite weights, score 0 "
        "and are left out of means of losses."
    )


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
            "training" if metric in _OF_TRAINING else row["test"],
            str(row["runs"]),
            _number(row["mean"]),
            _ends(row),
        )
        for row in table.iter_rows(named=True)
    ]
    return _table((metric, "members", "mean", "95 %"), rows)


def _ends(row: Mapping[str, Any]) -> str:
    low, high = _number(row["low"]), _number(row["high"])
    return _UNKNOWN if low == _UNKNOWN else f"{low} to {high}"


def _interval(row: Mapping[str, Any], name: str) -> str:
    """A value with its interval, which it does not have where there is one member alone."""
    value, low, high = (_number(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return value if low == _UNKNOWN else f"{value} ({low} to {high})"


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None or value != value else f"{value:.4g}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")  # else it would end the cell
