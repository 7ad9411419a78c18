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
from jaxemerge.models.model import Hidden, Model
from jaxemerge.models.positions import Windows, check_table, dropped, windows_of
from jaxemerge.types import Array, Float, Int, Key, Params

_POSITIONS = 2**32 - 1  # stream of the initial weights that belong to positions


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
        rotary_fraction: share of each head's width that is rotated by position (Su et al. 2021), where
            ``positions`` is rotary.
        mlp: GELU, or GELU / SiLU gated by a second projection (Shazeer 2020).
        mlp_ratio: MLP width F as a multiple of D.
        tied: whether the output projection is the transposed embedding.
        bias: whether linear layers have biases.
        norm_epsilon: added to the variance (LayerNorm) or mean square (RMSNorm).
        rotary_base: the slowest rotation is about one turn in 2 pi * base positions.
        init_std: standard deviation of the normal distribution all matrices are drawn from.
        dtype: precision of the computation; weights are always float32.
        positions: how attention knows where tokens stand. ``rotary`` turns queries and keys; ``none`` leaves
            it to the causal mask (Kazemnejad et al. 2023); ``learned`` adds a row of a table to each
            token's embedding; ``alibi`` lowers scores in proportion to the distance (Press et al. 2022);
            ``fire`` adds a learned function of the distance to scores (Li et al. 2024).
        max_positions: rows of the table of ``learned``, and so the longest text; the initial threshold
            of ``fire``.
        random_offset: in training, the positions of each window start at a random number of 0 to this
            (Zhou et al. 2024, "What algorithms can transformers learn?"); for ``learned`` and ``fire``.
        within_example: whether attention stays within an example of a training window, and positions start
            again with each. By default attention crosses examples, as the windows are packed.
        dropout: share of numbers that training drops, of the embeddings and of what attention and the MLP
            add to the residual stream (Vaswani et al. 2017, section 5.4).

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
        """Float32 logits of the next token; ``segments`` matter where attention stays within examples."""
        return decoder(self, vocabulary, params)(tokens, segments)

    def losses(
        self,
        vocabulary: int,
        params: Params,
        tokens: Int[Array, "B L"],
        segments: Int[Array, "B L"],
        targets: Int[Array, "B L"],
    ) -> Float[Array, "B L"]:
        """Nats of each target; where kernels are fused, without logits in memory."""
        return decoder(self, vocabulary, params).losses(tokens, targets, segments)

    def training_losses(
        self,
        vocabulary: int,
        params: Params,
        tokens: Int[Array, "B L"],
        segments: Int[Array, "B L"],
        targets: Int[Array, "B L"],
        key: Key,
    ) -> Float[Array, "B L"]:
        """Nats of each target, with dropout and random offsets of positions where there are any."""
        noise = key if self.dropout or self.random_offset else None
        return decoder(self, vocabulary, params).losses(tokens, targets, segments, noise)

    def hidden(
        self,
        params: Params,
        tokens: Int[Array, "B L"],
        *,
        attention: bool = False,
        segments: Int[Array, "B L"] | None = None,
    ) -> Hidden:
        """The residual stream, and attention weights on request; see ``Model.hidden``."""
        return decoder(self, _vocabulary(params), params).hidden(tokens, segments, attention)

    def unembed(self, params: Params, residual: Float[Array, "*B D"]) -> Float[Array, "*B V"]:
        """Logits of the next token that a state of the residual stream stands for; see ``Model.unembed``."""
        reader = decoder(self, _vocabulary(params), params)
        x_PD = residual.reshape(-1, self.width).astype(self.compute_dtype)
        return reader.predict(x_PD).reshape(*residual.shape[:-1], -1)

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
        # A stream of its own: all other weights are then the same for every kind of positions.
        rows = (spec.max_positions, spec.width)
        learned = spec.positions == "learned"
        self.position_embedding = nnx.Param(init(rngs.positions(), rows)) if learned else None
        self.spec = spec
        self.dtype = spec.compute_dtype
        self.fused = implementation(spec, platform()).blocks == "fused"

    def __call__(
        self,
        tokens_BL: Int[Array, "B L"],
        segments_BL: Int[Array, "B L"] | None = None,
        noise: Key | None = None,
    ) -> Float[Array, "B L V"]:
        return self.predict(self.run(tokens_BL, segments_BL, noise)).reshape(*tokens_BL.shape, -1)

    def run(
        self,
        tokens_BL: Int[Array, "B L"],
        segments_BL: Int[Array, "B L"] | None = None,
        noise: Key | None = None,
    ) -> Float[Array, "P D"]:
        """What the last block gives; ``noise`` draws offsets of positions, and what is dropped."""
        offset_key, dropout_key = (None, None) if noise is None else jax.random.split(noise)
        windows = windows_of(self.spec, tokens_BL.shape, segments_BL, offset_key)
        # Positions of the whole batch are kept in one axis P: all weight products are then plain
        # two-dimensional ones, whose gradients are too. On CPU this is the fast path.
        x_PD = self.embed(tokens_BL.reshape(-1), windows)
        if dropout_key is None or not self.spec.dropout:
            for block in self.blocks:
                x_PD = block(x_PD, windows)
            return x_PD
        first, *keys = jax.random.split(dropout_key, 1 + len(self.blocks))
        x_PD = dropped(x_PD, self.spec.dropout, first)
        for block, key in zip(self.blocks, keys, strict=True):
            x_PD = block(x_PD, windows, key)
        return x_PD

    def hidden(
        self, tokens_BL: Int[Array, "B L"], segments_BL: Int[Array, "B L"] | None, attention: bool
    ) -> Hidden:
        """The residual stream before the first block and after every one, and attention weights."""
        windows = windows_of(self.spec, tokens_BL.shape, segments_BL)
        x_PD = self.embed(tokens_BL.reshape(-1), windows)
        states, weights = [x_PD], []
        for block in self.blocks:
            if attention:
                weights.append(block.attention.weights(block.attention_norm(x_PD), windows))
            x_PD = block(x_PD, windows)
            states.append(x_PD)
        residual = jnp.stack(states).reshape(len(states), *tokens_BL.shape, -1).astype(jnp.float32)
        return Hidden(residual, jnp.stack(weights) if attention else None)

    def losses(
        self,
        tokens_BL: Int[Array, "B L"],
        targets_BL: Int[Array, "B L"],
        segments_BL: Int[Array, "B L"] | None = None,
        noise: Key | None = None,
    ) -> Float[Array, "B L"]:
        """Nats of each target."""
        if not self.fused:
            return negative_log_likelihood(self(tokens_BL, segments_BL, noise), targets_BL)
        from jaxemerge.models import fused

        head_VD = self.embedding[...] if self.head is None else self.head[...]
        x_PD = self.run(tokens_BL, segments_BL, noise)
        nll_P = fused.losses(self.norm, x_PD, head_VD, targets_BL.reshape(-1))
        return nll_P.reshape(tokens_BL.shape)

    def embed(self, tokens_P: Int[Array, " P"], windows: Windows) -> Float[Array, "P D"]:
        """What the first block is given."""
        x_PD = embedding(self.embedding[...], tokens_P)
        if self.position_embedding is None:
            return x_PD.astype(self.dtype)
        table_MD = self.position_embedding[...]
        if windows.positions is None:  # the same rows for every window
            rows_BLD = x_PD.reshape(-1, windows.length, x_PD.shape[1]) + table_MD[None, : windows.length]
            return rows_BLD.reshape(x_PD.shape).astype(self.dtype)
        positions_BL = jnp.broadcast_to(windows.positions, (len(tokens_P) // windows.length, windows.length))
        return (x_PD + embedding(table_MD, positions_BL.reshape(-1))).astype(self.dtype)

    def predict(self, x_PD: Float[Array, "P D"]) -> Float[Array, "P V"]:
        """Logits of the next token, from what the last block gives."""
        head_VD = self.embedding[...] if self.head is None else self.head[...]
        return project(self.norm(x_PD), head_VD.astype(self.dtype))

    def read(self, tokens_BL: Int[Array, "B L"], dtype: Any) -> tuple[Float[Array, "B V"], Cache]:
        """Reads the beginnings of texts, at least one position each, into a cache of this precision."""
        batch, length = tokens_BL.shape
        keys, values = [], []
        windows = windows_of(self.spec, tokens_BL.shape, None)
        x_PD = self.embed(tokens_BL.reshape(-1), windows)
        for block in self.blocks:
            attention_PD, k_BHLK, v_BHLK = block.attention.read(block.attention_norm(x_PD), windows)
            x_PD = block.after(x_PD, attention_PD)
            keys.append(k_BHLK.astype(dtype))
            values.append(v_BHLK.astype(dtype))
        last_BD = x_PD.reshape(batch, length, -1)[:, -1]
        return self.predict(last_BD), Cache(tuple(keys), tuple(values))

    def extend(
        self, cache: Cache, tokens_B: Int[Array, " B"], position: Int[Array, ""] | int
    ) -> tuple[Float[Array, "B V"], Cache]:
        """Reads one more token of every text, all at one position, which may be traced."""
        check_table(self.spec, cache.length)  # a row that is not there would be the last one
        keys, values = [], []
        x_BD = self.embed(tokens_B, Windows(1, jnp.full((1, 1), position)))
        for block, k_BHLK, v_BHLK in zip(self.blocks, cache.keys, cache.values, strict=True):
            y_BD = block.attention_norm(x_BD)
            attention_BD, k_BHLK, v_BHLK = block.attention.extend(y_BD, k_BHLK, v_BHLK, position)
            x_BD = block.after(x_BD, attention_BD)
            keys.append(k_BHLK)
            values.append(v_BHLK)
        return self.predict(x_BD), Cache(tuple(keys), tuple(values))


def init(spec: Transformer, vocabulary: int, key: Key) -> Params:
    """Draws initial float32 weights as nested dicts of arrays; a pure function of its arguments."""
    rngs = nnx.Rngs(params=key, positions=jax.random.fold_in(key, _POSITIONS))
    return nnx.to_pure_dict(nnx.state(Decoder(spec, vocabulary, rngs=rngs), nnx.Param))


def apply(
    spec: Transformer,
    vocabulary: int,
    params: Params,
    tokens: Int[Array, "B L"],
    segments: Int[Array, "B L"] | None = None,
) -> Float[Array, "B L V"]:
    """Logits of the next token at every position, float32 [B, L, V].

    Args:
        spec: what the transformer is made of.
        vocabulary: V, the number of token ids.
        params: weights of one seed, as from ``init``.
        tokens: ids of B texts.
        segments: which example each token belongs to; None where each text is one example.
    """
    return decoder(spec, vocabulary, params)(tokens, segments)


def _vocabulary(params: Params) -> int:
    """Number of tokens; raises ValueError where ``params`` are no weights, as with swapped arguments."""
    if not isinstance(params, dict):
        raise ValueError(f"params of type {type(params).__name__}: give the weights of one member")
    return len(params["embedding"])


def decoder(spec: Transformer, vocabulary: int, params: Params) -> Decoder:
    """The module with these weights."""
    return nnx.merge(_structure(spec, vocabulary, code_in_use()), params)


@functools.cache
def _structure(spec: Transformer, vocabulary: int, code: Code) -> nnx.GraphDef[Decoder]:
    """The module without its weights; its layers have the form that suits the platform."""
    del code
    return nnx.split(nnx.eval_shape(lambda: Decoder(spec, vocabulary, rngs=nnx.Rngs(0))))[0]
