"""How does an optax transformation of one's own train a population?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import jax.numpy as jnp
import optax

from jaxemerge.code import check_function, name_of
from jaxemerge.training.optimizer import Optimizer
from jaxemerge.types import Array, Float, Int


@dataclass(frozen=True)
class Optax(Optimizer):
    """An optimizer of your own: a function of the number of steps that returns an optax transformation.

        def adafactor(steps):
            return optax.adafactor(optax.cosine_decay_schedule(1e-2, steps))

        je.Experiment(..., optimizer=adafactor)

    Learning rate, schedule, decay and clipping are those of the transformation. ``Experiment`` makes this
    record of a plain function. A cell's identity holds the function's name and the digest of its file.

    Attributes:
        make: a named function without free variables, or a frozen dataclass with ``__call__``, whose fields
            are then part of the cell's identity.

    Raises:
        ValueError: it is a lambda or a closure, which nothing tells apart from another one.
    """

    make: Callable[[int], optax.GradientTransformation]

    def __post_init__(self) -> None:
        if isinstance(self.make, optax.GradientTransformation):
            raise ValueError(
                "optimizer is an optax transformation: give a function of the number of steps that returns it"
            )
        if not callable(self.make):
            raise ValueError(f"optimizer={self.make!r}: must be an optimizer such as AdamW(), or a function")
        check_function("optimizer", self.make)

    def transformation(
        self, weight_decay: Float[Array, ""] | float, steps: int
    ) -> optax.GradientTransformation:
        """What the function makes for so many steps.

        Raises:
            TypeError: it returned something else.
        """
        del weight_decay
        made = self.make(steps)
        if not isinstance(made, optax.GradientTransformation):
            raise TypeError(
                f"optimizer {name_of(self.make)}({steps}) returned {type(made).__name__}: return an "
                "optax.GradientTransformation, such as optax.adamw(1e-3)"
            )
        return made

    def rate(
        self, step: Int[Array, ""], peak: Float[Array, ""], length: Float[Array, ""]
    ) -> Float[Array, ""]:
        """-1: an optax transformation's updates are added as they are."""
        del step, peak, length
        return jnp.float32(-1.0)

    def hyperparameters(self, steps: int) -> tuple[float, float, float]:
        """Placeholders: the transformation has its own."""
        return 1.0, 0.0, float(steps)

    def compiled_part(self, steps: int) -> tuple[Self, int]:
        """All of it."""
        return self, steps
