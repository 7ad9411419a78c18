"""What learns: decoder-only transformers, their families, their cost; and models of the user's own."""

from . import families as families
from .base import Model as Model
from .check import check_model as check_model
from .flops import activation_bytes as activation_bytes
from .flops import non_embedding_parameters as non_embedding_parameters
from .flops import state_bytes as state_bytes
from .flops import total_parameters as total_parameters
from .flops import training_flops_per_token as training_flops_per_token
from .modules import flax_model as flax_model
from .modules import is_flax_module as is_flax_module
from .transformer import Transformer as Transformer
from .transformer import apply as apply
from .transformer import init as init
from .transformer import llama as llama
from .transformer import neox as neox
