"""What is a transformer made of? Numbers and choices, checked when they are set.

They stand apart from the code that they decide about, which needs to know them and no more.
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
        if self.mlp_width < 1:
            raise ValueError(f"mlp_ratio={self.mlp_ratio}: the MLP must be at least 1 wide")
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
