"""The recipe of the paper's count studies.

It stands apart from the studies, which need Polars and Altair, so that a host without them can train a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from jaxemerge import AdamW, Count, Experiment, Transformer, paired
from jaxemerge.models import families

# Where each of the paper's cells belongs: a cell of two families is listed under the first.
FAMILIES = {
    "count_fixed_depth": families.count_fixed_depth,
    "count_fixed_width": families.count_fixed_width,
    "count_fixed_parameters": families.count_fixed_parameters,
}


def experiments(
    models: Sequence[Transformer], study: str, *, dtype: Literal["float32", "bfloat16"] | None = "bfloat16"
) -> tuple[Experiment, ...]:
    """Numbers to 150, answers of at most 30 in training; 250 seeds, 10,000 steps of 128 x 256 tokens.

    They are computed in bfloat16, with weights, moments, norms, softmax and loss in float32; the study
    ``precision`` compares the two. Zhao, Qin, Alvarez-Melis, Kakade, Saphra (2025), "Random Scaling of
    Emergent Capabilities", arXiv 2502.17356.

    Args:
        models: one per cell.
        study: name of the study.
        dtype: precision of the computation; None keeps that of each model.
    """
    changes: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
    return tuple(_experiment(replace(model, **changes), study) for model in models)


def _experiment(model: Transformer, study: str) -> Experiment:
    return Experiment(
        task=Count(),
        model=model,
        optimizer=AdamW(learning_rate=1e-3, warmup=500, weight_decay=0.1, clip=1.0),
        steps=10_000,
        batch=128,
        context=256,
        seeds=paired(range(250)),
        study=study,
        family=study,
    )


def cell(name: str) -> Experiment:
    """One of the paper's cells by ``DEPTHxWIDTH``, with the study that it belongs to.

    Raises:
        ValueError: the paper has no such cell.
    """
    known = _cells()
    if name not in known:
        raise ValueError(f"cell {name!r}: must be one of {', '.join(known)}")
    return known[name]


def names() -> list[str]:
    """Of all cells."""
    return list(_cells())


def _cells() -> dict[str, Experiment]:
    known: dict[str, Experiment] = {}
    for study, models in FAMILIES.items():
        for one in experiments(models(), study):
            sizes = one.learner.sizes
            known.setdefault(f"{sizes['depth']}x{sizes['width']}", one)
    return known
