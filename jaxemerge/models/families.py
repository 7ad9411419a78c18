"""Presets of the transformer, and the papers' families of models as lists ordered by scale."""

from __future__ import annotations

from typing import Any

from jaxemerge.models.transformer import Transformer

HEAD_WIDTH = 64


def neox(depth: int, width: int, heads: int, **changes: Any) -> Transformer:
    """GPT-NeoX-style: parallel residual, LayerNorm, a quarter of the head rotated, GELU, untied.

    Args:
        depth: number of blocks.
        width: model width D.
        heads: attention heads, which must divide the width.
        **changes: any other field of ``Transformer``.
    """
    return Transformer(depth, width, heads, **changes)


def llama(depth: int, width: int, heads: int, **changes: Any) -> Transformer:
    """Llama-style: sequential residual, RMSNorm, full rotation, gated SiLU of 8/3 D, no biases, untied.

    Args:
        depth: number of blocks.
        width: model width D.
        heads: attention heads, which must divide the width.
        **changes: any other field of ``Transformer``.
    """
    preset = {
        "residual": "sequential",
        "norm": "rms",
        "rotary_fraction": 1.0,
        "mlp": "swiglu",
        "mlp_ratio": 8 / 3,
        "bias": False,
    }
    return Transformer(depth, width, heads, **{**preset, **changes})


def count_fixed_depth() -> list[Transformer]:
    """Depth 4, width 64 to 512 (Zhao et al. 2025, arXiv 2502.17356)."""
    return [neox(4, width, width // HEAD_WIDTH) for width in (64, 128, 256, 384, 512)]


def count_fixed_width() -> list[Transformer]:
    """Width 512, depth 1 to 8 (Zhao et al. 2025, arXiv 2502.17356)."""
    return [neox(depth, 512, 512 // HEAD_WIDTH) for depth in (1, 2, 4, 6, 8)]


def count_fixed_parameters() -> list[Transformer]:
    """About 3.2 million parameters, from wide to deep (Zhao et al. 2025, arXiv 2502.17356).

    Width 360 is no multiple of 64; it is split into 5 heads of 72.
    """
    shapes = [(1, 512, 8), (2, 360, 5), (4, 256, 4), (7, 192, 3), (16, 128, 2)]
    return [neox(depth, width, heads) for depth, width, heads in shapes]


def pass_until() -> list[Transformer]:
    """The series of Hu et al. (2023), arXiv 2310.03262: 0.036 to 2.45 billion parameters.

    Member i = 3 .. 9 has depth 4 i and floor(i (8 + i) / 4) heads of width 64.
    """
    return [_pass_until_member(i) for i in range(3, 10)]


def _pass_until_member(i: int) -> Transformer:
    heads = i * (8 + i) // 4
    return Transformer(
        depth=4 * i,
        width=heads * HEAD_WIDTH,
        heads=heads,
        residual="sequential",
        norm="rms",
        rotary_fraction=1.0,
        mlp="geglu",
        mlp_ratio=2.5,
        tied=True,
        bias=False,
    )
