"""What learns? Decoder-only transformers, their families, their cost; and models of your own.

    model = llama(depth=2, width=64, heads=2)
    params = model.init(15, jax.random.key(0))               # a vocabulary of 15
    logits = model.apply(15, params, tokens, segments)       # int32 [B, L] -> float32 [B, L, V]
    model.non_embedding_parameters(15), model.training_flops_per_token(15, context=64)

A model is a frozen specification; its weights are nested dicts of float32 arrays. B are context windows, L
their positions, V is the vocabulary. Costs are numbers of weights, floating-point operations and bytes.

    Transformer                        the specification of a transformer, every option a field
    neox, llama                        presets: GPT-NeoX-style and Llama-style
    families                           the scale families of the papers, as lists of `Transformer`
    Model, check_model                 what a model of your own subclasses; does it keep the contract?
    flax_model, is_flax_module         a model from a Flax module, of NNX or Linen
    kernels                            which accelerator kernels may be used; all are by default
    Hidden                             what `hidden` of a model returns: residual stream and attention weights
    init, apply                        initial weights and logits of a `Transformer`, as plain functions
"""

from . import families as families
from .families import llama as llama
from .families import neox as neox
from .implementation import kernels as kernels
from .model import Hidden as Hidden
from .model import Model as Model
from .model_contract import check_model as check_model
from .modules import flax_model as flax_model
from .modules import is_flax_module as is_flax_module
from .transformer import Transformer as Transformer
from .transformer import apply as apply
from .transformer import init as init
