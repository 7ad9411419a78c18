"""Pallas kernels for the training step of a transformer on GPUs. Each covers a whole stretch of a block.

A narrow transformer spends most of its time moving activations. Each kernel reads and writes the activations
between two attentions once. It computes in float32 and rounds to the activations' precision where the plain
code does. The backward kernels recompute what follows from the input of the block.

    parallel_block, losses    a block, and the loss, computed from the modules of ``layers``
    normed_qkv                norm, projection to queries, keys and values, rotation
    block_end                 output projection of attention, norm, MLP, residual
    negative_log_likelihood   final norm, output projection, loss
    step_bytes                memory of a training step, by formula
    recomputed_flops          operations that the backward kernels repeat, by formula
    interpreted               runs kernels without a GPU, for tests
"""

from .cost import recomputed_flops as recomputed_flops
from .cost import step_bytes as step_bytes
from .mlp import EndWeights as EndWeights
from .mlp import block_end as block_end
from .parallel import losses as losses
from .parallel import parallel_block as parallel_block
from .projection import Heads as Heads
from .projection import normed_qkv as normed_qkv
from .readout import negative_log_likelihood as negative_log_likelihood
from .tiles import interpreted as interpreted
