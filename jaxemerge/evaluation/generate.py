"""Which answers do seeds give? Items to answer, and the greedy or sampled texts of many seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.brief import brief
from jaxemerge.devices import Layout
from jaxemerge.evaluation.decoding import GREEDY, CacheType, Manner, Request, Sampling, Texts, writer
from jaxemerge.models import Model
from jaxemerge.tasks import EvaluationSet, Task
from jaxemerge.tasks.packing import stacked
from jaxemerge.types import Bool, Int, Key, Params, UInt32

_CACHE_BUDGET = 256_000_000  # bytes of the cache of one seed
_MOST_ROWS = {"cpu": 128}  # texts of a seed that are written together
_MOST_ROWS_ELSEWHERE = 2048


@brief
@dataclass(frozen=True, eq=False)
class Prompts:
    """Items to be answered, padded at their end to the same length.

    Attributes:
        tokens: reference texts.
        scored: places that an exact answer gets right.
        writes: generated positions; at all others before the last of these the reference is given.
        numbers: an item's number; with the seed's numbers it decides the item's draws.
    """

    tokens: Int[np.ndarray, "E L"]
    scored: Bool[np.ndarray, "E L"]
    writes: Bool[np.ndarray, "E L"]
    numbers: Int[np.ndarray, " E"]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def start(self) -> int:
        """The first position where the model writes, in any item."""
        return int(self.writes.any(0).argmax())

    def take(self, which: Sequence[int] | np.ndarray) -> Prompts:
        """Some of the items with their numbers, and so with the same draws."""
        chosen = np.asarray(which, np.int64)
        return Prompts(self.tokens[chosen], self.scored[chosen], self.writes[chosen], self.numbers[chosen])


def prompts(sets: EvaluationSet | Sequence[EvaluationSet]) -> Prompts:
    """The items of one or more evaluation sets, in order, numbered from 0.

    A model writes from an item's first scored place on, to the end of its set's longest text; tokens that
    are not scored but stand between scored ones are given to it, as they are in teacher forcing.
    """
    chosen = [sets] if isinstance(sets, EvaluationSet) else list(sets)
    scored = stacked([one.scored for one in chosen])
    return Prompts(
        tokens=stacked([one.tokens for one in chosen]).astype(np.int32),
        scored=scored,
        writes=stacked([_writes(one.scored) for one in chosen]),
        numbers=np.arange(len(scored), dtype=np.int32),
    )


def _writes(scored: np.ndarray) -> np.ndarray:
    place = np.arange(scored.shape[1])
    last = scored.shape[1] - 1 - scored[:, ::-1].argmax(1)
    return scored | (place > last[:, None])


@brief
class Written(NamedTuple):
    """Texts of S seeds, n to every item.

    Attributes:
        tokens: prompts and generated tokens; -1 where nothing was generated, as after the end token.
        accepted: whether the task accepts the text as a right answer.
    """

    tokens: Int[np.ndarray, "S E n L"]
    accepted: Bool[np.ndarray, "S E n"]


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
