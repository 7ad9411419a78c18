"""How do gradients change the weights? Optimizers and their learning-rate schedules, one seed at a time."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import jax.numpy as jnp
import optax
from optax import contrib

from jaxemerge.models.decay import decay_mask, names_in_words, orthogonalised
from jaxemerge.training.schedules import Schedule, after_warmup, check_schedule
from jaxemerge.types import Array, Float, Int, Params


@runtime_checkable
class Optimizer(Protocol):
    """What ``Experiment`` takes as its optimizer: the classes of this module, or one of your own.

    Everything is written for one seed and mapped over seeds by the library, so that clipping by a global
    norm, or an orthogonalised update, never mixes two seeds.
    """

    @abstractmethod
    def transformation(
        self, weight_decay: Float[Array, ""] | float, steps: int
    ) -> optax.GradientTransformation:
        """Turns one seed's gradients into updates, which are multiplied by minus ``rate`` and added."""

    @abstractmethod
    def rate(
        self, step: Int[Array, ""], peak: Float[Array, ""], length: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Learning rate of a step; peak and length of the schedule are one seed's."""

    @abstractmethod
    def hyperparameters(self, steps: int) -> tuple[float, float, float]:
        """Peak learning rate, weight decay and length of the schedule in steps: fields of ``Members``."""

    @abstractmethod
    def compiled_part(self, steps: int) -> tuple[Self, int]:
        """Optimizer and steps as the compiled program depends on them: hyperparameters are its inputs."""


@dataclass(frozen=True)
class Scheduled(Optimizer):
    """What the built-in optimizers share: clipping, schedule, and which weights decay.

    The learning rate rises linearly from 0 over ``warmup`` steps and then follows ``schedule`` to
    ``final`` times its peak at the last step of training, or at ``horizon`` times that step. Subclass it,
    or one of the optimizers, as a frozen dataclass to change a part.

    Attributes:
        learning_rate: peak learning rate.
        warmup: steps of linear warm-up.
        final: learning rate at the end as a share of the peak.
        weight_decay: see the optimizer; it acts on the weights that ``decayed`` names.
        clip: largest global norm of one seed's gradient; None for no clipping.
        horizon: length of the schedule as a multiple of the training: at 1.25 training stops before the
            learning rate has decayed, as in a run that was planned to be longer.
        schedule: ``cosine`` (Loshchilov & Hutter 2017), ``linear``, ``constant``, ``wsd`` (constant, then
            linear over the last fifth: warm-up, stable, decay, Hu et al. 2024), ``inverse_sqrt`` (Vaswani
            et al. 2017; ``final`` is not used), or a named function of (step, length) that returns the
            share of the peak after warm-up, in ``jax.numpy``.
        decayed: patterns of the names of weights that decay, such as ``("*kernel",)``; None for the rule
            of ``is_decayed``.

    Raises:
        ValueError: a field is out of range.
    """

    learning_rate: float = 1e-3
    warmup: int = 100
    final: float = 0.0
    weight_decay: float = 0.1
    clip: float | None = 1.0
    horizon: float = 1.0
    schedule: str | Schedule = "cosine"
    decayed: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        positive = ("learning_rate", "horizon", "epsilon", "clip")
        for name in (each for each in positive if getattr(self, each, None) is not None):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be positive")
        for name in ("beta1", "beta2", "momentum"):
            if not 0 <= getattr(self, name, 0) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must lie in [0, 1)")
        if not 0 <= self.final <= 1:
            raise ValueError(f"final={self.final}: must lie in [0, 1], a share of the peak learning rate")
        if self.warmup < 0:
            raise ValueError(f"warmup={self.warmup}: must be 0 or more steps")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay={self.weight_decay}: must not be negative")
        check_schedule(self.schedule)
        if isinstance(self.decayed, str):
            raise ValueError(f"decayed={self.decayed!r}: give a tuple of patterns, as in ({self.decayed!r},)")

    @abstractmethod
    def transformations(
        self, weight_decay: Float[Array, ""] | float
    ) -> tuple[optax.GradientTransformation, ...]:
        """What turns clipped gradients of one seed into updates, in order; without the learning rate."""

    def transformation(
        self, weight_decay: Float[Array, ""] | float, steps: int = 1
    ) -> optax.GradientTransformation:
        """Clipping, then ``transformations``."""
        del steps
        clipping = () if self.clip is None else (optax.clip_by_global_norm(self.clip),)
        return optax.chain(*clipping, *self.transformations(weight_decay))

    def rate(
        self, step: Int[Array, ""], peak: Float[Array, ""], length: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Learning rate of a step; peak and length of the schedule are one seed's."""
        return peak * self.relative_rate(step, length)

    def relative_rate(self, step: Int[Array, ""], length: Float[Array, ""] | float) -> Float[Array, ""]:
        """Learning rate of a step as a share of the peak; ``length`` is the schedule's, in steps."""
        after = after_warmup(self.schedule, step, length, warmup=self.warmup, final=self.final)
        return jnp.where(step < self.warmup, step / max(self.warmup, 1), after)

    def hyperparameters(self, steps: int) -> tuple[float, float, float]:
        """Peak learning rate, weight decay, and length of the schedule in steps."""
        return self.learning_rate, self.weight_decay, steps * self.horizon

    def compiled_part(self, steps: int) -> tuple[Self, int]:
        """Learning rate, weight decay, horizon and steps are inputs of the program."""
        del steps
        return dataclasses.replace(self, learning_rate=1.0, weight_decay=0.0, horizon=1.0), 1

    def common_steps(self, steps: int) -> int:
        """How many of the first steps have the same learning rate in a training of more steps."""
        if self.schedule == "wsd":
            decay = self.warmup + 0.8 * (steps * self.horizon - self.warmup)
            return int(max(0, min(steps, decay)))
        return steps if self.schedule in ("constant", "inverse_sqrt") else 0

    def decay_mask(self, params: Params) -> Params:
        """Which weights decay: a tree of bools."""
        return decay_mask(params, self.decayed)

    def treatment(self, params: Params) -> tuple[str, ...]:
        """What the optimizer does to some weights only, one line each, with the names of these weights."""
        if not self.weight_decay:
            return ()
        return (f"weight decay {self.weight_decay:g} on {names_in_words(self.decay_mask(params))}",)


@dataclass(frozen=True)
class AdamW(Scheduled):
    """AdamW (Loshchilov & Hutter 2019): Adam with decoupled weight decay.

    Attributes:
        learning_rate, warmup, final, weight_decay, clip, horizon, schedule, decayed: see ``Scheduled``. The
            decay is decoupled: multiplied by the learning rate, and not part of the moments.
        beta1, beta2: decay of the first and second moment.
        epsilon: constant of the denominator.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def transformations(
        self, weight_decay: Float[Array, ""] | float
    ) -> tuple[optax.GradientTransformation, ...]:
        return (
            optax.scale_by_adam(self.beta1, self.beta2, self.epsilon),
            optax.add_decayed_weights(weight_decay, mask=self.decay_mask),
        )


@dataclass(frozen=True)
class Adam(AdamW):
    """Adam (Kingma & Ba 2015) with L2 regularisation: the decay is added to the gradient, after clipping.

    Attributes:
        learning_rate, warmup, final, weight_decay, clip, horizon, schedule, decayed: see ``Scheduled``.
        beta1, beta2: decay of the first and second moment.
        epsilon: constant of the denominator.
    """

    weight_decay: float = 0.0

    def transformations(
        self, weight_decay: Float[Array, ""] | float
    ) -> tuple[optax.GradientTransformation, ...]:
        return tuple(reversed(super().transformations(weight_decay)))


@dataclass(frozen=True)
class SGD(Scheduled):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013) and L2 regularisation.

    Attributes:
        learning_rate, warmup, final, weight_decay, clip, horizon, schedule, decayed: see ``Scheduled``. The
            decay is added to the gradient, after clipping.
        momentum: decay of the sum of gradients; 0 for none.
        nesterov: whether to use Nesterov's momentum.
    """

    learning_rate: float = 0.1
    weight_decay: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False

    def transformations(
        self, weight_decay: Float[Array, ""] | float
    ) -> tuple[optax.GradientTransformation, ...]:
        return (
            optax.add_decayed_weights(weight_decay, mask=self.decay_mask),
            optax.trace(self.momentum, self.nesterov),
        )


@dataclass(frozen=True)
class Lion(Scheduled):
    """Lion (Chen et al. 2023): the sign of an interpolated momentum, with decoupled weight decay.

    Attributes:
        learning_rate, warmup, final, weight_decay, clip, horizon, schedule, decayed: see ``Scheduled``. The
            decay is decoupled: multiplied by the learning rate, and not part of the momentum.
        beta1: weight of the momentum in the update.
        beta2: decay of the momentum.
    """

    learning_rate: float = 1e-4
    weight_decay: float = 1.0
    beta1: float = 0.9
    beta2: float = 0.99

    def transformations(
        self, weight_decay: Float[Array, ""] | float
    ) -> tuple[optax.GradientTransformation, ...]:
        return (
            optax.scale_by_lion(self.beta1, self.beta2),
            optax.add_decayed_weights(weight_decay, mask=self.decay_mask),
        )


@dataclass(frozen=True)
class Muon(Scheduled):
    """Muon (Jordan et al. 2024): momentum, orthogonalised by Newton-Schulz, for matrices; AdamW for the rest.

    Matrices are weights of two axes whose names do not speak of embeddings, heads or logits; in a stack of
    layers (see ``decay.layer_axes``) each layer has its own. The update of a matrix [M, N] is scaled by
    sqrt(max(1, N / M)). All weights share learning rate and decoupled decay.

    Attributes:
        learning_rate, warmup, final, weight_decay, clip, horizon, schedule, decayed: see ``Scheduled``. The
            decay is decoupled: multiplied by the learning rate.
        momentum: decay of the momentum.
        newton_schulz: iterations of Newton-Schulz.
        beta1, beta2, epsilon: of AdamW, for weights that are not matrices.
    """

    learning_rate: float = 2e-3
    momentum: float = 0.95
    newton_schulz: int = 5
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def transformations(
        self, weight_decay: Float[Array, ""] | float
    ) -> tuple[optax.GradientTransformation, ...]:
        # -1: the sign of what is subtracted; the learning rate comes later.
        muon = contrib.muon(
            -1.0,
            ns_steps=self.newton_schulz,
            beta=self.momentum,
            eps=self.epsilon,
            muon_weight_dimension_numbers=contrib.MuonDimensionNumbers(-2, -1),  # the first may count layers
        )
        adam = optax.scale_by_adam(self.beta1, self.beta2, self.epsilon)
        kinds = optax.partition({True: muon, False: adam}, orthogonalised)
        return kinds, optax.add_decayed_weights(weight_decay, mask=self.decay_mask)

    def treatment(self, params: Params) -> tuple[str, ...]:
        return (*super().treatment(params), f"Muon on {names_in_words(orthogonalised(params))}")


BUILT_IN_OPTIMIZERS = (AdamW, Adam, SGD, Lion, Muon)
