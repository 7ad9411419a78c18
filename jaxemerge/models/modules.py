"""Models from the user's own Flax modules, NNX and Linen."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import errors, linen, nnx

from jaxemerge.models.model import Model, plain_fields
from jaxemerge.types import Array, Float, Int, Key, Params

_GIVEN = ("vocabulary", "rngs", "parent", "name")  # by the library, or by Flax
_SEGMENTS = "segments"


@dataclasses.dataclass(frozen=True)
class FlaxModel(Model):
    """A module that predicts from one window; see ``flax_model``."""

    module: ClassVar[Any]
    takes_segments: ClassVar[bool]

    def init(self, vocabulary: int, key: Key) -> Params:
        """The module's own initial weights."""
        raise NotImplementedError

    def predict(self, vocabulary: int, params: Params, *inputs: Array) -> Array:
        """Logits [L, V] of one window, from its tokens and, where the module takes them, segments."""
        raise NotImplementedError

    def apply(
        self, vocabulary: int, params: Params, tokens: Int[Array, "B L"], segments: Int[Array, "B L"]
    ) -> Float[Array, "B L V"]:
        """Logits of every window, in float32 where they are computed in less."""
        inputs = (tokens, segments) if self.takes_segments else (tokens,)
        logits_BLV = jax.vmap(functools.partial(self.predict, vocabulary, params))(*inputs)
        half = getattr(logits_BLV, "dtype", None) in (jnp.bfloat16, jnp.float16)
        return logits_BLV.astype(jnp.float32) if half else logits_BLV


class _Nnx(FlaxModel):
    """A module of Flax NNX: made with its fields and ``rngs``, called with tokens."""

    def init(self, vocabulary: int, key: Key) -> Params:
        module = self._made(vocabulary, key)
        weights, others = _split(module)[1:]
        foreign = {type(each).__name__ for _, each in nnx.to_flat_state(others) if not _is_random(each)}
        if any(isinstance(part, nnx.Dropout) and part.rate > 0 for _, part in nnx.iter_modules(module)):
            foreign.add("dropout")
        if foreign:
            raise TypeError(
                f"{self.module.__name__} holds {', '.join(sorted(foreign))}: nothing but nnx.Param is kept "
                "from step to step, so do without dropout and running statistics"
            )
        return nnx.to_pure_dict(weights)

    def predict(self, vocabulary: int, params: Params, *inputs: Array) -> Array:
        graph, others = _structure(self, vocabulary)
        if others:  # keys that cells of recurrent networks hold, and that decide nothing here
            others = _split(self._made(vocabulary, jax.random.key(0)))[2]
        return nnx.merge(graph, params, others)(*inputs)

    def _made(self, vocabulary: int, key: Key) -> Any:
        return self.module(vocabulary=vocabulary, **plain_fields(self), rngs=nnx.Rngs(key))


def _split(module: Any) -> Any:
    """Structure, weights, and whatever else changes."""
    return nnx.split(module, nnx.Param, ...)


def _is_random(variable: Any) -> bool:
    return issubclass(variable.type if hasattr(variable, "type") else type(variable), nnx.RngState)


@functools.cache
def _structure(model: _Nnx, vocabulary: int) -> Any:
    """The module without its weights, and the shapes of what else it holds."""
    made = nnx.eval_shape(lambda: model._made(vocabulary, jax.random.key(0)))
    graph, _, others = _split(made)
    return graph, others


class _Linen(FlaxModel):
    """A module of Flax Linen: its fields are the model's, its weights the collection ``params``."""

    def init(self, vocabulary: int, key: Key) -> Params:
        inputs = [jnp.zeros(2, jnp.int32)] * (1 + self.takes_segments)
        made = self._made(vocabulary).init(key, *inputs)
        foreign = sorted(set(made) - {"params"})
        if foreign:
            raise TypeError(
                f"{self.module.__name__} holds {', '.join(foreign)} beside its weights: nothing but the "
                "collection params is kept from step to step, so do without running statistics"
            )
        return made["params"]

    def predict(self, vocabulary: int, params: Params, *inputs: Array) -> Array:
        try:
            return self._made(vocabulary).apply({"params": params}, *inputs)
        except errors.InvalidRngError as error:
            raise TypeError(
                f"{self.module.__name__} draws random numbers in its predictions: they must follow from "
                "weights and tokens, so do without dropout"
            ) from error

    def _made(self, vocabulary: int) -> Any:
        return self.module(vocabulary=vocabulary, **plain_fields(self))


def is_flax_module(value: Any) -> bool:
    """Whether a value is a class of Flax modules, of NNX or Linen."""
    return isinstance(value, type) and issubclass(value, (nnx.Module, linen.Module))


def construction(kind: type[Any]) -> str:
    """The call that makes one of a class, a Flax module's model too, in words of a user's program."""
    return f"jaxemerge.flax_model({kind.__name__})()" if is_flax_module(kind) else f"{kind.__name__}()"


@functools.cache
def flax_model(module: Any) -> Any:
    """The class of models that a Flax module makes: ``flax_model(Bag)(width=64)``.

    The module is written for one window. It is made with ``vocabulary`` - a module of NNX with ``rngs``,
    too - and its further arguments, which become the fields of the model. Called with ``tokens``, int32
    [L], it returns logits [L, vocabulary]; where its ``__call__`` has an argument ``segments``, it is told
    which tokens belong together. See ``Model`` for what a window holds.

    Raises:
        ValueError: it is no Flax module, or its arguments are not these.
    """
    if not is_flax_module(module):
        raise ValueError(f"{module!r} is no class of Flax modules")
    base = _Nnx if issubclass(module, nnx.Module) else _Linen
    arguments = dict(list(inspect.signature(module.__init__).parameters.items())[1:])
    needed = ("vocabulary", "rngs") if base is _Nnx else ("vocabulary",)
    for name in needed:
        if name not in arguments:
            raise ValueError(
                f"{module.__name__} takes {', '.join(arguments) or 'nothing'}: it must take {name}, too"
            )
    fields = [name for name in arguments if name not in _GIVEN]
    hints = _hints(module)
    made: Any = dataclasses.make_dataclass(
        module.__name__, [_field(arguments[name], hints) for name in fields], bases=(base,), frozen=True
    )
    made.__module__ = module.__module__
    made.module = module
    made.takes_segments = _SEGMENTS in inspect.signature(module.__call__).parameters
    return made


def _field(argument: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
    """An argument of a module as the field of a dataclass."""
    default = argument.default
    if default is inspect.Parameter.empty:
        return argument.name, hints.get(argument.name, Any)
    return argument.name, hints.get(argument.name, type(default)), dataclasses.field(default=default)


def _hints(module: Any) -> dict[str, Any]:
    """Types of a module's arguments; none where some are imported for type checkers alone."""
    try:
        return typing.get_type_hints(module if issubclass(module, linen.Module) else module.__init__)
    except NameError:
        return {}
