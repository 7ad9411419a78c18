"""The decoder-only transformer: its specification, its initial weights, its forward pass.

One module covers the architectures of the studies: GPT-NeoX-style blocks (Black et al. 2022) and
Llama-style blocks (Touvron et al. 2023) are presets of the same specification.
"""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from jaxemerge.devices import platform
from jaxemerge.models.architecture import Architecture
from jaxemerge.models.implementation import Code, code_in_use, implementation
from jaxemerge.models.layers import Block, Norm, embedding, negative_log_likelihood, project
from jaxemerge.models.model import Model
from jaxemerge.types import Array, Float, Int, Key, Params


@dataclass(frozen=True)
class Transformer(Architecture, Model):
    """What a decoder-only transformer is made of; frozen, hashable, JSON-serialisable.

    Attributes:
        depth: number of blocks.
        width: model width D.
        heads: attention heads; each has width D / heads.
        residual: ``sequential`` adds attention, then the MLP of the sum; ``parallel`` adds both to
            the same input (GPT-J, GPT-NeoX).
        norm: RMSNorm or LayerNorm.
        rotary_fraction: share of each head's width that is rotated by position (Su et al. 2021).
        mlp: GELU, or GELU / SiLU gated by a second projection (Shazeer 2020).
        mlp_ratio: MLP width F as a multiple of D.
        tied: whether the output projection is the transposed embedding.
        bias: whether linear layers have biases.
        norm_epsilon: added to the variance (LayerNorm) or mean square (RMSNorm).
        rotary_base: the slowest rotation is about one turn in 2 pi * base positions.
        init_std: standard deviation of the normal distribution all matrices are drawn from.
        dtype: precision of the computation; weights are always float32.

    Raises:
        ValueError: a field is out of range; the message says its value and what is allowed.
    """

    @property
    def label(self) -> str:
        """Depth and width."""
        return f"depth{self.depth}-width{self.width}"

    def init(self, vocabulary: int, key: Key) -> Params:
        """Initial float32 weights."""
        return init(self, vocabulary, key)

    def apply(
        self, vocabulary: int, params: Params, tokens: Int[Array, "B L"], segments: Int[Array, "B L"]
    ) -> Float[Array, "B L V"]:
        """Float32 logits of the next token; attention crosses examples, whatever ``segments`` say."""
        del segments
        return apply(self, vocabulary, params, tokens)

    def losses(
        self,
        vocabulary: int,
        params: Params,
        tokens: Int[Array, "B L"],
        segments: Int[Array, "B L"],
        targets: Int[Array, "B L"],
    ) -> Float[Array, "B L"]:
        """Nats of each target; where kernels are fused, without logits in memory."""
        del segments
        return decoder(self, vocabulary, params).losses(tokens, targets)

    def read(
        self, vocabulary: int, params: Params, tokens: Int[Array, "B L"], dtype: Any = None
    ) -> tuple[Float[Array, "B V"], Cache]:
        """Logits after the beginnings of texts, and their keys and values, in ``dtype``."""
        return decoder(self, vocabulary, params).read(tokens, dtype or self.compute_dtype)

    def extend(
        self, vocabulary: int, params: Params, cache: Any, tokens: Int[Array, " B"], position: Any
    ) -> tuple[Float[Array, "B V"], Cache]:
        """Logits after one more token, and its keys and values added to the others."""
        return decoder(self, vocabulary, params).extend(cache, tokens, position)

    def implementation(self) -> dict[str, str]:
        """The code of each part: see ``models.implementation``."""
        return asdict(implementation(self, platform()))

    def recomputed_flops_per_token(self, vocabulary: int) -> float:
        """Operations per token that the code on the platform at hand repeats in the backward pass."""
        if implementation(self, platform()).blocks != "fused":
            return 0.0
        from jaxemerge.models import fused

        return fused.recomputed_flops(self, vocabulary)

    def activation_bytes(self, vocabulary: int, batch: int, context: int) -> int:
        """By formula, for the code that computes it on the platform at hand."""
        code = implementation(self, platform())
        maps = code.attention != "cudnn"
        if code.blocks == "fused":
            from jaxemerge.models import fused

            return fused.step_bytes(self, vocabulary, batch, context, attention_maps=maps)
        return self.step_bytes(vocabulary, batch, context, attention_maps=maps)


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


class Cache(NamedTuple):
    """Keys and values of B texts, one array [B, H, L, K] per block: a next token then costs one position.

    Attributes:
        keys: rotated by their positions; whatever stands at positions not yet read is not looked at.
        values: likewise.
    """

    keys: tuple[Float[Array, "B H L K"], ...]
    values: tuple[Float[Array, "B H L K"], ...]

    @property
    def length(self) -> int:
        """Positions there is room for."""
        return self.keys[0].shape[2]

    def longer(self, length: int) -> Cache:
        """The same texts, with room for ``length`` positions."""
        room = ((0, 0), (0, 0), (0, length - self.length), (0, 0))
        return jax.tree.map(lambda x: jnp.pad(x, room), self)

    def repeated(self, times: int) -> Cache:
        """Every text ``times`` times, copies side by side."""
        return jax.tree.map(lambda x: jnp.repeat(x, times, axis=0), self)


class Decoder(nnx.Module):
    """Token ids in, next-token logits out."""

    def __init__(self, spec: Transformer, vocabulary: int, *, rngs: nnx.Rngs) -> None:
        init = nnx.initializers.normal(spec.init_std)
        self.embedding = nnx.Param(init(rngs.params(), (vocabulary, spec.width)))
        self.blocks = nnx.List([Block(spec, rngs=rngs) for _ in range(spec.depth)])
        self.norm = Norm(spec)
        self.head = None if spec.tied else nnx.Param(init(rngs.params(), (vocabulary, spec.width)))
        self.dtype = spec.compute_dtype
        self.fused = implementation(spec, platform()).blocks == "fused"

    def __call__(self, tokens_BL: Int[Array, "B L"]) -> Float[Array, "B L V"]:
        return self.predict(self.run(tokens_BL)).reshape(*tokens_BL.shape, -1)

    def run(self, tokens_BL: Int[Array, "B L"]) -> Float[Array, "P D"]:
        """What the last block gives."""
        length = tokens_BL.shape[1]
        # Positions of the whole batch are kept in one axis P: all weight products are then plain
        # two-dimensional ones, whose gradients are too. On CPU this is the fast path.
        x_PD = self.embed(tokens_BL.reshape(-1))
        for block in self.blocks:
            x_PD = block(x_PD, length)
        return x_PD

    def losses(self, tokens_BL: Int[Array, "B L"], targets_BL: Int[Array, "B L"]) -> Float[Array, "B L"]:
        """Nats of each target."""
        if not self.fused:
            return negative_log_likelihood(self(tokens_BL), targets_BL)
        from jaxemerge.models import fused

        head_VD = self.embedding[...] if self.head is None else self.head[...]
        nll_P = fused.losses(self.norm, self.run(tokens_BL), head_VD, targets_BL.reshape(-1))
        return nll_P.reshape(tokens_BL.shape)

    def embed(self, tokens_P: Int[Array, " P"]) -> Float[Array, "P D"]:
        """What the first block is given."""
        return embedding(self.embedding[...], tokens_P).astype(self.dtype)

    def predict(self, x_PD: Float[Array, "P D"]) -> Float[Array, "P V"]:
        """Logits of the next token, from what the last block gives."""
        head_VD = self.embedding[...] if self.head is None else self.head[...]
        return project(self.norm(x_PD), head_VD.astype(self.dtype))

    def read(self, tokens_BL: Int[Array, "B L"], dtype: Any) -> tuple[Float[Array, "B V"], Cache]:
        """Reads the beginnings of texts, at least one position each, into a cache of this precision."""
        batch, length = tokens_BL.shape
        keys, values = [], []
        x_PD = self.embed(tokens_BL.reshape(-1))
        for block in self.blocks:
            attention_PD, k_BHLK, v_BHLK = block.attention.read(block.attention_norm(x_PD), length)
            x_PD = block.after(x_PD, attention_PD)
            keys.append(k_BHLK.astype(dtype))
            values.append(v_BHLK.astype(dtype))
        last_BD = x_PD.reshape(batch, length, -1)[:, -1]
        return self.predict(last_BD), Cache(tuple(keys), tuple(values))

    def extend(
        self, cache: Cache, tokens_B: Int[Array, " B"], position: Int[Array, ""] | int
    ) -> tuple[Float[Array, "B V"], Cache]:
        """Reads one more token of every text, all at one position, which may be traced."""
        keys, values = [], []
        x_BD = self.embed(tokens_B)
        for block, k_BHLK, v_BHLK in zip(self.blocks, cache.keys, cache.values, strict=True):
            y_BD = block.attention_norm(x_BD)
            attention_BD, k_BHLK, v_BHLK = block.attention.extend(y_BD, k_BHLK, v_BHLK, position)
            x_BD = block.after(x_BD, attention_BD)
            keys.append(k_BHLK)
            values.append(v_BHLK)
        return self.predict(x_BD), Cache(tuple(keys), tuple(values))


def init(spec: Transformer, vocabulary: int, key: Key) -> Params:
    """Draws initial float32 weights as nested dicts of arrays; a pure function of its arguments."""
    return nnx.to_pure_dict(nnx.state(Decoder(spec, vocabulary, rngs=nnx.Rngs(params=key)), nnx.Param))


def apply(
    spec: Transformer, vocabulary: int, params: Params, tokens: Int[Array, "B L"]
) -> Float[Array, "B L V"]:
    """Logits of the next token at every position, float32 [B, L, V].

    Args:
        spec: what the transformer is made of.
        vocabulary: V, the number of token ids.
        params: weights of one seed, as from ``init``.
        tokens: ids of B texts.
    """
    return decoder(spec, vocabulary, params)(tokens)


def decoder(spec: Transformer, vocabulary: int, params: Params) -> Decoder:
    """The module with these weights."""
    return nnx.merge(_structure(spec, vocabulary, code_in_use()), params)


@functools.cache
def _structure(spec: Transformer, vocabulary: int, code: Code) -> nnx.GraphDef[Decoder]:
    """The module without its weights; its layers have the form that suits the platform."""
    del code
    return nnx.split(nnx.eval_shape(lambda: Decoder(spec, vocabulary, rngs=nnx.Rngs(0))))[0]
