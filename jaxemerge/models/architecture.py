"""What is a transformer made of, and what does it cost? Numbers and choices, and formulas of them.

Fields are checked when they are set. They stand apart from the code that they decide about, which needs
to know them and no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp

_CHOICES: dict[str, tuple[str, ...]] = {
    "residual": ("sequential", "parallel"),
    "norm": ("rms", "layer"),
    "mlp": ("gelu", "geglu", "swiglu"),
    "dtype": ("float32", "bfloat16"),
    "positions": ("rotary", "none", "learned", "alibi", "fire"),
}
_BY_OFFSET = ("learned", "fire")  # kinds of positions that see more than distances
FIRE_WIDTH = 32  # hidden layer of the network that turns distances into biases (Li et al. 2024)

_DEEPEST = 10_000  # layers: a program is built layer by layer


@dataclass(frozen=True)
class Architecture:
    """The fields of a ``Transformer``, which describes them, and what follows from them.

    Raises:
        ValueError: a field is out of range; the message says its value and what is allowed.
    """

    depth: int
    width: int
    heads: int
    residual: Literal["sequential", "parallel"] = "parallel"
    norm: Literal["rms", "layer"] = "layer"
    rotary_fraction: float = 0.25
    mlp: Literal["gelu", "geglu", "swiglu"] = "gelu"
    mlp_ratio: float = 4.0
    tied: bool = False
    bias: bool = True
    norm_epsilon: float = 1e-5
    rotary_base: float = 10_000.0
    init_std: float = 0.02
    dtype: Literal["float32", "bfloat16"] = "float32"
    positions: Literal["rotary", "none", "learned", "alibi", "fire"] = "rotary"
    max_positions: int = 512
    random_offset: int = 0
    within_example: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("depth", "width", "heads", "max_positions"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
            if getattr(self, name) >= 2**31:
                raise ValueError(f"{name}={getattr(self, name)}: must be below {2**31}")
        if self.depth > _DEEPEST:
            raise ValueError(f"depth={self.depth}: must be 1 to {_DEEPEST}")
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} does not divide width={self.width}")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r}: must be one of {', '.join(allowed)}")
        if not 0 <= self.rotary_fraction <= 1:
            raise ValueError(f"rotary_fraction={self.rotary_fraction}: must lie in [0, 1]")
        rotated = self.head_width * self.rotary_fraction if self.positions == "rotary" else 0
        if self.rotary_width % 2 or abs(rotated - self.rotary_width) > 1e-6:
            raise ValueError(
                f"rotary_fraction={self.rotary_fraction} rotates {rotated:g} of head width "
                f"{self.head_width}: must be an even number"
            )
        if not 0.5 < self.width * self.mlp_ratio < 2**31:
            raise ValueError(f"mlp_ratio={self.mlp_ratio}: the MLP must be 1 to {2**31 - 1} wide")
        for name in ("norm_epsilon", "rotary_base", "init_std"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be positive")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout}: must lie in [0, 1)")
        self._check_offset()

    def _check_offset(self) -> None:
        if not 0 <= self.random_offset < 2**31:
            raise ValueError(f"random_offset={self.random_offset}: must be 0 to {2**31 - 1}")
        if self.random_offset and self.positions not in _BY_OFFSET:
            raise ValueError(
                f"random_offset={self.random_offset} has no effect with positions={self.positions!r}, which "
                f"sees distances alone: use 0, or positions {' or '.join(_BY_OFFSET)}"
            )

    @property
    def head_width(self) -> int:
        """K, the width of one attention head."""
        return self.width // self.heads

    @property
    def rotary_width(self) -> int:
        """How many of a head's K dimensions are rotated."""
        return round(self.head_width * self.rotary_fraction) if self.positions == "rotary" else 0

    @property
    def biases_scores(self) -> bool:
        """Whether something is added to attention scores before the softmax."""
        return self.positions in ("alibi", "fire") or self.within_example

    @property
    def mlp_width(self) -> int:
        """F, the width of the MLP's hidden layer."""
        return round(self.width * self.mlp_ratio)

    @property
    def compute_dtype(self) -> Any:
        """The JAX dtype of the computation."""
        return jnp.dtype(self.dtype)

    @property
    def block_parameters(self) -> int:
        """Weights of one block: matrices, biases and norms."""
        width, hidden = self.width, self.mlp_width
        biases = (3 * width + width + self._mlp_inputs + width) if self.bias else 0
        norms = 2 * self._norm_parameters
        return (
            4 * width**2 + width * self._mlp_inputs + hidden * width + biases + norms + self._fire_parameters
        )

    def non_embedding_parameters(self, vocabulary: int = 0) -> int:
        """All weights but the embeddings of tokens and positions and the output projection.

        References:
            Kaplan et al. (2020), "Scaling laws for neural language models", section 2.1.
        """
        del vocabulary
        return self.depth * self.block_parameters + self._norm_parameters

    def total_parameters(self, vocabulary: int) -> int:
        """All weights, embedding and output projection included (once if they are tied)."""
        rows = vocabulary * (1 if self.tied else 2) + self.max_positions * (self.positions == "learned")
        return self.non_embedding_parameters() + rows * self.width

    def training_flops_per_token(self, vocabulary: int, context: int) -> float:
        """Floating-point operations to train on one token: every matrix product, forward and backward.

        Each weight of a matrix is multiplied and added once forward and twice backward (6 operations);
        attention scores and mixtures cost 12 * context * D per block, the masked half included. The network
        of ``fire`` is left out: see ``step_flops``.

        References:
            Chowdhery et al. (2022), "PaLM", appendix B.
        """
        width, hidden = self.width, self.mlp_width
        block = 4 * width**2 + width * self._mlp_inputs + hidden * width
        return 6.0 * (self.depth * block + vocabulary * width) + 12.0 * self.depth * context * width

    def step_flops(self, vocabulary: int, batch: int, context: int) -> float:
        """Floating-point operations of one training step.

        Those of its tokens and, for ``fire``, of the network that turns distances into biases: 6 * 32 * heads
        for each pair of positions and block. It is computed once per step where positions are the same in
        all windows, else once per window.

        Args:
            vocabulary: number of token ids.
            batch: context windows of the step.
            context: tokens per window.
        """
        tokens = batch * context * self.training_flops_per_token(vocabulary, context)
        if self.positions != "fire":
            return tokens
        pairs = self._biases_of_step(batch) * context**2
        return tokens + 6.0 * self.depth * pairs * FIRE_WIDTH * self.heads

    def cache_bytes(self, length: int, dtype: Any = None) -> int:
        """Bytes of the keys and values of one text."""
        return 2 * self.depth * self.width * length * jnp.dtype(dtype or self.compute_dtype).itemsize

    def step_bytes(self, vocabulary: int, batch: int, context: int, *, attention_maps: bool) -> int:
        """Estimated bytes that a step of one seed needs on top of its weights and moments.

        Gradients; what the backward pass keeps, per block and position 9 widths, three MLP widths and one
        attention map; two MLP widths of scratch; and three float32 copies of the logits. The counts are
        those of the compiled programs for host cores, within 10 %; a GPU's compiler keeps less. For a GPU's
        fused kernels see ``fused.step_bytes``. Dropout keeps a byte per number that it may drop, ``fire``
        three hidden layers and a bias per pair of positions, ``within_example`` a bias per pair and window.

        Args:
            vocabulary: number of token ids.
            batch: context windows of a step.
            context: tokens per window.
            attention_maps: whether attention writes its maps to memory; cuDNN's does not.
        """
        gradients, size = 4 * self.total_parameters(vocabulary), self.compute_dtype.itemsize
        inputs = self._mlp_inputs
        block = 9 * self.width + 2 * inputs + self.mlp_width + self.heads * context * attention_maps
        usual = batch * context * ((self.depth * block + 2 * inputs) * size + 12 * vocabulary)
        return gradients + usual + self._option_bytes(batch, context)

    def _option_bytes(self, batch: int, context: int) -> int:
        """What ``step_bytes`` says of dropout, ``fire`` and ``within_example``."""
        masks = (2 * self.depth + 1) * batch * context * self.width * (self.dropout > 0)
        pairs = context**2 * self._biases_of_step(batch) * (self.positions == "fire")
        fire = 4 * self.depth * pairs * (3 * FIRE_WIDTH + self.heads)
        apart = 4 * batch * context**2 * self.within_example
        return masks + fire + apart

    def _biases_of_step(self, batch: int) -> int:
        """How often a step computes the biases of distances in each block."""
        return batch if self.within_example or self.random_offset else 1

    @property
    def _mlp_inputs(self) -> int:
        """Outputs of the MLP's first layer, those of a gate included."""
        return self.mlp_width * (1 if self.mlp == "gelu" else 2)

    @property
    def _fire_parameters(self) -> int:
        hidden = FIRE_WIDTH * (2 + self.heads) + self.heads
        return hidden + 2 if self.positions == "fire" else 0

    @property
    def _norm_parameters(self) -> int:
        return self.width * (2 if self.norm == "layer" else 1)
