"""Kernels of a transformer's training step for GPUs, in Pallas: whole stretches of a block at once.

A narrow transformer spends its time on moving activations. Each of these kernels reads and writes what stands
between two attentions once, computes in float32 and rounds to the activations' precision where the plain code
does; the backward kernels compute anew whatever can be had from the input of the block.

    parallel_block, losses    a block, and the loss, of the modules of ``layers``
    interpreted               runs kernels without a GPU, for tests
    normed_qkv                norm, projection to queries, keys and values, rotation
    block_end                 output projection of attention, norm, MLP, residual
    negative_log_likelihood   final norm, output projection, loss
"""

from .mlp import EndWeights as EndWeights
from .mlp import block_end as block_end
from .parallel import losses as losses
from .parallel import parallel_block as parallel_block
from .projection import Heads as Heads
from .projection import normed_qkv as normed_qkv
from .readout import negative_log_likelihood as negative_log_likelihood
from .tiles import interpreted as interpreted
