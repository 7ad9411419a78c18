"""What stands inside the members of a population while they read? Hidden states and attention weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.devices import Layout, over_seeds
from jaxemerge.evaluation.generate import default_layout, placed_params
from jaxemerge.models import Hidden, Model
from jaxemerge.models.implementation import Code, code_in_use
from jaxemerge.types import Array, Int, Params


def hidden(
    model: Model,
    params: Params,
    tokens: Int[np.ndarray, "B L"],
    *,
    attention: bool = False,
    vocabulary: int | None = None,
    layout: Layout | None = None,
) -> Hidden:
    """What ``Model.hidden`` returns, of every seed, in one program.

    Args:
        model: what reads.
        params: weights, leading axis S.
        tokens: B texts of L tokens, each one example, the same for all seeds.
        attention: whether to return attention weights.
        vocabulary: number of tokens that there are, to check them; None where it is not known.
        layout: as in ``generate``.

    Returns:
        Hidden, as NumPy arrays: the residual stream [S, layers + 1, B, L, D] and, where they were asked for,
        attention weights [S, layers, B, H, L, L].

    Raises:
        ValueError: the model has no hidden states, or ``tokens`` is not [B, L] or has other numbers.
    """
    texts = _checked(np.asarray(tokens), vocabulary)
    n_seeds = jax.tree.leaves(params)[0].shape[0]
    used = layout or default_layout(n_seeds)
    read = _reader(model, used, attention, code_in_use())
    seen = read(placed_params(params, n_seeds, used), jnp.asarray(texts))
    return Hidden(*jax.tree.map(lambda x: np.asarray(x)[:n_seeds], tuple(seen)))


def _checked(tokens_BL: np.ndarray, vocabulary: int | None) -> Int[np.ndarray, "B L"]:
    if tokens_BL.dtype.kind not in "iu":
        raise ValueError(f"tokens of type {tokens_BL.dtype}: must be whole numbers")
    if tokens_BL.ndim != 2:
        raise ValueError(f"tokens of shape {list(tokens_BL.shape)}: must be [texts, tokens]")
    least, most = tokens_BL.min(initial=0), tokens_BL.max(initial=0)
    if least < 0 or (vocabulary is not None and most >= vocabulary):
        wrong = least if least < 0 else most
        allowed = "0 or more" if vocabulary is None else f"0 to {vocabulary - 1}"
        raise ValueError(f"token {wrong}: must be {allowed}")
    return tokens_BL.astype(np.int32)


@functools.lru_cache(maxsize=32)
def _reader(model: Model, layout: Layout, attention: bool, code: Code) -> Callable[..., Any]:
    del code

    def one(params: Params, tokens: Array) -> Hidden:
        return model.hidden(params, tokens, attention=attention)

    return over_seeds(one, layout, mapped=1, shared=1)
