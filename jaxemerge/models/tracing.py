"""What does a function of some weights cost? Read from its trace, where there is no formula."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr

from jaxemerge.types import Params


def size(shapes: Params) -> int:
    """Numbers in all arrays."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def fixed_size(shapes: Params, others: Params) -> int:
    """Numbers in the arrays that have the same shape in both trees."""
    pairs = zip(jax.tree.leaves(shapes), jax.tree.leaves(others), strict=True)
    return sum(math.prod(one.shape) for one, other in pairs if one.shape == other.shape)


def nbytes(shapes: Any) -> int:
    """Bytes of all arrays; keys of random numbers count as nothing."""
    arrays = [x for x in jax.tree.leaves(shapes) if not jnp.issubdtype(x.dtype, jax.dtypes.extended)]
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in arrays)


def step_bytes(loss: Callable[[Params], Any], shapes: Params) -> int:
    """Estimated bytes that a gradient needs on top of the weights: itself, and what the backward pass keeps.

    An upper bound of the latter: the compiler computes some of it twice rather than keep it.
    """
    kept = jax.eval_shape(lambda params: jax.vjp(loss, params)[1], shapes)
    return nbytes(shapes) + nbytes(kept)


def products(function: Callable[..., Any], *shapes: Any) -> float:
    """Floating-point operations of all matrix products and convolutions; loops count for every turn.

    A loop whose number of turns is not known counts once, of the branches of a condition the dearest.
    """
    return _operations(jax.make_jaxpr(function)(*shapes).jaxpr)


def _operations(jaxpr: Jaxpr) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name, values = equation.primitive.name, equation.params
        if name == "dot_general":
            (over, _), _ = values["dimension_numbers"]
            left = _shape(equation.invars[0])
            total += 2.0 * math.prod(left[axis] for axis in over) * _size(equation.outvars[0])
        elif name == "conv_general_dilated":
            kernel, axes = _shape(equation.invars[1]), values["dimension_numbers"].rhs_spec
            total += 2.0 * _size(equation.outvars[0]) * math.prod(kernel) / kernel[axes[0]]
        elif name == "cond":
            total += max(_operations(branch.jaxpr) for branch in values["branches"])
        else:
            turns = values["length"] if name == "scan" else 1
            total += turns * sum(map(_operations, _inner(values)))
    return total


def _shape(variable: Any) -> tuple[int, ...]:
    return tuple(variable.aval.shape)


def _size(variable: Any) -> int:
    return math.prod(_shape(variable))


def _inner(values: Any) -> Iterator[Jaxpr]:
    """Programs within an equation."""
    for value in values.values():
        for each in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(each, ClosedJaxpr):
                yield each.jaxpr
            elif isinstance(each, Jaxpr):
                yield each
