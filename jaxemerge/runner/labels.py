"""What are the cells of a study called? By the fields in which they differ.

Works on plain fields, as ``Experiment.to_dict`` returns them and study.json holds them, without JAX and
Polars.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from jaxemerge.text import named_value, numbered

Fields = Mapping[str, Any]  # of a cell, nested; or by their dotted names

_LABELS = ("seeds", "study", "family", "code", "files")  # name a run, or are named by what they belong to
_FIRST = ("model.depth", "model.width", "task.depth", "task.width")
_UNSAID = {"model": "Transformer", "optimizer": "AdamW"}
_PARTS = ("task", "model", "optimizer")


def labels(cells: Mapping[str, Fields]) -> dict[str, str]:
    """A short unique name of every cell: its size and the other fields that tell it from other cells.

    Fields that distinguish no further cells are left out, such as heads that follow the width.

    Args:
        cells: fields by id.

    Returns:
        Names by id, such as ``depth 2, lr 3e-3``; of a single cell its size.
    """
    flat = {cell: flat_fields(fields) for cell, fields in cells.items()}
    chosen = _telling(list(flat.values()))
    called = {name: short_name(name, chosen) for name in chosen}
    texts = [
        ", ".join(named_value(called[name], _shown(fields[name])) for name in chosen if name in fields)
        or _size(fields)
        for fields in flat.values()
    ]
    return dict(zip(flat, numbered(" ".join(text.split()) for text in texts), strict=True))


def _telling(cells: Sequence[Fields]) -> list[str]:
    """Names of fields that together tell all cells apart, as far as any do."""
    chosen: list[str] = []
    groups = 1
    for name in sorted(varied_fields(cells), key=_place):
        apart = len({tuple(repr(fields.get(each)) for each in (*chosen, name)) for fields in cells})
        if apart > groups:
            chosen.append(name)
            groups = apart
    return chosen


def _place(name: str) -> tuple[int, int, int, str]:
    """Sizes first, then classes, then the fields of task, model, optimizer and recipe."""
    part, _, last = name.partition(".")
    place = _PARTS.index(part) if part in _PARTS else len(_PARTS)
    return (
        _FIRST.index(name) if name in _FIRST else len(_FIRST),
        last != "kind",
        place,
        name,
    )


def _size(fields: Fields) -> str:
    """Of a cell that nothing has to tell apart: its depth and width, else the kind of its model or task."""
    sizes = [(name.rpartition(".")[2], fields[name]) for name in _FIRST if fields.get(name) is not None]
    kind = fields.get("model.kind") or fields.get("task.kind")
    return ", ".join(named_value(*size) for size in sizes) or str(kind)


def _shown(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value


def varied_fields(cells: Iterable[Fields]) -> list[str]:
    """Dotted names of the fields in which cells differ, of their flat fields."""
    flat = list(cells)
    names = dict.fromkeys(name for fields in flat for name in fields)
    return [name for name in names if len({repr(fields.get(name)) for fields in flat}) > 1]


def short_name(name: str, names: Sequence[str], taken: Container[str] = ()) -> str:
    """The fewest last parts of a dotted name that no other ends in, and that are not taken."""
    parts = name.split(".")
    for first in range(len(parts) - 1, 0, -1):
        short = ".".join(parts[first:])
        alike = sum(f".{other}".endswith(f".{short}") for other in names)
        if alike == 1 and short not in taken and not parts[first].isdigit():
            return short
    return name


def flat_fields(fields: Fields) -> dict[str, Any]:
    """All fields of a cell by their dotted names, labels and seeds aside; of lists tuples.

    Models and optimizers without a kind are of the one that is not written down.
    """
    kept = {name: value for name, value in fields.items() if name not in _LABELS}
    for part, kind in _UNSAID.items():
        if isinstance(kept.get(part), Mapping):
            kept[part] = {"kind": kind, **kept[part]}
    return _flat(kept)


def _flat(fields: Fields) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        several = isinstance(value, (tuple, list))
        tasks = several and any(isinstance(each, Mapping) for each in value)
        nested = dict(enumerate(value)) if tasks else value
        if isinstance(nested, Mapping):
            flat.update(_flat({f"{name}.{key}": inner for key, inner in nested.items()}))
        else:
            flat[name] = tuple(value) if several else value
    return flat
