"""Does a model keep the contract? One call tells its author what to fix.

>>> check_model(neox(1, 16, 2), vocabulary=11)
keeps the contract; by default weight decay acts on blocks/*/attention/out/kernel, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.code import first_problems, is_plain, told
from jaxemerge.devices import compiled
from jaxemerge.models.decay import decay_mask, names_in_words
from jaxemerge.models.model import Model, plain_fields
from jaxemerge.models.modules import construction
from jaxemerge.types import Key

_ROWS = 2
_LONGEST = 64  # positions that are tried
_TRACES = 3


class ModelCheck(tuple[str, ...]):
    """Problems of a model, one sentence each; without any, its text names the weights that decay by default.

    Attributes:
        decayed: names of these weights.
    """

    decayed: str

    def __new__(cls, problems: tuple[str, ...], decayed: str = "") -> ModelCheck:
        check = super().__new__(cls, problems)
        check.decayed = decayed
        return check

    def __repr__(self) -> str:
        return "\n".join(self) or f"keeps the contract; by default weight decay acts on {self.decayed}"


def check_model(model: Model, vocabulary: int, length: int = 16) -> ModelCheck:
    """Lists every way in which a model breaks its contract, or which of its weights decay by default.

    Draws weights twice, compiled as in training, and changes tokens and segments to see what follows.

    Args:
        model: an instance of a Model subclass.
        vocabulary: number of token ids of the task that it is to learn.
        length: positions of the longest window or text that it will be given. Up to 64 all is tried, beyond
            that only whether its predictions are finite.

    Returns:
        A tuple of one sentence per problem, each saying what was seen and what to do; empty if there is none.
        Printed, an empty one names the weights that decay unless an optimizer's ``decayed`` says otherwise.
    """
    stages = (
        lambda: declaration_problems(model),
        lambda: _weights(model, vocabulary),
        lambda: _predictions(model, vocabulary, min(length, _LONGEST)),
        lambda: _at_length(model, vocabulary, length),
    )
    problems = first_problems(stages)
    if problems:
        return ModelCheck(problems)
    shapes = jax.eval_shape(lambda key: model.init(vocabulary, key), jax.random.key(0))
    return ModelCheck(problems, names_in_words(decay_mask(shapes)))


def declaration_problems(model: Model) -> Iterator[str]:
    """What is wrong with a model before it is asked for weights."""
    if isinstance(model, type):
        yield f"{model.__name__} is a class: give a model of it, as {construction(model)}"
        return
    name = type(model).__name__
    if not isinstance(model, Model):
        yield f"{name} is no Model: subclass jaxemerge.Model, or make one with jaxemerge.flax_model"
        return
    try:
        hash(model)
        fields = plain_fields(model)
    except TypeError:
        yield f"{name} is not hashable: use @dataclass(frozen=True), and tuples for lists"
        return
    for field, value in fields.items():
        if not is_plain(value):
            yield (
                f"field {field} holds {value!r}, which cannot be written into a results folder: use numbers, "
                "text, True, False, None and tuples of these"
            )


def _own(model: Model) -> list[Any]:
    """What the user has written."""
    return [type(model), *filter(None, [getattr(model, "module", None)])]


def _weights(model: Model, vocabulary: int) -> Iterator[str]:
    try:
        yield from weight_problems(lambda key: model.init(vocabulary, key))
    except Exception as error:  # whatever the author's code raises is the finding
        yield f"init(vocabulary={vocabulary}, key) fails: {told(error, _own(model))}"


def weight_problems(init: Callable[[Key], Any]) -> Iterator[str]:
    """What is wrong with initial weights: none, not float32, not finite, or others for the same key."""
    params, same = repeated(init, jax.random.key(0))
    if not same:
        yield "init gives other weights for the same key: use no randomness but the key"
    leaves = jax.tree_util.tree_leaves_with_path(params)
    if not leaves:
        yield "init returns no weights: there is nothing to train"
    for path, leaf in leaves:
        name = f"init's weights{jax.tree_util.keystr(path)}"
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            yield f"{name} are {leaf.dtype}: use floats, and keep constants out of the weights"
        elif leaf.dtype != jnp.float32:
            yield f"{name} are {leaf.dtype}: keep weights in float32, and convert them where they are used"
        elif not np.all(np.isfinite(np.asarray(leaf, np.float32))):
            yield f"{name} are not finite: scale them down"


def repeated(function: Callable[..., Any], *arguments: Any) -> tuple[Any, bool]:
    """What a compiled function returns, and whether it returns the same when it is traced again.

    Randomness and state of Python are looked up when a function is traced, and only then.
    """

    def lowered() -> Any:
        fresh: Any = compiled(lambda *given: function(*given))  # of a function that was not traced yet
        return fresh.lower(*arguments)

    program, *others = (lowered() for _ in range(_TRACES))
    first = program.compile()(*arguments)
    other = next((each for each in others if each.as_text() != program.as_text()), None)
    again = other.compile()(*arguments) if other else first
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True)
    return first, all(np.array_equal(one, two, equal_nan=True) for one, two in pairs)


def _predictions(model: Model, vocabulary: int, length: int) -> Iterator[str]:
    params = model.init(vocabulary, jax.random.key(0))
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, vocabulary, (_ROWS, length)), jnp.int32)
    segments = jnp.zeros_like(tokens)

    def predict(params: Any, tokens: Any) -> Any:
        return model.apply(vocabulary, params, tokens, segments)

    try:
        shape = jax.eval_shape(predict, params, tokens)
    except Exception as error:  # as above
        yield f"it fails on {length} tokens under jax.jit: {told(error, _own(model))}"
        return
    found = getattr(shape, "shape", None)
    if found != (_ROWS, length, vocabulary):
        seen = type(shape).__name__ if found is None else list(found)
        one = seen[1:] if isinstance(seen, list) and seen[:1] == [_ROWS] else seen
        yield f"for {length} tokens it returns {one}: return logits [{length}, {vocabulary}]"
        return
    if not jnp.issubdtype(shape.dtype, jnp.floating):
        yield f"its logits are {shape.dtype}: return floats"
        return
    logits, same = repeated(predict, params, tokens)
    if not same:
        yield "it predicts otherwise when it is traced anew: use no randomness or state but its weights"
    elif not np.all(np.isfinite(logits)):
        yield "its logits are not finite for initial weights: scale them down, or mind log(0) and 0/0"
    else:
        yield from _causality(compiled(predict), _shaken(params), tokens, vocabulary)


def _at_length(model: Model, vocabulary: int, length: int) -> Iterator[str]:
    """Whether it still predicts where it was not tried yet, as beyond a table of positions it may not."""
    if length <= _LONGEST:
        return
    params, tokens = model.init(vocabulary, jax.random.key(0)), jnp.zeros((1, length), jnp.int32)
    try:
        logits = compiled(lambda p: model.apply(vocabulary, p, tokens, tokens))(params)
    except Exception as error:  # as above
        yield f"it fails on {length} tokens under jax.jit: {told(error, _own(model))}"
        return
    if not np.all(np.isfinite(logits)):
        yield (
            f"for {length} tokens its logits are not finite, for {_LONGEST} they are: it will read as many; "
            "mind the size of tables of positions"
        )


def _shaken(params: Any) -> Any:
    """Other weights of the same shapes: with zeros among the initial ones a fault might not show."""
    leaves, structure = jax.tree.flatten(params)
    noise = np.random.default_rng(0)
    moved = [leaf + 0.1 * jnp.asarray(noise.standard_normal(leaf.shape), leaf.dtype) for leaf in leaves]
    return jax.tree.unflatten(structure, moved)


def _causality(run: Any, params: Any, tokens: Any, vocabulary: int) -> Iterator[str]:
    """Tokens of the second half are changed; predictions of the first half must stay."""
    if vocabulary < 2 or tokens.shape[1] < 2:
        return
    half = tokens.shape[1] // 2
    before = np.asarray(run(params, tokens), np.float64)[:, :half]
    after = np.asarray(run(params, tokens.at[:, half:].set((tokens[:, half:] + 1) % vocabulary)), np.float64)
    scale = np.abs(before).max() + 1e-30
    if np.abs(after[:, :half] - before).max() > 1e-4 * scale:
        yield (
            f"its predictions at the first {half} positions change with later tokens, which it is scored on: "
            "let each position see no more than itself and those before it"
        )
