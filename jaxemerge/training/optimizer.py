"""How do gradients change the weights? AdamW with warm-up, cosine decay and clipping, per seed."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

from jaxemerge.types import Array, Float, Int


@dataclass(frozen=True)
class AdamW:
    """AdamW (Loshchilov & Hutter 2019), gradients clipped by their global norm, cosine schedule.

    The learning rate rises linearly from 0 over ``warmup`` steps, then follows half a cosine down to
    ``final`` times its peak at the last step of training, or at ``horizon`` times that step. Weight decay
    acts on matrices, not on biases and norms.

    Attributes:
        learning_rate: peak learning rate.
        warmup: steps of linear warm-up.
        final: learning rate at the end, as a share of the peak.
        horizon: length of the schedule as a multiple of the training: at 1.25 training stops before the
            learning rate is down, as happens to one who planned a longer run.
        beta1, beta2, epsilon: decay of the first and second moment, and the denominator's constant.
        weight_decay: decoupled decay, multiplied by the current learning rate.
        clip: largest global norm of one seed's gradient.

    Raises:
        ValueError: a field is out of range.
    """

    learning_rate: float = 1e-3
    warmup: int = 100
    final: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0
    horizon: float = 1.0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epsilon", "clip", "horizon"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be positive")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must lie in [0, 1)")
        if not 0 <= self.final <= 1:
            raise ValueError(f"final={self.final}: must lie in [0, 1], a share of the peak learning rate")
        if self.warmup < 0:
            raise ValueError(f"warmup={self.warmup}: must be 0 or more steps")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay={self.weight_decay}: must not be negative")

    def schedule(self, step: Int[Array, ""], length: Float[Array, ""] | float) -> Float[Array, ""]:
        """Learning rate of a step as a share of the peak; ``length`` is the schedule's, in steps."""
        # Both may be traced: trainings that differ in length alone are one program.
        fall = jnp.maximum(length - self.warmup, 1.0)
        angle = jnp.pi * jnp.clip((step - self.warmup) / fall, 0.0, 1.0)
        cosine = self.final + (1.0 - self.final) * 0.5 * (1.0 + jnp.cos(angle))
        return jnp.where(step < self.warmup, step / max(self.warmup, 1), cosine)

    def transformation(self, weight_decay: Float[Array, ""]) -> optax.GradientTransformation:
        """Everything but the learning rate, for one seed.

        Clipping looks at the whole tree it is given: this must be mapped over seeds, never
        applied to stacked ones.
        """
        return optax.chain(
            optax.clip_by_global_norm(self.clip),
            optax.scale_by_adam(self.beta1, self.beta2, self.epsilon),
            optax.add_decayed_weights(weight_decay, mask=_matrices),
        )


def _matrices(params: optax.Params) -> optax.Params:
    return jax.tree.map(lambda x: jnp.ndim(x) >= 2, params)
