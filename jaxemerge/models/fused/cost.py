"""What does a training step of one seed take where the fused kernels compute it? By formula."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxemerge.models.fused import mlp, projection, readout, tiles

if TYPE_CHECKING:
    from jaxemerge.models.architecture import Architecture

_FLOAT = 4
_KEPT = 5  # activations of a block that its backward pass needs: its input, q, k, v, and what attention mixed


def step_bytes(spec: Architecture, vocabulary: int, batch: int, context: int, *, attention_maps: bool) -> int:
    """Estimated bytes that a step of one seed needs besides its state.

    Gradients, weights in the activations' precision, what all blocks keep for the backward pass, and the
    most that one part of the backward pass adds to it.

    Args:
        spec: the transformer.
        vocabulary: number of token ids.
        batch: context windows of a step.
        context: tokens per window.
        attention_maps: whether attention is plain code, which writes its maps to memory, and not cuDNN's.
    """
    size = spec.compute_dtype.itemsize
    positions = -(-batch * context // tiles.ROWS) * tiles.ROWS
    maps = positions * spec.heads * context * attention_maps  # numbers; kept in float32 and in `size` bytes
    kept = _KEPT * positions * spec.width * size + positions * spec.heads * _FLOAT + maps * (_FLOAT + size)
    added = max(
        _readout_bytes(spec, vocabulary, positions, size),
        _block_end_bytes(spec, positions, size),
        _attention_bytes(spec, positions, size) + maps * size,
    )
    embedding = positions * (vocabulary + 2 * spec.width) * size  # one-hot tokens, when all else is done
    weights = (_FLOAT + size) * spec.total_parameters(vocabulary)
    return weights + max(spec.depth * kept + added, embedding)


def recomputed_flops(spec: Architecture, vocabulary: int) -> float:
    """Operations per token of products that the backward kernels repeat, on top of those of training.

    The kernel for the gradient of the inputs repeats the product to the hidden layer; that for the weights
    repeats it, and the gradient of the hidden layer, once more where the hidden layer is not in memory. Both
    backward kernels of the readout repeat the logits. Every rotation of queries and keys, one forward and
    two backward, is a product with a [K, K] matrix.
    """
    hidden = 2 * spec.width * spec.mlp_width * (1 if mlp.keeps_hidden(spec.width) else 3)
    rotations = 3 * 2 * 2 * spec.head_width * spec.width
    return float(spec.depth * (hidden + rotations) + 2 * 2 * spec.width * vocabulary)


def _readout_bytes(spec: Architecture, vocabulary: int, positions: int, size: int) -> int:
    """Its input and the gradient of that; four numbers per position; partial sums of the head's gradient."""
    rows = -(-vocabulary // tiles.CHUNK) * tiles.CHUNK
    parts = readout.weight_parts(positions // tiles.ROWS, rows)
    return positions * (2 * spec.width * size + 4 * _FLOAT) + parts * rows * (spec.width + 1) * _FLOAT


def _block_end_bytes(spec: Architecture, positions: int, size: int) -> int:
    """Three gradients of activations; the hidden layer, or partial sums of its weights' gradients."""
    width, hidden, blocks = spec.width, spec.mlp_width, positions // tiles.ROWS
    sums = blocks * width * _FLOAT
    if mlp.keeps_hidden(width):
        return positions * (4 * width + 2 * hidden) * size + sums + blocks * hidden * _FLOAT
    parts = mlp.weight_parts(blocks, width, hidden)
    return positions * 3 * width * size + sums + parts * hidden * (2 * width + 1) * _FLOAT


def _attention_bytes(spec: Architecture, positions: int, size: int) -> int:
    """Gradients of five activations; that of the queries again in float32, or partial sums of weights'."""
    width = spec.width
    parts = projection.weight_parts(positions // tiles.ROWS, spec.heads)
    return 5 * positions * width * size + max(
        positions * width * _FLOAT, parts * 3 * width * (width + 1) * _FLOAT
    )
