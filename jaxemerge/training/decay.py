"""Which weights decay, and which does Muon orthogonalise? Rules by the names of weights."""

from __future__ import annotations

import fnmatch
from typing import Any

import jax
import jax.numpy as jnp

from jaxemerge.types import Params

_EMBEDDINGS = ("*embed*", "*head*", "*logits*")  # matrices that Muon leaves to AdamW


def decay_mask(params: Params, patterns: tuple[str, ...] | None = None) -> Params:
    """Which weights decay: those that match a pattern or, without patterns, ``is_decayed``."""

    def chosen(path: Any, leaf: Any) -> bool:
        name = weight_name(path)
        if patterns is None:
            return is_decayed(name, jnp.ndim(leaf))
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    return jax.tree_util.tree_map_with_path(chosen, params)


def is_decayed(name: str, rank: int) -> bool:
    """Whether a weight decays by default.

    Kernels and embeddings do; biases and the scales of norms do not, whatever their rank: layers that are
    stacked along an axis train as the same layers one by one. Other names go by rank: matrices decay.

    Args:
        name: path of the weight, such as ``blocks/0/mlp/up/kernel``.
        rank: number of its axes.
    """
    *modules, last = name.lower().split("/")
    if last.endswith(("kernel", "embedding")):
        return True
    if last.endswith(("bias", "scale")) or any("norm" in each for each in modules):
        return False
    return rank >= 2


def decay_in_words(weight_decay: float, mask: Params) -> str:
    """Which weights decay, with layers' numbers as ``*``.

    Args:
        weight_decay: of an optimizer.
        mask: a tree of bools, as ``decay_mask`` returns it.
    """
    names: dict[bool, dict[str, None]] = {True: {}, False: {}}
    for path, decays in jax.tree_util.tree_leaves_with_path(mask):
        parts = weight_name(path).split("/")
        names[decays]["/".join("*" if part.isdigit() else part for part in parts)] = None
    others = f", on none of the {len(names[False])} others" if names[False] else ""
    return f"weight decay {weight_decay:g} on {', '.join(names[True]) or 'nothing'}{others}"


def orthogonalised(params: Params) -> Params:
    """Which weights Muon orthogonalises: matrices, but for embeddings and heads; a tree of bools."""

    def chosen(path: Any, leaf: Any) -> bool:
        name = weight_name(path)
        embeds = any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in _EMBEDDINGS)
        return jnp.ndim(leaf) == 2 and is_decayed(name, 2) and not embeds

    return jax.tree_util.tree_map_with_path(chosen, params)


def weight_name(path: Any) -> str:
    """A weight's path in its tree, such as ``blocks/0/mlp/up/kernel``."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
