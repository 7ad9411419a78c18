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
}

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

    def __post_init__(self) -> None:
        for name in ("depth", "width", "heads"):
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
        if self.rotary_width % 2:
            raise ValueError(
                f"rotary_fraction={self.rotary_fraction} rotates {self.rotary_width} of head width "
                f"{self.head_width}: must be an even number"
            )
        if not 0.5 < self.width * self.mlp_ratio < 2**31:
            raise ValueError(f"mlp_ratio={self.mlp_ratio}: the MLP must be 1 to {2**31 - 1} wide")
        for name in ("norm_epsilon", "rotary_base", "init_std"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be positive")

    @property
    def head_width(self) -> int:
        """K, the width of one attention head."""
        return self.width // self.heads

    @property
    def rotary_width(self) -> int:
        """How many of a head's K dimensions are rotated."""
        return int(self.head_width * self.rotary_fraction)

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
        return 4 * width**2 + width * self._mlp_inputs + hidden * width + biases + 2 * self._norm_parameters

    def non_embedding_parameters(self, vocabulary: int = 0) -> int:
        """All weights but the embedding and the output projection, whatever the vocabulary."""
        del vocabulary
        return self.depth * self.block_parameters + self._norm_parameters

    def total_parameters(self, vocabulary: int) -> int:
        """All weights, embedding and output projection included (once if they are tied)."""
        return self.non_embedding_parameters() + vocabulary * self.width * (1 if self.tied else 2)

    def training_flops_per_token(self, vocabulary: int, context: int) -> float:
        """Floating-point operations to train on one token: every matrix product, forward and backward.

        Each weight of a matrix is multiplied and added once forward and twice backward (6 operations);
        attention scores and mixtures cost 12 * context * D per block, the masked half included.

        References:
            Chowdhery et al. (2022), "PaLM", appendix B.
        """
        width, hidden = self.width, self.mlp_width
        block = 4 * width**2 + width * self._mlp_inputs + hidden * width
        return 6.0 * (self.depth * block + vocabulary * width) + 12.0 * self.depth * context * width

    def cache_bytes(self, length: int, dtype: Any = None) -> int:
        """Bytes of the keys and values of one text."""
        return 2 * self.depth * self.width * length * jnp.dtype(dtype or self.compute_dtype).itemsize

    def step_bytes(self, vocabulary: int, batch: int, context: int, *, attention_maps: bool) -> int:
        """Estimated bytes that a step of one seed needs on top of its weights and moments.

        Gradients; what the backward pass keeps, per block and position 9 widths, three MLP widths and one
        attention map; two MLP widths of scratch; and three float32 copies of the logits. The counts are
        those of the compiled programs for host cores, within 10 %; a GPU's compiler keeps less. For a GPU's
        fused kernels see ``fused.step_bytes``.

        Args:
            vocabulary: number of token ids.
            batch: context windows of a step.
            context: tokens per window.
            attention_maps: whether attention writes its maps to memory; cuDNN's does not.
        """
        gradients, size = 4 * self.total_parameters(vocabulary), self.compute_dtype.itemsize
        inputs = self._mlp_inputs
        block = 9 * self.width + 2 * inputs + self.mlp_width + self.heads * context * attention_maps
        return gradients + batch * context * ((self.depth * block + 2 * inputs) * size + 12 * vocabulary)

    @property
    def _mlp_inputs(self) -> int:
        """Outputs of the MLP's first layer, those of a gate included."""
        return self.mlp_width * (1 if self.mlp == "gelu" else 2)

    @property
    def _norm_parameters(self) -> int:
        return self.width * (2 if self.norm == "layer" else 1)
