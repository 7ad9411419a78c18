"""How large is a model and what does it cost? By formula, without building it."""

from __future__ import annotations

from jaxemerge.models.architecture import Architecture


def block_parameters(spec: Architecture) -> int:
    """Weights of one block: matrices, biases and norms."""
    width, hidden = spec.width, spec.mlp_width
    up = hidden * (1 if spec.mlp == "gelu" else 2)
    matrices = 4 * width**2 + width * up + hidden * width
    biases = (3 * width + width + up + width) if spec.bias else 0
    norms = 2 * width * (2 if spec.norm == "layer" else 1)
    return matrices + biases + norms


def non_embedding_parameters(spec: Architecture) -> int:
    """All weights but the embedding and the output projection: the N of scaling laws."""
    return spec.depth * block_parameters(spec) + spec.width * (2 if spec.norm == "layer" else 1)


def total_parameters(spec: Architecture, vocabulary: int) -> int:
    """All weights, embedding and output projection included (once if they are tied)."""
    return non_embedding_parameters(spec) + vocabulary * spec.width * (1 if spec.tied else 2)


def training_flops_per_token(spec: Architecture, vocabulary: int, context: int) -> float:
    """Floating-point operations to train on one token: every matrix product, forward and backward.

    Each weight of a matrix is multiplied and added once forward and twice backward (6 operations);
    attention scores and mixtures cost 12 * context * D per block, the masked half included.

    References:
        Chowdhery et al. (2022), "PaLM", appendix B.
    """
    width, hidden = spec.width, spec.mlp_width
    up = hidden * (1 if spec.mlp == "gelu" else 2)
    matrices = spec.depth * (4 * width**2 + width * up + hidden * width) + vocabulary * width
    return 6.0 * matrices + 12.0 * spec.depth * context * width


def state_bytes(spec: Architecture, vocabulary: int) -> int:
    """Bytes of one seed between steps: float32 weights and two moments."""
    return 3 * 4 * total_parameters(spec, vocabulary)


def activation_bytes(
    spec: Architecture, vocabulary: int, batch: int, context: int, *, attention_maps: bool = True
) -> int:
    """Estimated bytes that a step of one seed needs beside its state.

    Gradients; what the backward pass keeps, per block and position 9 widths, three MLP widths and one
    attention map; two MLP widths of scratch; and three float32 copies of the logits. The counts are
    those of the compiled programs for host cores, within 10 %; a GPU's compiler keeps less. For a GPU's
    fused kernels see ``fused.step_bytes``.

    Args:
        spec: the transformer.
        vocabulary: number of token ids.
        batch: context windows of a step.
        context: tokens per window.
        attention_maps: whether attention writes its maps to memory; cuDNN's does not.
    """
    size = 2 if spec.dtype == "bfloat16" else 4
    up = spec.mlp_width * (1 if spec.mlp == "gelu" else 2)
    maps = spec.heads * context * attention_maps
    kept = spec.depth * (9 * spec.width + 2 * up + spec.mlp_width + maps) + 2 * up
    return 4 * total_parameters(spec, vocabulary) + batch * context * (kept * size + 12 * vocabulary)
