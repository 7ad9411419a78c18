"""What is trained in the benchmarks: cells by name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from jaxemerge.models import Transformer, families, neox
from jaxemerge.tasks import Count, Task
from jaxemerge.training import AdamW, Recipe

_LAPTOP_TASK = Count(numbers=40, train_length=10, test_lengths=(10,))
_LAPTOP_HEAD, _STUDY_HEAD = 32, families.HEAD_WIDTH


@dataclass(frozen=True)
class Cell(Recipe):
    """A recipe with a name."""

    task: Task
    model: Transformer
    optimizer: AdamW = field(default_factory=AdamW)
    name: str = ""

    @property
    def step_flops(self) -> float:
        """Floating-point operations of one step of one seed."""
        per_token = self.model.training_flops_per_token(self.task.vocabulary, self.context)
        return per_token * self.batch * self.context


_OPTIMIZER = AdamW(learning_rate=1e-3, warmup=1)


def laptop(width: int = 64, depth: int = 2, batch: int = 16, context: int = 64) -> Cell:
    """The quick study's cell, or one of another size; heads of 32 (or one smaller head)."""
    model = neox(depth, width, max(1, width // _LAPTOP_HEAD))
    name = f"{depth}x{width}, batch {batch}x{context}"
    return Cell(_LAPTOP_TASK, model, _OPTIMIZER, 10_000, batch, context, name)


def study(model: Transformer, dtype: str) -> Cell:
    """A cell of the count study: 128 windows of 256 tokens."""
    changes: dict[str, Any] = {"dtype": dtype}
    name = f"{model.depth}x{model.width}"
    return Cell(Count(), replace(model, **changes), _OPTIMIZER, 10_000, 128, 256, name)


def peer(*, study: bool, width: int, depth: int, batch: int, context: int, dtype: str) -> Cell:
    """A cell that the peers train as well: the quick study's task and heads, or the count study's."""
    changes: dict[str, Any] = {"dtype": dtype}
    if not study:
        small = laptop(width, depth, batch, context)
        return replace(small, model=replace(small.model, **changes))
    name = f"{depth}x{width}, batch {batch}x{context}"
    model = neox(depth, width, width // _STUDY_HEAD, **changes)
    return Cell(Count(), model, _OPTIMIZER, 10_000, batch, context, name)


def grid(dtype: str) -> list[Cell]:
    """The 15 cells of the count study in their three families; some are in two of them."""
    models = [
        *families.count_fixed_depth(),
        *families.count_fixed_width(),
        *families.count_fixed_parameters(),
    ]
    return [study(model, dtype) for model in models]


LAPTOP = {"quick": laptop(), "width128": laptop(128), "width256": laptop(256)}
STUDY = ("4x64", "4x128", "4x256", "4x512", "16x128")


def named(name: str, dtype: str) -> Cell:
    """A cell by name: one of ``LAPTOP``, or ``DEPTHxWIDTH`` with the count study's batch.

    Raises:
        ValueError: there is no such cell.
    """
    if name in LAPTOP:
        return replace(LAPTOP[name], name=name)
    shape = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", name)
    known = {cell.name: cell.model for cell in grid(dtype)}
    if name in known:
        return study(known[name], dtype)
    if shape and int(shape[2]) % _STUDY_HEAD == 0:
        depth, width = int(shape[1]), int(shape[2])
        return study(neox(depth, width, width // _STUDY_HEAD), dtype)
    raise ValueError(
        f"cell {name!r}: must be one of {', '.join(LAPTOP)}, or DEPTHxWIDTH with a multiple of {_STUDY_HEAD}"
    )
