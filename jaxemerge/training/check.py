"""Does an objective keep the contract? One call tells its author what to fix."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.code import is_plain, told
from jaxemerge.models.check import repeated, weight_problems
from jaxemerge.training.objective import Objective

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_TAKEN = ("train_loss", "grad_norm")  # metrics of every member


def check_objective(objective: Objective) -> tuple[str, ...]:
    """Lists every way in which an objective breaks its contract.

    Draws weights, and takes one gradient, compiled as in training.

    Args:
        objective: an instance of an Objective subclass, or what ``pair`` returns.

    Returns:
        One sentence per problem, each saying what was seen and what to do; empty if there is none.
    """
    for stage in (declaration_problems, _weights, _loss, _scores):
        problems = tuple(stage(objective))
        if problems:  # later stages rest on earlier ones
            return problems
    return ()


def functions(objective: Objective) -> tuple[Any, ...]:
    """Classes and functions of an objective that are the user's."""
    given: tuple[Any, ...] = getattr(objective, "functions", ())
    return tuple(each for each in given if each is not None) or (type(objective),)


def declaration_problems(objective: Objective) -> Iterator[str]:
    """What is wrong with an objective before it is asked for weights."""
    kind = type(objective).__name__
    if not isinstance(objective, Objective):
        yield f"{kind} is no Objective: subclass jaxemerge.Objective, or make one with jaxemerge.pair"
        return
    try:
        hash(objective)
        fields = dataclasses.fields(objective)  # type: ignore[arg-type]
    except TypeError:
        yield f"{kind} is not hashable: use @dataclass(frozen=True), and tuples for lists"
        return
    if not isinstance(objective.name, str) or not _NAME.fullmatch(objective.name):
        yield f"name is {objective.name!r}: it names folders, so use letters, digits and _ alone"
    if type(objective) not in functions(objective):
        return
    for field in fields:
        value = getattr(objective, field.name)
        if not is_plain(value):
            yield (
                f"field {field.name} holds {value!r}, which cannot be written into a results folder: use "
                "numbers, text, True, False, None and tuples of these"
            )


def _weights(objective: Objective) -> Iterator[str]:
    try:
        yield from weight_problems(objective.init)
    except Exception as error:  # whatever the author's code raises is the finding
        yield f"init(key) fails under jax.jit: {told(error, functions(objective))}"


def _loss(objective: Objective) -> Iterator[str]:
    key = jax.random.key(0)
    params = objective.init(key)
    try:
        shape = jax.eval_shape(objective.loss, params, key)
    except Exception as error:  # as above
        yield f"loss(params, key) fails under jax.jit: {told(error, functions(objective))}"
        return
    if getattr(shape, "shape", None) != () or not jnp.issubdtype(shape.dtype, jnp.floating):
        seen = f"{shape.dtype}{list(shape.shape)}" if hasattr(shape, "shape") else type(shape).__name__
        yield f"loss returns {seen}: return one number, for example a mean"
        return
    try:
        (value, gradient), same = repeated(jax.value_and_grad(objective.loss), params, key)
    except Exception as error:  # as above
        yield f"loss has no gradient: {told(error, functions(objective))}"
        return
    finite = all(bool(np.all(np.isfinite(leaf))) for leaf in jax.tree.leaves(gradient))
    if not same:
        yield "loss is another when it is traced anew: use no randomness or state but the weights and the key"
    elif not np.isfinite(value):
        yield f"loss is {float(value)} for initial weights: it must be finite"
    elif not finite:
        yield "loss has a gradient that is not finite for initial weights: mind sqrt(0), log(0) and 0/0"


def _scores(objective: Objective) -> Iterator[str]:
    params = jax.eval_shape(objective.init, jax.random.key(0))
    try:
        found = jax.eval_shape(objective.score, params)
    except Exception as error:  # as above
        yield f"score(params) fails under jax.jit: {told(error, functions(objective))}"
        return
    if not isinstance(found, Mapping):
        yield f"score returns {type(found).__name__}: return a dict of metrics by name"
        return
    for name, value in found.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _TAKEN:
            yield f"score has a metric {name!r}: use letters, digits and _, but none of {', '.join(_TAKEN)}"
        elif value.dtype == bool and value.ndim == 1 and value.size:
            continue
        elif value.shape != () or not jnp.issubdtype(value.dtype, jnp.number):
            seen = f"{value.dtype}{list(value.shape)}"
            yield f"score's {name} is {seen}: return one number, or one bool per item of a test"
