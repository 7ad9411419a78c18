"""Generation: greedy or sampled texts of many seeds, items and samples in one program.

The draws of a sample are a function of the key, its seed, the number of its item and its own number, and of
nothing else in the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.devices import Layout, over_seeds
from jaxemerge.evaluation.prompts import Prompts
from jaxemerge.evaluation.sampling import GREEDY, Sampling, pick
from jaxemerge.models import Model
from jaxemerge.models.implementation import Code, code_in_use
from jaxemerge.tasks import Task
from jaxemerge.types import Array, Bool, Float, Int, Key, Params, UInt32

CacheType = Literal["float32", "bfloat16"]
_FIRST_STAGE = 16  # positions the cache has room for at first; doubled when they are full
_CACHE_BUDGET = 256_000_000  # bytes of the cache of one seed
_MOST_ROWS = {"cpu": 128}  # texts of a seed that are written together
_MOST_ROWS_ELSEWHERE = 2048


class Written(NamedTuple):
    """Texts of S seeds, n to every item.

    Attributes:
        tokens: prompts and generated tokens; -1 where nothing was generated, as after the end token.
        accepted: whether the task accepts the text as a right answer.
    """

    tokens: Int[np.ndarray, "S E n L"]
    accepted: Bool[np.ndarray, "S E n"]


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


def generate(
    task: Task,
    model: Model,
    params: Params,
    seeds: Sequence[tuple[int, int]],
    items: Prompts,
    *,
    key: Key | None = None,
    samples: int = 1,
    sampling: Sampling = GREEDY,
    layout: Layout | None = None,
    cache: CacheType | None = None,
    rows: int = 0,
) -> Written:
    """Generates every seed's answers to every item.

    Args:
        task: says where answers end, and which are right.
        model: what writes.
        params: weights, leading axis S.
        seeds: the S members' (init_seed, data_seed).
        items: what to answer.
        key: a threefry key; needed unless decoding is greedy.
        samples: n, answers to each item; of greedy decoding all are the same.
        sampling: how tokens are drawn.
        layout: devices, and seeds side by side on each; default all devices, one seed at a time on host
            cores, up to 16 on accelerators.
        cache: precision of cached keys and values; default that of the model.
        rows: texts of a seed that are written together; 0 chooses.

    Returns:
        Written, seeds and items in the order given.

    Raises:
        ValueError: there is no sample or no key, or the key is of another kind.
    """
    if samples < 1:
        raise ValueError(f"samples={samples}: must be at least 1")
    root = checked_key(key, sampling)
    used = layout or default_layout(len(seeds))
    together = rows or default_rows(model, items, cache, used)
    m = min(samples, together)
    u = min(len(items), max(1, together // m))
    manner = Manner(items.start, m, sampling, cache)
    write, texts = writer(task, model, used, manner), on_device(items)
    pairs = _even(np.asarray(seeds, np.uint32).reshape(-1, 2), used)
    placed = placed_params(params, len(seeds), used)
    found_tokens = np.empty((len(seeds), len(items), samples, items.tokens.shape[1]), np.int32)
    accepted = np.empty(found_tokens.shape[:3], bool)
    for first_item in range(0, len(items), u):
        for first in range(0, samples, m):
            which = np.arange(first_item, min(first_item + u, len(items)))
            asked = request(pairs, which, first, u)
            tokens, right = write(placed, jax.device_put(asked, used.sharding), texts, root)
            block = np.s_[:, which[0] : which[-1] + 1, first : first + m]
            n = min(m, samples - first)
            found_tokens[block] = np.asarray(tokens)[: len(seeds), : len(which), :n]
            accepted[block] = np.asarray(right)[: len(seeds), : len(which), :n]
    return Written(found_tokens, accepted)


def checked_key(key: Key | None, sampling: Sampling) -> Key:
    """The key to draw with; greedy decoding needs none.

    Raises:
        ValueError: there is none, or it is no threefry key.
    """
    if key is None:
        if sampling.temperature > 0:
            raise ValueError(
                f"key=None: drawing at temperature={sampling.temperature:g} needs a jax.random.key"
            )
        return jax.random.key(0, impl="threefry2x32")
    kind = str(jax.random.key_impl(key)) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else str(key.dtype)
    if kind != "threefry2x32":  # rbg keys under vmap draw everything from the first
        raise ValueError(
            f"key: {kind} keys do not keep draws apart; use jax.random.key(n, impl='threefry2x32')"
        )
    return key


def default_layout(n_seeds: int) -> Layout:
    """All devices; on host cores one seed after the other on each, so that its weights stay in cache."""
    devices = tuple(jax.local_devices())
    if devices[0].platform == "cpu":
        return Layout(devices, 1)
    return Layout(devices, min(16, -(-n_seeds // len(devices))))


def default_rows(model: Model, items: Prompts, cache: CacheType | None, layout: Layout) -> int:
    """A power of two: as many texts of a seed as are good for the device and fit into the cache's budget."""
    fit = _CACHE_BUDGET // model.cache_bytes(items.tokens.shape[1], cache)
    most = _MOST_ROWS.get(layout.devices[0].platform, _MOST_ROWS_ELSEWHERE)
    return 1 << max(0, min(most, fit).bit_length() - 1)


def on_device(items: Prompts) -> Texts:
    """The prompts as arguments of a ``writer``."""
    return Texts(*(jnp.asarray(x) for x in (items.tokens, items.scored, items.writes, items.numbers)))


def request(seeds: UInt32[np.ndarray, "S 2"], which: np.ndarray, first: int, size: int) -> Request:
    """The same items for every seed, filled up to ``size``."""
    item = np.broadcast_to(_filled(which, size), (len(seeds), size)).astype(np.int32)
    wanted = np.broadcast_to(np.arange(size) < len(which), item.shape)
    return Request(seeds, item, np.full_like(item, first), wanted)


def placed_params(params: Params, n_seeds: int, layout: Layout) -> Params:
    """Weights on the devices, filled up with copies of the last seed to a number that fits the layout.

    Raises:
        ValueError: they are not the weights of ``n_seeds`` seeds.
    """
    held = jax.tree.leaves(params)[0].shape[0]
    if held != n_seeds:
        raise ValueError(f"params hold {held} seeds, and {n_seeds} are named: give one weight to each")
    return jax.device_put(jax.tree.map(lambda leaf: _even(np.asarray(leaf), layout), params), layout.sharding)


def _even(values: np.ndarray, layout: Layout) -> np.ndarray:
    return _filled(values, -(-len(values) // layout.multiple) * layout.multiple)


def _filled(values: np.ndarray, size: int) -> np.ndarray:
    """With copies of the last one."""
    return np.concatenate([values, np.repeat(values[-1:], size - len(values), axis=0)])


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
