"""Models of the user's own: do they keep the contract, what do they cost, what do they write?"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from jaxemerge import Count, Model, check_model, flax_model, neox, paired
from jaxemerge.evaluation import generate, prompts
from jaxemerge.models import tracing
from own_models import APART, BAG, RECURRENT, Apart, Bag, Recurrent, Table

V, L = 11, 9
OWN = {"nnx": BAG, "linen": APART, "recurrent": RECURRENT, "by hand": Table(), "built-in": neox(1, 16, 2)}


@functools.cache
def shaken(name: str) -> Any:
    """Weights under which no two tokens are alike."""
    noise = np.random.default_rng(0)
    params = OWN[name].init(V, jax.random.key(3))
    return jax.tree.map(lambda leaf: leaf + 0.3 * noise.standard_normal(leaf.shape).astype("f4"), params)


@pytest.mark.parametrize("name", OWN)
def test_right_models_keep_the_contract(name: str) -> None:
    check = check_model(OWN[name], V, L)
    assert check == ()
    assert str(check) == f"keeps the contract; by default weight decay acts on {check.decayed}"


def test_weights_that_decay_are_listed_for_right_models_only() -> None:
    check = check_model(neox(1, 16, 2, tied=True), V, L)
    matrices = "attention/out", "attention/qkv", "mlp/down", "mlp/up"
    kernels = ", ".join(f"blocks/*/{part}/kernel" for part in matrices)
    assert check.decayed == f"{kernels}, embedding, on none of the 10 others"
    wrong = check_model(neox(1, 16, 2, positions="learned", max_positions=3), V, L)
    assert wrong.decayed == ""
    assert str(wrong) == wrong[0]


def test_the_fields_of_a_module_are_those_of_its_model() -> None:
    kind = flax_model(Bag)
    assert kind is flax_model(Bag)
    assert [field.name for field in dataclasses.fields(kind)] == ["width"]
    assert (kind(width=20), kind().width, kind(width=20).label) == (kind(20), 12, "Bag-width20")
    assert kind(20) != kind(21)
    assert kind(20) != flax_model(Apart)(20)
    assert BAG.sizes == {"depth": None, "width": 12}


def test_a_module_of_nnx_predicts_as_it_does_alone() -> None:
    tokens = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]], np.int32)
    key = jax.random.key(7)
    alone = Bag(V, rngs=nnx.Rngs(params=key))
    params = BAG.init(V, key)
    expected = np.stack([alone(row) for row in tokens])
    assert np.allclose(BAG.apply(V, params, tokens, 0 * tokens), expected, atol=1e-6)


def test_a_module_of_linen_is_told_what_belongs_together() -> None:
    """A window of two examples is predicted as each of them is alone; unless it is told otherwise."""
    params = shaken("linen")
    tokens = np.array([[3, 1, 4, 1, 5, 9]], np.int32)
    apply = functools.partial(APART.apply, V, params)
    both = apply(tokens, np.array([[0, 0, 0, 1, 1, 1]], np.int32))
    halves = [apply(part, 0 * part) for part in np.split(tokens, 2, axis=1)]
    assert np.allclose(both, np.concatenate(halves, axis=1), atol=1e-6)
    assert np.abs(both - apply(tokens, 0 * tokens))[:, 3:].max() > 0.1


def test_costs_by_hand() -> None:
    # embedding 11 x 12; hidden 12 x 24 and 24 biases; out 24 x 11 and 11 biases
    assert BAG.total_parameters(V) == 11 * 12 + 12 * 24 + 24 + 24 * 11 + 11
    assert BAG.non_embedding_parameters(V) == 12 * 24 + 24
    assert BAG.training_flops_per_token(V, L) == 6 * (12 * 24 + 24 * 11)
    assert Table().training_flops_per_token(V, L) == 2 * V * V / L  # no product: two per weight and window


def test_costs_of_the_transformer_are_those_of_its_formulas() -> None:
    spec = neox(2, 64, 2)
    assert Model.non_embedding_parameters(spec, V) == spec.non_embedding_parameters(V)
    assert Model.total_parameters(spec, V) == spec.total_parameters(V)
    found, formula = Model.training_flops_per_token(spec, V, 32), spec.training_flops_per_token(V, 32)
    assert formula <= found < 1.02 * formula  # sums over rows and the embedding's gradient are products, too
    found, formula = Model.activation_bytes(spec, V, 8, 32), spec.activation_bytes(V, 8, 32)
    assert found == pytest.approx(formula, rel=0.3)


def test_products_in_loops_and_branches_count_for_every_turn() -> None:
    a, b = jnp.ones((3, 5)), jnp.ones((5, 5))

    def scanned(a: Any, b: Any) -> Any:
        return jax.lax.scan(lambda x, _: (x @ b, None), a, length=7)[0]

    def branched(a: Any, b: Any) -> Any:
        return jax.lax.cond(a[0, 0] > 0, lambda: a @ b @ b, lambda: a @ b)

    one = 2.0 * 3 * 5 * 5
    assert tracing.products(jax.jit(scanned), a, b) == 7 * one
    assert tracing.products(branched, a, b) == 2 * one
    assert tracing.products(jax.vmap(jnp.dot), jnp.ones((4, 3, 5)), jnp.ones((4, 5, 5))) == 4 * one
    image, kernel = jnp.ones((2, 3, 8, 8)), jnp.ones((4, 3, 5, 5))  # 4 x 4 places, 3 x 5 x 5 each, 4 out
    convolve = functools.partial(jax.lax.conv, window_strides=(1, 1), padding="VALID")
    assert tracing.products(convolve, image, kernel) == 2.0 * 2 * 4 * 4 * 4 * 3 * 5 * 5


@pytest.mark.parametrize("name", ["nnx", pytest.param("recurrent", marks=pytest.mark.slow)])
def test_writes_what_its_whole_texts_predict(name: str) -> None:
    """Greedy texts, token by token in plain Python."""
    task, model = Count(9, 5, (3, 5)), OWN[name]
    v = task.vocabulary
    params = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *(model.init(v, jax.random.key(k)) for k in (1, 2))
    )
    asked = prompts(task.evaluation_sets()).take([0, 5, 9])
    texts = generate(task, model, params, paired([1, 2]), asked).tokens[:, :, 0]
    predict = jax.jit(lambda p, t: model.apply(v, p, t, 0 * t))
    for seed in range(2):
        own = jax.tree.map(lambda leaf, seed=seed: leaf[seed], params)
        for item, text in enumerate(texts[seed]):
            expected = asked.tokens[item].copy()
            for t in range(1, len(expected)):
                if asked.writes[item, t]:
                    expected[t] = int(np.argmax(predict(own, expected[None])[0, t - 1]))
                    if expected[t] == task.end:
                        break
            assert np.array_equal(text[: t + 1], expected[: t + 1])


class Changed(Bag):
    """What a module may do wrong, one thing at a time."""

    def __call__(self, tokens: jax.Array) -> jax.Array:
        logits = super().__call__(tokens)
        return {
            "short": lambda: logits[:, :-1],
            "ids": lambda: jnp.argmax(logits, -1),
            "pair": lambda: (logits, logits),
            "whole": lambda: jnp.round(logits).astype(jnp.int32),
            "infinite": lambda: logits / jnp.zeros(()),
            "ahead": lambda: logits[::-1],
            "wrong": lambda: logits @ jnp.ones((3, 3)),
            "random": lambda: logits * np.random.default_rng().normal(),
            "state": lambda: logits * next(TRACES),
            "table": lambda: logits + jnp.where(jnp.arange(len(tokens)) < 70, 0.0, jnp.nan)[:, None],
        }[FAULT]()


FAULT = ""
TRACES = itertools.count(1)


def test_positions_that_it_does_not_know_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FAULT", "table")
    model = flax_model(Changed)()
    assert check_model(model, V, 70) == ()
    [problem] = check_model(model, V, 71)
    assert problem == (
        "for 71 tokens its logits are not finite, for 64 they are: it will read as many; mind the size of "
        "tables of positions"
    )


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("random", "it predicts otherwise when it is traced anew: use no randomness or state but its"),
        ("state", "it predicts otherwise when it is traced anew"),
        ("short", "for 9 tokens it returns [9, 10]: return logits [9, 11]"),
        ("ids", "for 9 tokens it returns [9]: return logits [9, 11]"),
        ("pair", "for 9 tokens it returns tuple: return logits [9, 11]"),
        ("whole", "its logits are int32: return floats"),
        ("infinite", "its logits are not finite for initial weights"),
        ("ahead", "its predictions at the first 4 positions change with later tokens"),
        ("wrong", "test_own.py, line"),
    ],
)
def test_wrong_predictions_are_named(fault: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FAULT", fault)
    [problem] = check_model(flax_model(Changed)(), V, L)
    assert message in problem


class Normed(Bag):
    def __init__(self, vocabulary: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(vocabulary, rngs=rngs)
        self.norm = nnx.BatchNorm(3, rngs=rngs)


class Dropped(Bag):
    def __init__(self, vocabulary: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(vocabulary, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)


class LinenNormed(linen.Module):
    vocabulary: int

    @linen.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = linen.Embed(self.vocabulary, self.vocabulary)(tokens)
        return linen.BatchNorm(use_running_average=False)(x)


class LinenDropped(linen.Module):
    vocabulary: int

    @linen.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = linen.Embed(self.vocabulary, self.vocabulary)(tokens)
        return linen.Dropout(0.1, deterministic=False)(x)


@dataclass(frozen=True)
class Listed(Table):
    sizes_of: Any = (1, {})


@dataclass(frozen=True)
class Odd(Table):
    sizes_of: Any = (1, 1j)


class Loose(Table):
    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Weights(Table):
    fault: str = ""

    def init(self, vocabulary: int, key: jax.Array) -> Any:
        right = super().init(vocabulary, key)
        return {
            "none": lambda: {},
            "whole": lambda: right | {"table": jnp.arange(3)},
            "infinite": lambda: right | {"table": jnp.full(3, jnp.nan)},
            "random": lambda: {"logits": jnp.asarray(np.random.default_rng().normal(size=(V, V)))},
            "wrong": lambda: right["missing"],
        }[self.fault]()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (flax_model(Normed)(), "Normed holds BatchStat: nothing but nnx.Param is kept"),
        (flax_model(Dropped)(), "Dropped holds dropout: nothing but nnx.Param is kept"),
        (flax_model(LinenNormed)(), "LinenNormed holds batch_stats beside its weights"),
        (
            flax_model(LinenDropped)(),
            "LinenDropped draws random numbers in its predictions: they must follow",
        ),
        (Listed(), "Listed is not hashable: use @dataclass(frozen=True), and tuples for lists"),
        (Loose(), "Loose is not hashable"),
        (Odd(), "field sizes_of holds (1, 1j), which cannot be written into a results folder"),
        (Table, "Table is a class: give a model of it, as Table()"),
        (Bag, "Bag is a class: give a model of it, as jaxemerge.flax_model(Bag)()"),
        (object(), "object is no Model: subclass jaxemerge.Model"),
        (Weights(fault="none"), "init returns no weights: there is nothing to train"),
        (Weights(fault="whole"), "init's weights['table'] are int32: use floats"),
        (Weights(fault="infinite"), "init's weights['table'] are not finite"),
        (Weights(fault="random"), "init gives other weights for the same key"),
        (Weights(fault="wrong"), "KeyError: 'missing' ("),
    ],
)
def test_wrong_models_are_refused_with_the_reason(model: Any, message: str) -> None:
    [problem] = check_model(model, V, L)
    assert message in problem


class Nothing(nnx.Module):
    pass


class Tokens(nnx.Module):
    def __init__(self, size: int, *, rngs: nnx.Rngs) -> None:
        del size, rngs


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Count, "is no class of Flax modules"),
        (BAG, "is no class of Flax modules"),
        (Tokens, "Tokens takes size, rngs: it must take vocabulary, too"),
        (Nothing, "it must take vocabulary, too"),
    ],
)
def test_a_module_that_makes_no_model_is_refused(module: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flax_model(module)


def test_recurrent_cells_hold_keys_that_decide_nothing() -> None:
    tokens = np.array([[3, 1, 4]], np.int32)
    key = jax.random.key(5)
    alone = Recurrent(V, rngs=nnx.Rngs(key))
    seen = RECURRENT.apply(V, RECURRENT.init(V, key), tokens, 0 * tokens)
    assert np.allclose(seen[0], alone(tokens[0]), atol=1e-6)
