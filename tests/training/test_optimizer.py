"""Do optimizers do what optax does with one seed alone, and nothing to a neighbour?"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx
from optax import contrib

from jaxemerge.devices import Layout
from jaxemerge.models import decay
from jaxemerge.models.decay import decay_mask, layer_axes, names_in_words, orthogonalised
from jaxemerge.training import (
    SGD,
    Adam,
    AdamW,
    Lion,
    Muon,
    Objective,
    Optax,
    Recipe,
    members,
    paired,
    program,
)
from jaxemerge.training.step import data_key, init_key
from small_cell import distance, same, seed_of

STEPS, RATE, DECAY, CLIP = 12, 0.02, 0.3, 0.5


@dataclass(frozen=True)
class Layers(Objective):
    """Residual layers with biases and scales, each an entry of its own or all stacked along an axis."""

    stacked: bool = False

    def init(self, key: Any) -> Any:
        kernels = jax.random.normal(key, (2, 4, 4))
        layers = {"kernel": kernels, "bias": jnp.full((2, 4), 0.1), "scale": jnp.ones((2, 4))}
        if not self.stacked:
            layers = {str(i): jax.tree.map(lambda leaf, i=i: leaf[i], layers) for i in range(2)}
        return {"layers": layers, "embedding": jnp.eye(4) + 0.1, "out": {"bias": jnp.zeros(4)}}

    def loss(self, params: Any, key: Any) -> Any:
        x_BD = jax.random.normal(key, (8, 4)) @ params["embedding"]
        layers = params["layers"]
        for i in range(2):
            layer = jax.tree.map(lambda leaf, i=i: leaf[i], layers) if self.stacked else layers[str(i)]
            x_BD = x_BD + jnp.tanh(x_BD @ layer["kernel"] + layer["bias"][None]) * layer["scale"][None]
        return jnp.mean((x_BD + params["out"]["bias"][None] - 1.0) ** 2)


def recipe(optimizer: Any, stacked: bool = False) -> Recipe:
    return Recipe(Layers(stacked), None, optimizer, STEPS, 1, 1)


def trained(recipe: Recipe, seeds: list[int], rates: list[float] | None = None) -> Any:
    """Weights of the seeds, trained side by side, leading axis S."""
    built = program(recipe, Layout(tuple(jax.devices()[:1]), len(seeds)))
    who = members(paired(seeds), *recipe.optimizer.hyperparameters(STEPS))
    if rates is not None:
        who = who._replace(learning_rate=np.asarray(rates, np.float32))
    who = built.place(who)
    return jax.tree.map(np.asarray, built.advance(built.init(who), who, 0, STEPS, 0)[0].params)


@functools.cache
def alone(transformation: optax.GradientTransformation, seed: int) -> Any:
    """Weights of one seed after a loop with optax and nothing else."""
    objective = Layers()
    params = objective.init(init_key(jnp.uint32(seed)))
    state = transformation.init(params)

    @jax.jit
    def moved(params: Any, state: Any, step: int) -> Any:
        found = jax.grad(objective.loss)(params, data_key(jnp.uint32(seed), step))
        updates, state = transformation.update(found, state, params)
        return optax.apply_updates(params, updates), state

    for step in range(STEPS):
        params, state = moved(params, state, step)
    return params


def decays(params: Any) -> Any:
    """By name, written out for this objective."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key in ("kernel", "embedding"), params)


def kinds(params: Any) -> Any:
    def kind(path: Any, _: Any) -> str:
        return path[-1].key if path[-1].key in ("kernel", "embedding") else "other"

    return jax.tree_util.tree_map_with_path(kind, params)


COSINE = optax.warmup_cosine_decay_schedule(0.0, RATE, 3, STEPS, 0.1 * RATE)
COMMON: dict[str, Any] = {
    "learning_rate": RATE,
    "warmup": 3,
    "final": 0.1,
    "weight_decay": DECAY,
    "clip": CLIP,
}
L2 = optax.add_decayed_weights(DECAY, mask=decays)
CLIPPED = optax.clip_by_global_norm(CLIP)
PEERS: dict[str, tuple[Any, optax.GradientTransformation]] = {
    "AdamW": (AdamW(**COMMON), optax.chain(CLIPPED, optax.adamw(COSINE, weight_decay=DECAY, mask=decays))),
    "Adam": (Adam(**COMMON), optax.chain(CLIPPED, L2, optax.adam(COSINE))),
    "SGD": (SGD(**COMMON, momentum=0.8), optax.chain(CLIPPED, L2, optax.sgd(COSINE, 0.8))),
    "Nesterov": (
        SGD(**COMMON, nesterov=True),
        optax.chain(CLIPPED, L2, optax.sgd(COSINE, 0.9, nesterov=True)),
    ),
    "Lion": (Lion(**COMMON), optax.chain(CLIPPED, optax.lion(COSINE, weight_decay=DECAY, mask=decays))),
    "Muon": (
        Muon(**COMMON),
        optax.chain(
            CLIPPED,
            optax.partition(
                {
                    "kernel": contrib.muon(COSINE, weight_decay=DECAY),
                    "embedding": optax.adamw(COSINE, weight_decay=DECAY),
                    "other": optax.adam(COSINE),
                },
                kinds,
            ),
        ),
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_equals_optax_with_one_seed(name: str) -> None:
    ours, theirs = PEERS[name]
    seen = seed_of(trained(recipe(ours), [7]), 0)
    assert distance(seen, jax.tree.leaves(alone(theirs, 7))) < 2e-5
    for other in PEERS:
        if other != name:
            assert distance(seen, jax.tree.leaves(alone(PEERS[other][1], 7))) > 1e-3


@pytest.mark.parametrize("name", PEERS)
def test_no_seed_sees_another(name: str) -> None:
    """A neighbour whose gradients explode changes nothing; a norm over both seeds would."""
    ours = PEERS[name][0]
    before = seed_of(trained(recipe(ours), [7, 3]), 0)
    assert same(before, seed_of(trained(recipe(ours), [7, 3], [RATE, 30.0]), 0))


def test_a_norm_over_stacked_seeds_would_be_seen() -> None:
    """The planted fault: the transformation is given both seeds at once."""
    ours = PEERS["SGD"][0].transformation(jnp.float32(0.0))
    params = jax.vmap(Layers().init)(jax.vmap(init_key)(jnp.arange(2, dtype=jnp.uint32)))

    def update(loud: float, over: Callable[..., Any]) -> list[np.ndarray]:
        gradients = jax.tree.map(lambda leaf: leaf * jnp.ones(leaf.shape).at[1].set(loud), params)
        return seed_of(over(lambda g, p: ours.update(g, ours.init(p), p)[0])(gradients, params), 0)

    assert same(update(1.0, jax.vmap), update(100.0, jax.vmap))
    assert distance(update(1.0, lambda f: f), update(100.0, lambda f: f)) > 0.1


@pytest.mark.parametrize("kind", [AdamW, SGD, Muon])
def test_stacked_layers_train_as_layers_one_by_one(kind: Any) -> None:
    stacked = trained(recipe(kind(**COMMON), stacked=True), [7])
    unrolled = trained(recipe(kind(**COMMON)), [7])
    layers = [unrolled["layers"][str(i)] for i in range(2)]
    joined = {**unrolled, "layers": jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *layers)}
    assert distance(jax.tree.leaves(stacked), jax.tree.leaves(joined)) < 2e-5
    by_rank = trained(recipe(kind(**COMMON, decayed=("*kernel", "embedding", "layers/*")), stacked=True), [7])
    assert distance(jax.tree.leaves(by_rank), jax.tree.leaves(joined)) > 1e-3


def test_a_stack_taken_for_one_weight_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: a kernel [layers, in, out] is no matrix, and is left to AdamW."""
    ours = Muon(**COMMON, momentum=0.9)
    unrolled = trained(recipe(ours), [7])["layers"]
    monkeypatch.setattr(decay, "layer_axes", lambda params: jax.tree.map(lambda _: 0, params))
    stacked = trained(recipe(ours, stacked=True), [7])["layers"]
    assert distance([stacked["kernel"][:, 0]], [unrolled["0"]["kernel"]]) > 1e-3


class LinenBlock(linen.Module):
    """Attention, whose kernels and biases have an axis of heads, and an MLP layer."""

    @linen.compact
    def __call__(self, x: Any, _: Any = None) -> tuple[Any, None]:
        x = x + linen.MultiHeadDotProductAttention(num_heads=2)(linen.LayerNorm()(x))
        return x + linen.Dense(6)(x), None


class LinenStack(linen.Module):
    """Three blocks: each with a name of its own, or stacked by ``nn.scan``."""

    scanned: bool

    @linen.compact
    def __call__(self, x: Any) -> Any:
        if self.scanned:
            stack = linen.scan(LinenBlock, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
            x, _ = stack(name="blocks")(x, None)
        else:
            for i in range(3):
                x, _ = LinenBlock(name=f"block{i}")(x)
        return linen.Dense(5, name="out")(x)


class NNXBlock(nnx.Module):
    """A norm and a layer without bias."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.norm, self.gain = nnx.RMSNorm(6, rngs=rngs), nnx.Param(jnp.ones(6))
        self.up = nnx.Linear(6, 7, use_bias=False, rngs=rngs)


def test_stacks_of_flax_are_found() -> None:
    def shapes(scanned: bool) -> Any:
        return jax.eval_shape(LinenStack(scanned).init, jax.random.key(0), jnp.ones((5, 6)))["params"]

    scanned, unrolled = shapes(True), shapes(False)
    assert set(jax.tree.leaves(layer_axes(unrolled))) == {0}
    assert set(jax.tree.leaves(layer_axes(scanned)["blocks"])) == {1}
    assert set(jax.tree.leaves(layer_axes(scanned)["out"])) == {0}
    for rule in (decay_mask, orthogonalised):
        assert rule(scanned)["blocks"] == rule(unrolled)["block1"]
    assert orthogonalised(scanned)["blocks"]["Dense_0"] == {"kernel": True, "bias": False}
    made = nnx.vmap(lambda key: NNXBlock(nnx.Rngs(params=key)))
    blocks = nnx.eval_shape(lambda: made(jax.random.split(jax.random.key(0), 3)))
    stack = nnx.to_pure_dict(nnx.state(blocks, nnx.Param))
    assert set(jax.tree.leaves(layer_axes({"blocks": stack}))) == {1}
    assert decay_mask(stack) == {"gain": False, "norm": {"scale": False}, "up": {"kernel": True}}
    undecided = {"up": stack["up"], "gain": stack["gain"]}  # neither a bias nor a scale tells
    assert set(jax.tree.leaves(layer_axes(undecided))) == {0}


def test_names_decide_what_decays() -> None:
    matrix, vector = np.ones((2, 3)), np.ones(3)
    params = {
        "attention": {"query": {"kernel": np.ones((4, 2, 3)), "bias": matrix}},
        "LayerNorm_0": {"scale": matrix, "weight": vector},
        "embed": {"embedding": matrix},
        "table": matrix,
        "gain": vector,
    }
    chosen = {"attention/query/kernel", "embed/embedding", "table"}
    seen = jax.tree_util.tree_leaves_with_path(decay_mask(params))
    assert {"/".join(key.key for key in path) for path, decays in seen if decays} == chosen
    assert jax.tree.leaves(decay_mask(params, ("LayerNorm_0/*",))).count(True) == 2
    words = "attention/query/kernel, embed/embedding, table, on none of the 4 others"
    assert names_in_words(decay_mask(params)) == words
    assert AdamW().treatment(params) == (f"weight decay 0.1 on {words}",)
    assert AdamW(weight_decay=0.0).treatment(params) == ()
    assert Muon(weight_decay=0.0).treatment(params) == ("Muon on table, on none of the 6 others",)
    assert orthogonalised(params)["table"]
    assert not orthogonalised(params)["embed"]["embedding"]


def half_way(step: Any, length: Any) -> Any:
    return jnp.where(2 * step < length, 1.0, 0.25)


CLOSED_FORMS: dict[Any, Callable[[float], float]] = {
    "constant": lambda step: 1.0,
    "linear": lambda step: 1 - 0.9 * (step - 10) / 90,
    "wsd": lambda step: 1 - 0.9 * max(0.0, step - 82) / 18,
    "inverse_sqrt": lambda step: math.sqrt(10 / step),
    half_way: lambda step: 1.0 if step < 50 else 0.25,
}


@pytest.mark.parametrize("schedule", CLOSED_FORMS, ids=lambda each: getattr(each, "__name__", each))
def test_schedules_equal_their_closed_forms(schedule: Any) -> None:
    optimizer = SGD(schedule=schedule, warmup=10, final=0.1)
    for step in (0, 5, 10, 11, 49, 50, 80, 82, 83, 99, 100):
        expected = step / 10 if step < 10 else CLOSED_FORMS[schedule](step)
        assert float(optimizer.relative_rate(jnp.int32(step), jnp.float32(100))) == pytest.approx(
            expected, rel=1e-5
        )


def adafactor(steps: int) -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(CLIP), optax.adafactor(optax.linear_schedule(RATE, 0.0, steps))
    )


def test_an_optax_function_is_used_as_it_is() -> None:
    seen = trained(recipe(Optax(adafactor)), [7, 3])
    for place, seed in enumerate((7, 3)):
        expected = jax.tree.leaves(alone(adafactor(STEPS), seed))
        assert distance(seed_of(seen, place), expected) < 2e-5


def test_what_nothing_tells_apart_is_rejected() -> None:
    rate = 0.1

    def closure(steps: int) -> optax.GradientTransformation:
        return optax.sgd(rate)

    for bad, why in ((lambda steps: optax.sgd(0.1), "a lambda"), (closure, "closes over variables")):
        with pytest.raises(ValueError, match=why):
            Optax(bad)
    with pytest.raises(ValueError, match=r"functools\.partial"):
        Optax(functools.partial(adafactor))
    with pytest.raises(ValueError, match="optimizer is an optax transformation: give a function of"):
        Optax(optax.adam(1e-3))
    with pytest.raises(ValueError, match=r"optimizer='adam': must be an optimizer such as AdamW\(\), or"):
        Optax("adam")


def of_step(step: Any) -> Any:
    return step


def branching(step: Any, length: Any) -> Any:
    return 1.0 if step < length else 0.0


def pair_of(step: Any, length: Any) -> Any:
    return jnp.stack([step / length, 1.0])


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("cosin", "schedule='cosin': must be one of cosine, linear"),
        (of_step, r"schedule: under jax.jit TypeError: of_step\(\) takes 1 positional argument"),
        (branching, r"schedule: under jax.jit TracerBoolConversionError: .*test_optimizer.py, line \d+\)$"),
        (pair_of, "schedule: must return one number, the share of the peak learning rate"),
    ],
)
def test_what_is_no_schedule_is_rejected(schedule: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        AdamW(schedule=schedule)


def test_patterns_that_match_nothing_are_rejected() -> None:
    params = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}
    assert AdamW(decayed=("*kernel",)).decay_mask(params) == {"kernel": True, "bias": False}
    with pytest.raises(ValueError, match=r"decayed: '\*kernal' matches none of the weights bias, kernel"):
        AdamW(decayed=("*bias", "*kernal")).decay_mask(params)
    with pytest.raises(ValueError, match=r"decayed='\*kernel': give a tuple of patterns, as in"):
        AdamW(decayed="*kernel")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "fields", "why"),
    [
        (SGD, {"momentum": 1.0}, r"momentum=1.0: must lie in \[0, 1\)"),
        (Lion, {"beta2": -0.1}, r"beta2=-0.1: must lie in \[0, 1\)"),
        (Muon, {"clip": 0.0}, "clip=0.0: must be positive"),
        (Adam, {"learning_rate": math.nan}, "learning_rate=nan: must be positive"),
    ],
)
def test_fields_are_checked(kind: Any, fields: dict[str, float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        kind(**fields)


def test_a_program_is_shared_by_learning_rates_and_lengths_alone() -> None:
    one = AdamW(learning_rate=0.1, weight_decay=0.2, horizon=1.5)
    assert one.compiled_part(10) == AdamW().compiled_part(20)
    assert one.compiled_part(10) != AdamW(beta2=0.9).compiled_part(10)
    assert Optax(adafactor).compiled_part(10) != Optax(adafactor).compiled_part(20)
    assert dataclasses.replace(one, schedule="wsd").compiled_part(10) != one.compiled_part(10)
