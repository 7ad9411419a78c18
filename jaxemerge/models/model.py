"""What must a model say, so that a population of it can be trained on any task, and scored?

Two functions: its initial weights, and its predictions for a window of tokens. The rest - what it costs,
how it continues a text - has a default that is found by tracing these two.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxemerge.models import tracing
from jaxemerge.models.layers import negative_log_likelihood
from jaxemerge.types import Array, Float, Int, Key, Params


@runtime_checkable
class Model(Protocol):
    """A language model; subclass it as a frozen dataclass of plain fields, or see ``flax_model``.

    Training windows are full: examples stand end to end, the last one is usually cut off, and there is no
    padding. A model is told by ``segments`` which tokens belong together; it may use that to keep examples
    apart, or not, as the built-in transformer. With ``context`` equal to the length of a task's examples
    every window is one example. In evaluation a window is one item, with padding at its end.

    Its predictions must be causal: those of position t may depend on tokens 0 to t alone.
    ``check_model(model)`` says whether a model keeps this contract.
    """

    def __hash__(self) -> int:
        return object.__hash__(self)  # a frozen dataclass has one of its own

    @abstractmethod
    def init(self, vocabulary: int, key: Key) -> Params:
        """Draws initial weights: nested dicts of float arrays, a pure function of its arguments."""

    @abstractmethod
    def apply(
        self, vocabulary: int, params: Params, tokens: Int[Array, "B L"], segments: Int[Array, "B L"]
    ) -> Float[Array, "B L V"]:
        """Logits of the next token at every position; pure, traceable by ``jax.jit`` and ``jax.vmap``.

        Args:
            vocabulary: number of token ids.
            params: weights of one seed.
            tokens: windows of any length.
            segments: which example of its window each token belongs to, counted from 0.
        """

    def losses(
        self,
        vocabulary: int,
        params: Params,
        tokens: Int[Array, "B L"],
        segments: Int[Array, "B L"],
        targets: Int[Array, "B L"],
    ) -> Float[Array, "B L"]:
        """Negative log-likelihood of a target at every position, in nats. Training minimises its mean.

        By default from ``apply``; a model that need not write its logits to memory says how.

        Args:
            vocabulary, params, tokens, segments: as in ``apply``.
            targets: token ids.
        """
        return negative_log_likelihood(self.apply(vocabulary, params, tokens, segments), targets)

    def training_losses(
        self,
        vocabulary: int,
        params: Params,
        tokens: Int[Array, "B L"],
        segments: Int[Array, "B L"],
        targets: Int[Array, "B L"],
        key: Key,
    ) -> Float[Array, "B L"]:
        """``losses`` as training sees them: a model with dropout, or other noise, draws it from ``key``.

        By default there is none. Evaluation and generation call ``apply``, ``read`` and ``extend``, which
        take no key.

        Args:
            vocabulary, params, tokens, segments, targets: as in ``losses``.
            key: a function of the member's data seed and the step, independent of the key of the batch.
        """
        del key
        return self.losses(vocabulary, params, tokens, segments, targets)

    def hidden(
        self,
        params: Params,
        tokens: Int[Array, "B L"],
        *,
        attention: bool = False,
        segments: Int[Array, "B L"] | None = None,
    ) -> Hidden:
        """What stands between the parts of the model, for one member; see ``Population.hidden`` for all.

        Args:
            params: weights of one seed.
            tokens: B texts.
            attention: whether to return attention weights.
            segments: which example each token belongs to; None where each text is one example.

        Raises:
            ValueError: the model does not say.
        """
        del params, tokens, attention, segments
        raise ValueError(
            f"{type(self).__name__} has no hidden states: give it a method hidden(params, tokens)"
        )

    def unembed(self, params: Params, residual: Float[Array, "*B D"]) -> Float[Array, "*B V"]:
        """Logits of the next token from a state of the residual stream: final norm and output projection.

        Of the last state these are the model's predictions; of an earlier one, the "logit lens".

        Args:
            params: weights of one seed.
            residual: states of the residual stream, as ``hidden`` returns them.

        Raises:
            ValueError: the model does not say.
        """
        del params, residual
        raise ValueError(f"{type(self).__name__} has no head: give it a method unembed(params, residual)")

    @property
    def label(self) -> str:
        """Name of the model in those of cells: its class, and depth and width where it has these fields."""
        sizes = [f"{name}{size}" for name, size in self.sizes.items() if size is not None]
        return "-".join([type(self).__name__, *sizes])

    @property
    def sizes(self) -> dict[str, int | None]:
        """Depth and width, for the results' columns; None where the model has no such field."""
        return {name: getattr(self, name, None) for name in ("depth", "width")}

    def non_embedding_parameters(self, vocabulary: int) -> int:
        """The N of scaling laws: numbers in all arrays whose shape does not depend on the vocabulary."""
        return tracing.fixed_size(*(self._shapes(vocabulary + more) for more in (0, 1)))

    def total_parameters(self, vocabulary: int) -> int:
        """Numbers in all arrays of weights."""
        return tracing.size(self._shapes(vocabulary))

    def training_flops_per_token(self, vocabulary: int, context: int) -> float:
        """Floating-point operations to train on one token: every matrix product, forward and backward.

        At least two per weight and window, where there are none.
        """
        shapes = self._shapes(vocabulary)
        gradient = jax.value_and_grad(self._total(vocabulary, 1, context))
        return max(tracing.products(gradient, shapes), 2.0 * tracing.size(shapes)) / context

    def step_flops(self, vocabulary: int, batch: int, context: int) -> float:
        """Floating-point operations of one training step, by default those of its tokens."""
        return self.training_flops_per_token(vocabulary, context) * batch * context

    def activation_bytes(self, vocabulary: int, batch: int, context: int) -> int:
        """Estimated bytes that a step of one seed needs on top of its weights and moments."""
        forward = self._total(vocabulary, batch, context)
        logits = 3 * 4 * batch * context * vocabulary
        return tracing.step_bytes(forward, self._shapes(vocabulary)) + logits

    def read(
        self, vocabulary: int, params: Params, tokens: Int[Array, "B L"], dtype: Any = None
    ) -> tuple[Float[Array, "B V"], Any]:
        """Reads the beginnings of texts: logits of the token that comes next, and what is kept of the texts.

        By default that is the texts themselves, which are read again for every token. ``dtype`` is the
        precision of what is kept, where that is not tokens.

        Args:
            vocabulary: number of token ids.
            params: weights of one seed.
            tokens: B beginnings, all L tokens long.
            dtype: None for the model's own.
        """
        del dtype
        logits_BLV = self.apply(vocabulary, params, tokens, jnp.zeros_like(tokens))
        return logits_BLV[:, -1].astype(jnp.float32), Prefix(tokens)

    def extend(
        self, vocabulary: int, params: Params, cache: Any, tokens: Int[Array, " B"], position: Any
    ) -> tuple[Float[Array, "B V"], Any]:
        """Reads one more token of every text: logits of the one after it, and what is kept of the texts.

        Args:
            vocabulary: number of token ids.
            params: weights of one seed.
            cache: what ``read`` or ``extend`` kept, with room for one more token.
            tokens: the next of every text.
            position: where it stands, the same for all texts; the first is 0.
        """
        whole = cache.tokens.at[:, position].set(tokens)
        logits_BLV = self.apply(vocabulary, params, whole, jnp.zeros_like(whole))
        return jnp.take(logits_BLV, position, axis=1).astype(jnp.float32), Prefix(whole)

    def cache_bytes(self, length: int, dtype: Any = None) -> int:
        """Bytes of what is kept of one text."""
        del dtype
        return 4 * length

    def implementation(self) -> dict[str, str]:
        """Which code computes the parts of the model on this platform; {} where there is no choice."""
        return {}

    def _shapes(self, vocabulary: int) -> Any:
        return jax.eval_shape(lambda: self.init(vocabulary, jax.random.key(0)))

    def _total(self, vocabulary: int, batch: int, context: int) -> Any:
        """A stand-in for the loss, with the same products: the sum of the logits' exponentials."""
        tokens = jnp.zeros((batch, context), jnp.int32)

        def total(params: Params) -> Array:
            return jnp.sum(jnp.exp(self.apply(vocabulary, params, tokens, tokens)))

        return total


class Hidden(NamedTuple):
    """What stands between the parts of a model, for B texts of L tokens; in a population with leading axis S.

    Attributes:
        residual: float32 [layers + 1, B, L, D], the residual stream: the embedding, then the sum after every
            block, before the final norm.
        attention: float32 [layers, B, H, L, L], how much each position (fourth axis) attends to each (last
            axis); rows sum to 1. None where it was not asked for.
    """

    residual: Float[Array, "*S layers+1 B L D"]
    attention: Float[Array, "*S layers B H L L"] | None


class Prefix(NamedTuple):
    """Texts so far, with room for more; whatever stands beyond what was read is not looked at."""

    tokens: Int[Array, "B L"]

    def longer(self, length: int) -> Prefix:
        """The same texts, with room for ``length`` positions."""
        return Prefix(jnp.pad(self.tokens, ((0, 0), (0, length - self.tokens.shape[1]))))

    def repeated(self, times: int) -> Prefix:
        """Every text ``times`` times, copies side by side."""
        return Prefix(jnp.repeat(self.tokens, times, axis=0))


def plain_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name; those of its values are left as they are."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
