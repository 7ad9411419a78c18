"""The same training in plain JAX, with JAX's own defaults: what one writes without this library.

Whole batches [B, L, D], ``jax.nn.dot_product_attention``, ``jax.nn.gelu``, ``optax.adamw``; one device, as
JAX has it unless told otherwise. Batches are drawn beforehand; that is not charged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cells import Cell
from worker import Common, Trainer, Work, serve

Arrays = dict[str, Any]


def norm(p: Arrays, name: str, x: Any) -> Any:
    """In float32, whatever comes in and goes out."""
    wide = x.astype(jnp.float32)
    mean, variance = jnp.mean(wide, -1, keepdims=True), jnp.var(wide, -1, keepdims=True)
    unit = (wide - mean) * jax.lax.rsqrt(variance + 1e-5)
    return (unit * p[f"{name}.scale"] + p[f"{name}.bias"]).astype(x.dtype)


def dense(p: Arrays, name: str, x: Any) -> Any:
    return x @ p[f"{name}.kernel"].astype(x.dtype) + p[f"{name}.bias"].astype(x.dtype)


def rotate(x: Any, rotary: int) -> Any:
    """Turns the first ``rotary`` of each head's dimensions by the position; x is [B, L, H, K]."""
    half = rotary // 2
    angle = jnp.arange(x.shape[1])[:, None] * 10_000.0 ** (-jnp.arange(half) / half)
    cos, sin = (table[:, None].astype(x.dtype) for table in (jnp.cos(angle), jnp.sin(angle)))
    a, b, rest = x[..., :half], x[..., half:rotary], x[..., rotary:]
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin, rest], -1)


def attention(p: Arrays, name: str, x: Any, cell: Cell) -> Any:
    batch, length, width = x.shape
    qkv = dense(p, f"{name}.qkv", x).reshape(batch, length, 3, cell.model.heads, cell.model.head_width)
    q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    q, k = rotate(q, cell.model.rotary_width), rotate(k, cell.model.rotary_width)
    mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
    return dense(p, f"{name}.out", mixed.reshape(batch, length, width))


def loss(p: Arrays, tokens: Any, weights: Any, cell: Cell) -> Any:
    x = p["embedding"][tokens].astype(cell.model.dtype)
    for i in range(cell.model.depth):
        block = f"blocks.{i}"
        attended = attention(p, f"{block}.attention", norm(p, f"{block}.attention_norm", x), cell)
        hidden = dense(p, f"{block}.mlp.up", norm(p, f"{block}.mlp_norm", x))
        x = x + attended + dense(p, f"{block}.mlp.down", jax.nn.gelu(hidden, approximate=False))
    logits = (norm(p, "norm", x) @ p["head"].T.astype(x.dtype)).astype(jnp.float32)
    costs = optax.softmax_cross_entropy_with_integer_labels(logits[:, :-1], tokens[:, 1:])
    return jnp.sum(costs * weights[:, 1:]) / jnp.sum(weights[:, 1:])


def optimizer(cell: Cell) -> optax.GradientTransformation:
    spec = cell.optimizer
    schedule = optax.warmup_cosine_decay_schedule(0.0, spec.learning_rate, spec.warmup, cell.steps)
    return optax.chain(
        optax.clip_by_global_norm(spec.clip),
        optax.adamw(
            schedule,
            weight_decay=spec.weight_decay,
            mask=lambda params: jax.tree.map(lambda x: x.ndim >= 2, params),
        ),
    )


class Training:
    """The common start, and one step of one seed as a pure function of its state and batches."""

    def __init__(self, work: Work) -> None:
        self.cell = work.cell
        self.common = Common.read(work.folder)
        self.params = {name: jnp.asarray(value) for name, value in self.common.weights.items()}
        self.batches = jnp.asarray(self.common.tokens), jnp.asarray(self.common.weights_of_loss)
        self.optimizer = optimizer(self.cell)

    def state(self) -> Any:
        params = jax.tree.map(jnp.copy, self.params)
        return params, self.optimizer.init(params)

    def step(self, state: Any, tokens: Any, weights: Any) -> Any:
        params, moments = state
        value, gradients = jax.value_and_grad(loss)(params, tokens, weights, self.cell)
        updates, moments = self.optimizer.update(gradients, moments, params)
        return (optax.apply_updates(params, updates), moments), value

    def scan(self, state: Any, batches: Any, first: Any, steps: Any) -> Any:
        """Many steps in one program; batches [N, B, L] are taken in turn."""
        tokens, weights = batches

        def body(i: Any, carry: Any) -> Any:
            at = i % tokens.shape[0]
            return self.step(carry[0], tokens[at], weights[at])

        return jax.lax.fori_loop(first, first + steps, body, (state, jnp.zeros(())))


class Loop:
    """One jitted step per seed, called from Python."""

    work = 1.0

    def __init__(self, work: Work) -> None:
        self._training = Training(work)
        self._step = jax.jit(self._training.step, donate_argnums=0)
        self._batches = [(tokens, weights) for tokens, weights in zip(*self._training.batches, strict=True)]
        self._state = self._training.state()

    def losses(self, steps: int) -> list[float]:
        state, seen = self._training.state(), []
        for i in range(steps):
            state, value = self._step(state, *self._batches[i])
            seen.append(float(value))
        return seen

    def run(self, units: int) -> object:
        for i in range(units):
            self._state, value = self._step(self._state, *self._batches[i % len(self._batches)])
        return jax.block_until_ready(value)


class Scan:
    """Single seeds, each scanned over its steps, one after another."""

    work = 1.0

    def __init__(self, work: Work) -> None:
        training = Training(work)
        self._batches = training.batches
        self._scan = jax.jit(training.scan, donate_argnums=0)
        self._new = training.state
        self._state = self._new()

    def losses(self, steps: int) -> list[float]:
        state, seen = self._new(), []
        for i in range(steps):
            state, value = self._scan(state, self._batches, i, 1)
            seen.append(float(np.ravel(value)[0]))
        return seen

    def run(self, units: int) -> object:
        self._state, value = self._scan(self._state, self._batches, 0, units)
        return jax.block_until_ready(value)


class Vmap(Scan):
    """All seeds side by side: jit(vmap(scan(step)))."""

    def __init__(self, work: Work) -> None:
        training, seeds = Training(work), work.seeds
        self.work = float(seeds)
        order = (np.arange(seeds)[:, None] + np.arange(len(training.common.tokens))) % len(
            training.common.tokens
        )
        self._batches = (training.batches[0][order], training.batches[1][order])
        self._scan = jax.jit(jax.vmap(training.scan, in_axes=(0, 0, None, None)), donate_argnums=0)
        self._new = lambda: jax.tree.map(lambda x: jnp.stack([x] * seeds), training.state())
        self._state = self._new()


def trainers(work: Work) -> Mapping[str, Callable[[], Trainer]]:
    return {
        "jax-loop": lambda: Loop(work),
        "jax-scan": lambda: Scan(work),
        "jax-vmap": lambda: Vmap(work),
    }


if __name__ == "__main__":
    serve(trainers)
