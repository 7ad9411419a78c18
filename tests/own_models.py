"""Models and objectives as users write them: with Flax NNX, with Linen, by hand, and without a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

from jaxemerge import Model, Objective, flax_model


class Bag(nnx.Module):
    """An MLP of the mean embedding of all tokens so far."""

    def __init__(self, vocabulary: int, width: int = 12, *, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Embed(vocabulary, width, rngs=rngs)
        self.hidden = nnx.Linear(width, 2 * width, rngs=rngs)
        self.out = nnx.Linear(2 * width, vocabulary, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        count = 1.0 + jnp.arange(len(tokens))
        mean = jnp.cumsum(self.embed(tokens), axis=0) / count[:, None]
        return self.out(jax.nn.relu(self.hidden(mean)))


class Apart(linen.Module):
    """The sum of the embeddings of all tokens of the same example so far, in Linen."""

    vocabulary: int
    width: int = 12

    @linen.compact
    def __call__(self, tokens: jax.Array, segments: jax.Array) -> jax.Array:
        here = jnp.tril(segments[:, None] == segments[None, :])
        x = linen.Embed(self.vocabulary, self.width)(tokens)
        return linen.Dense(self.vocabulary)(jnp.tanh(here @ x))


class Recurrent(nnx.Module):
    """A recurrent network, whose cell holds keys of random numbers that nothing depends on."""

    def __init__(self, vocabulary: int, width: int = 12, *, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Embed(vocabulary, width, rngs=rngs)
        self.cells = nnx.RNN(nnx.GRUCell(width, width, rngs=rngs))
        self.out = nnx.Linear(width, vocabulary, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        return self.out(self.cells(self.embed(tokens)[None])[0])


@dataclass(frozen=True)
class Table(Model):
    """What follows each token, whatever came before: no module, and not even a product."""

    scale: float = 0.1

    def init(self, vocabulary: int, key: jax.Array) -> dict[str, Any]:
        return {"logits": self.scale * jax.random.normal(key, (vocabulary, vocabulary))}

    def apply(self, vocabulary: int, params: Any, tokens: jax.Array, segments: jax.Array) -> jax.Array:
        return params["logits"][tokens]


@dataclass(frozen=True)
class Line(Objective):
    """A line through 23 points, 5 of which each step is given."""

    slope: float = 2.0
    rows: int = 5

    def points(self) -> tuple[jax.Array, jax.Array]:
        x = np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)
        return jnp.asarray(x), jnp.asarray(x @ np.array([self.slope, -1.0, 0.5], np.float32) + 0.25)

    def init(self, key: jax.Array) -> dict[str, Any]:
        return {"weight": jax.random.normal(key, (3,)), "bias": jnp.zeros(())}

    def loss(self, params: Any, key: jax.Array) -> jax.Array:
        x, y = self.points()
        which = jax.random.choice(key, len(x), (self.rows,))
        return jnp.mean((x[which] @ params["weight"] + params["bias"] - y[which]) ** 2)

    def score(self, params: Any) -> dict[str, Any]:
        x, y = self.points()
        error = jnp.abs(x @ params["weight"] + params["bias"] - y)
        return {"close": error < 0.3, "worst": error.max()}


BAG, APART, RECURRENT = flax_model(Bag)(), flax_model(Apart)(width=7), flax_model(Recurrent)()
