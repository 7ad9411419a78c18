"""Which weights decay, and which does Muon orthogonalise? Rules by the names and axes of weights."""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from typing import Any

import jax
import numpy as np

from jaxemerge.types import Params

_EMBEDDINGS = ("*embed*", "*head*", "*logits*")  # matrices that Muon leaves to AdamW


def decay_mask(params: Params, patterns: tuple[str, ...] | None = None) -> Params:
    """Which weights decay: those that match a pattern or, without patterns, ``is_decayed``.

    Raises:
        ValueError: a pattern matches no weight.
    """
    names = [weight_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    for pattern in patterns or ():
        if not fnmatch.filter(names, pattern):
            raise ValueError(f"decayed: {pattern!r} matches none of the weights {', '.join(names)}")

    def chosen(path: Any, leaf: Any, layers: int) -> bool:
        name = weight_name(path)
        if patterns is None:
            return is_decayed(name, np.ndim(leaf) - layers)
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    return jax.tree_util.tree_map_with_path(chosen, params, layer_axes(params))


def is_decayed(name: str, rank: int) -> bool:
    """Whether a weight decays by default.

    Kernels and embeddings do; biases and the scales of norms do not, whatever their rank. Other names go by
    rank: matrices decay.

    Args:
        name: path of the weight, such as ``blocks/0/mlp/up/kernel``.
        rank: number of its axes in one layer.
    """
    last = name.lower().rpartition("/")[2]
    if last.endswith(("kernel", "embedding")):
        return True
    return rank >= 2 and not _is_bias_or_scale(name)


def _is_bias_or_scale(name: str) -> bool:
    *modules, last = name.lower().split("/")
    if last.endswith(("kernel", "embedding")):
        return False
    return last.endswith(("bias", "scale")) or any("norm" in each for each in modules)


def layer_axes(params: Params) -> Params:
    """How many leading axes of each weight count layers: 1 in a stack of layers, else 0.

    A module is a stack (``nn.scan``, ``nnx.vmap`` over the first axis) if all its weights have the same first
    axis, and its biases and scales (at least one is needed) have two axes or more.

    Args:
        params: weights of one seed, or their shapes.
    """
    modules: dict[Any, list[tuple[str, tuple[int, ...]]]] = defaultdict(list)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        for depth in range(len(path)):
            modules[path[:depth]].append((weight_name(path), np.shape(leaf)))
    stacks = {module for module, weights in modules.items() if _is_stack(weights)}

    def axes(path: Any, _: Any) -> int:
        return int(any(path[:depth] in stacks for depth in range(len(path))))

    return jax.tree_util.tree_map_with_path(axes, params)


def _is_stack(weights: list[tuple[str, tuple[int, ...]]]) -> bool:
    ranks = [len(shape) for name, shape in weights if _is_bias_or_scale(name)]
    return len({shape[:1] for _, shape in weights}) == 1 and min(ranks, default=0) > 1


def names_in_words(mask: Params) -> str:
    """The weights of a mask that are True, with layers' numbers as ``*``, and the number of the others."""
    names: dict[bool, dict[str, None]] = {True: {}, False: {}}
    for path, chosen in jax.tree_util.tree_leaves_with_path(mask):
        parts = weight_name(path).split("/")
        names[chosen]["/".join("*" if part.isdigit() else part for part in parts)] = None
    others = f", on none of the {len(names[False])} others" if names[False] else ""
    return f"{', '.join(names[True]) or 'nothing'}{others}"


def orthogonalised(params: Params) -> Params:
    """Which weights Muon orthogonalises: a layer's matrices, except embeddings and heads. A tree of bools."""

    def chosen(path: Any, leaf: Any, layers: int) -> bool:
        name = weight_name(path)
        embeds = any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in _EMBEDDINGS)
        return np.ndim(leaf) - layers == 2 and is_decayed(name, 2) and not embeds

    return jax.tree_util.tree_map_with_path(chosen, params, layer_axes(params))


def weight_name(path: Any) -> str:
    """A weight's path in its tree, such as ``blocks/0/mlp/up/kernel``."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
