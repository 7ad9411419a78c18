"""How is a text written, token by token? The program that writes many texts of one seed.

The draws of a sample are a function of the key, its seed, the number of its item and its own number, and of
nothing else in the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.devices import Layout, over_seeds
from jaxemerge.models import Model
from jaxemerge.models.implementation import Code, code_in_use
from jaxemerge.tasks import Task
from jaxemerge.types import Array, Bool, Float, Int, Key, Params, UInt32

CacheType = Literal["float32", "bfloat16"]
_FIRST_STAGE = 16  # positions the cache has room for at first; doubled when they are full


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn from a model's distribution.

    Attributes:
        temperature: logits are divided by it; 0 takes the likeliest token.
        top_k: draw from the k likeliest tokens; 0 from all. Ties with the k-th all count.
        top_p: draw from the fewest likeliest tokens that together have at least this probability (Holtzman
            et al. 2020); 1 from all. It applies to what ``temperature`` and ``top_k`` leave.

    Raises:
        ValueError: a field is out of range; the message says its value and what is allowed.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature={self.temperature}: must be 0 (greedy) or a positive number")
        if self.top_k < 0:
            raise ValueError(f"top_k={self.top_k}: must be at least 1, or 0 for all tokens")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p}: must lie in (0, 1]")


GREEDY = Sampling(temperature=0.0)


def pick(logits: Float[Array, "B V"], uniform: Float[Array, " B"], sampling: Sampling) -> Int[Array, " B"]:
    """A token for each row: -1 where the logits are not finite.

    Draws by inverting the distribution function: one uniform number per token, whose 24 bits are the
    resolution of a token's probability (6e-8).

    Args:
        logits: float32.
        uniform: in [0, 1); not looked at by greedy decoding.
        sampling: how to draw.
    """
    highest_B = jnp.max(logits, axis=-1)
    if sampling.temperature == 0:
        chosen_B = jnp.argmax(logits, axis=-1)
    else:
        scaled_BV = (logits - highest_B[:, None]) / sampling.temperature
        chosen_B = _inverted(jnp.exp(_kept(scaled_BV, sampling)), uniform)
    return jnp.where(jnp.isfinite(highest_B), chosen_B, -1).astype(jnp.int32)


def _inverted(weights_BV: Float[Array, "B V"], uniform_B: Float[Array, " B"]) -> Int[Array, " B"]:
    """The first token at which the running sum of the weights exceeds this share of their total."""
    sums_BV = jnp.cumsum(weights_BV, axis=-1)
    below_BV = sums_BV <= (uniform_B * sums_BV[:, -1])[:, None]
    return jnp.minimum(jnp.sum(below_BV, axis=-1), weights_BV.shape[-1] - 1)


def _kept(logits_BV: Float[Array, "B V"], sampling: Sampling) -> Float[Array, "B V"]:
    """Logits with minus infinity for tokens that may not be drawn."""
    vocabulary = logits_BV.shape[-1]
    if 0 < sampling.top_k < vocabulary:
        least_B = jax.lax.top_k(logits_BV, sampling.top_k)[0][:, -1]
        logits_BV = jnp.where(logits_BV >= least_B[:, None], logits_BV, -jnp.inf)
    if sampling.top_p < 1:
        sorted_BV = -jnp.sort(-logits_BV, axis=-1)
        shares_BV = jax.nn.softmax(sorted_BV, axis=-1)
        before_BV = jnp.cumsum(shares_BV, axis=-1) - shares_BV
        n_B = jnp.maximum(jnp.sum(before_BV < sampling.top_p, axis=-1), 1)
        least_B = jnp.take_along_axis(sorted_BV, n_B[:, None] - 1, axis=-1)
        logits_BV = jnp.where(logits_BV >= least_B, logits_BV, -jnp.inf)
    return logits_BV


class Request(NamedTuple):
    """Texts to generate with a seed: m consecutive samples of each of U items (leading axis S for many).

    Attributes:
        seed: init_seed and data_seed; these, not the seed's place, decide its draws.
        item: places of the items among the prompts.
        first: number of the first sample of each.
        wanted: False for items that only fill the array up.
    """

    seed: UInt32[Array | np.ndarray, "*S 2"]
    item: Int[Array | np.ndarray, "*S U"]
    first: Int[Array | np.ndarray, "*S U"]
    wanted: Bool[Array | np.ndarray, "*S U"]


class Texts(NamedTuple):
    """Prompts as arrays on the device."""

    tokens: Int[Array, "E L"]
    scored: Bool[Array, "E L"]
    writes: Bool[Array, "E L"]
    numbers: Int[Array, " E"]


@dataclass(frozen=True)
class Manner:
    """How texts are generated: the static arguments of a compiled program, next to task and model.

    Attributes:
        start: position of the first token that may be written.
        samples: m, texts in a row to each item of a request.
        sampling: how tokens are drawn.
        cache: precision of cached keys and values; None for the model's own.
        decided: whether a text may be broken off at its first wrong token, where that decides that it is
            not accepted.

    Raises:
        ValueError: ``cache`` is none of these.
    """

    start: int
    samples: int = 1
    sampling: Sampling = GREEDY
    cache: CacheType | None = None
    decided: bool = False

    def __post_init__(self) -> None:
        if self.cache not in (None, "float32", "bfloat16"):
            raise ValueError(f"cache={self.cache!r}: must be float32, bfloat16 or None")


def writer(task: Task, model: Model, layout: Layout, manner: Manner) -> Callable[..., Any]:
    """The program (params, Request, Texts, key) -> (tokens [S, U, m, L], accepted [S, U, m])."""
    return _writer(task, model, layout, manner, code_in_use())


@functools.lru_cache(maxsize=64)
def _writer(task: Task, model: Model, layout: Layout, manner: Manner, code: Code) -> Callable[..., Any]:
    del code
    one = functools.partial(write, task, model, manner)
    return over_seeds(one, layout, mapped=2, shared=2, in_order=True)


class _State(NamedTuple):
    """Texts that are being written, R of them.

    Attributes:
        position: the next to be decided.
        text: tokens so far.
        going: whether a text is still being written.
        cache: the model's keys and values of the positions before the last token.
    """

    position: Int[Array, ""]
    text: Int[Array, "L R"]
    going: Bool[Array, " R"]
    cache: Any


def write(
    task: Task, model: Model, manner: Manner, params: Params, asked: Request, texts: Texts, key: Key
) -> tuple[Int[Array, "U m L"], Bool[Array, "U m"]]:
    """The texts of one seed."""
    u, m, vocabulary = asked.item.shape[0], manner.samples, task.vocabulary
    given_UL = texts.tokens[asked.item]
    length = given_UL.shape[1]
    rows = _Rows(*(jnp.repeat(x[asked.item], m, axis=0).T for x in texts[:3]))
    later_LR = jnp.cumsum(rows.writes[::-1], axis=0)[::-1] - rows.writes  # places still to be written
    uniform_LR = _uniforms(key, asked, texts, manner, length)
    logits_UV, cache = model.read(vocabulary, params, given_UL[:, : manner.start], manner.cache)
    going_R = jnp.repeat(asked.wanted, m)
    nothing_LR = jnp.where(rows.writes, -1, rows.tokens)  # and so it stays where all have ended
    state = _State(jnp.asarray(manner.start), nothing_LR, going_R, cache.repeated(m))
    step = functools.partial(_decide, task.end, manner, rows, later_LR, uniform_LR)
    state = step(jnp.repeat(logits_UV, m, axis=0), state)

    def body(state: _State) -> _State:
        last = state.position - 1
        token_R = jnp.maximum(state.text[last], 0)
        logits_RV, cache = model.extend(vocabulary, params, state.cache, token_R, last)
        return step(logits_RV, state._replace(cache=cache))

    for room in _stages(manner.start, length - 1):
        state = state._replace(cache=state.cache.longer(room))
        more = functools.partial(_more, min(room + 1, length))
        state = jax.lax.while_loop(more, body, state)
    text_RL = state.text.T
    accepted_R = jax.vmap(task.accepts)(text_RL, rows.tokens.T, rows.scored.T)
    return text_RL.reshape(u, m, length), (accepted_R & going_R).reshape(u, m)


class _Rows(NamedTuple):
    """Reference, scored places and places to be written of every text; positions first."""

    tokens: Int[Array, "L R"]
    scored: Bool[Array, "L R"]
    writes: Bool[Array, "L R"]


def _stages(start: int, last: int) -> list[int]:
    """Sizes of the cache, each twice the one before: attention looks at no more positions than that.

    Args:
        start: positions that were read.
        last: positions that are read in the end.
    """
    size, sizes = _FIRST_STAGE, []
    while size < last:
        if size > start:
            sizes.append(size)
        size *= 2
    return [*sizes, last] if last > start else [start]


def _more(stop: int, state: _State) -> Bool[Array, ""]:
    return (state.position < stop) & jnp.any(state.going)


def _decide(
    end: int | None,
    manner: Manner,
    rows: _Rows,
    later_LR: Int[Array, "L R"],
    uniform_LR: Float[Array, "L R"],
    logits_RV: Float[Array, "R V"],
    state: _State,
) -> _State:
    """Writes one token of every text, or takes the one that is given."""
    t = state.position
    reference_R, scored_R, writes_R = (x[t] for x in rows)
    picked_R = jnp.where(state.going, pick(logits_RV, uniform_LR[t], manner.sampling), -1)
    token_R = jnp.where(writes_R, picked_R, reference_R)
    stops_R = token_R < 0
    if end is not None:
        stops_R |= token_R == end
    if manner.decided:
        stops_R |= scored_R & (token_R != reference_R)
    return _State(
        position=t + 1,
        text=state.text.at[t].set(token_R),
        going=state.going & ~(writes_R & stops_R) & (later_LR[t] > 0),
        cache=state.cache,
    )


def _uniforms(key: Key, asked: Request, texts: Texts, manner: Manner, length: int) -> Float[Array, "L R"]:
    """A number in [0, 1) for each place and text, a function of the sample and the place alone."""
    if manner.sampling.temperature == 0:
        return jnp.zeros((length, asked.item.shape[0] * manner.samples))
    of_seed = functools.reduce(jax.random.fold_in, asked.seed, key)

    def sample(number: Array, k: Array) -> Array:
        of_sample = jax.random.fold_in(jax.random.fold_in(of_seed, number), k)
        return jax.vmap(lambda t: jax.random.uniform(jax.random.fold_in(of_sample, t)))(jnp.arange(length))

    numbers_R = jnp.repeat(texts.numbers[asked.item], manner.samples)
    k_UM = jnp.asarray(asked.first)[:, None] + jnp.arange(manner.samples)[None]
    return jax.vmap(sample)(numbers_R, k_UM.reshape(-1)).T
