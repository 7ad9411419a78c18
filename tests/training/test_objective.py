"""Objectives of the user's own: trained as a loop in float64 says, whoever trains beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxemerge import AdamW, Experiment, check_objective, crossed, pair, paired, train
from jaxemerge.devices import Layout
from jaxemerge.training import cost_of, make_plan, program
from jaxemerge.training.search import planned_by_search
from jaxemerge.training.step import data_key, init_key
from own_models import APART, BAG, Line
from small_cell import CELL, distance, of, run, same

RECIPE = {"optimizer": AdamW(0.05, warmup=3, final=0.1, clip=1.8, weight_decay=0.2), "steps": 29}
SEEDS = crossed([4, 7], [7, 9, 1])
WANTED = {"evaluations": (13, 29), "seeds": SEEDS}


@pytest.fixture(scope="module")
def population() -> Any:
    return train(Experiment(Line(), **RECIPE, **WANTED))


def by_hand(objective: Line, init_seed: int, data_seed: int, steps: int) -> dict[str, np.ndarray]:
    """AdamW with clipping (Loshchilov and Hutter 2019, algorithm 2) in float64, on the same draws."""
    own = RECIPE["optimizer"]
    drawn = objective.init(init_key(jnp.uint32(init_seed)))
    p = np.append(np.asarray(drawn["weight"], np.float64), float(drawn["bias"]))
    x, y = (np.asarray(part, np.float64) for part in objective.points())
    x1 = np.hstack([x, np.ones((len(x), 1))])
    m, v = np.zeros(4), np.zeros(4)
    for t in range(steps):
        key = data_key(jnp.uint32(data_seed), t)
        which = np.asarray(jax.random.choice(key, len(x), (objective.rows,)))
        gradient = 2 * x1[which].T @ (x1[which] @ p - y[which]) / len(which)
        gradient *= min(1.0, own.clip / np.linalg.norm(gradient))
        m = own.beta1 * m + (1 - own.beta1) * gradient
        v = own.beta2 * v + (1 - own.beta2) * gradient**2
        m_hat, v_hat = m / (1 - own.beta1 ** (t + 1)), v / (1 - own.beta2 ** (t + 1))
        rate = own.learning_rate * float(own.relative_rate(t, RECIPE["steps"]))
        p = p - rate * m_hat / (np.sqrt(v_hat) + own.epsilon)  # only matrices decay
    return {"weight": p[:3], "bias": p[3]}


def test_weights_are_those_of_a_plain_loop(population: Any) -> None:
    for i, (init, data) in enumerate(SEEDS):
        expected = by_hand(Line(), init, data, 29)
        for name, value in expected.items():
            assert np.allclose(population.params[name][i], value, rtol=2e-5, atol=2e-6), (init, data, name)
    other = by_hand(Line(), SEEDS[0][0], SEEDS[0][1] + 1, 29)  # another data seed is told apart
    assert np.abs(population.params["weight"][0] - other["weight"]).max() > 1e-2


def test_a_seed_alone_is_a_seed_among_many(population: Any) -> None:
    alone = train(Experiment(Line(), **RECIPE, evaluations=(13, 29), seeds=SEEDS[4:5]))
    for own, many in zip(jax.tree.leaves(alone.params), jax.tree.leaves(population.params), strict=True):
        assert own[0].tobytes() == many[4].tobytes()


def test_rows_are_those_of_the_schema(population: Any) -> None:
    import polars as pl

    rows = population.frame()
    assert len(rows) == 3 * 6 * 4
    x, y = (np.asarray(part, np.float64) for part in Line().points())
    for i, (init, data) in enumerate(SEEDS):
        error = np.abs(x @ population.params["weight"][i] + population.params["bias"][i] - y)
        own = rows.filter(pl.col("init_seed") == init, pl.col("data_seed") == data, pl.col("step") == 29)
        found = {row["metric"]: row for row in own.iter_rows(named=True)}
        assert found["close"]["value"] == np.mean(error < 0.3)
        assert (found["close"]["trials"], found["worst"]["trials"]) == (23, None)
        assert found["worst"]["value"] == pytest.approx(error.max(), rel=1e-5)
        assert found["close"]["split"] == "test"
    row = rows.row(-1, named=True)
    assert (row["task"], row["depth"], row["width"], row["parameters"]) == ("line", None, None, 4)
    assert row["tokens"] is None
    assert row["flops"] == 29 * 2 * (2 * 5 * 3)  # x w forward, x^T g backward


def test_a_pair_of_functions_is_trained_like_a_class(population: Any) -> None:
    line = Line()
    same = train(Experiment(pair(line.init, line.loss, line.score, name="line"), **RECIPE, **WANTED))
    for one, other in zip(jax.tree.leaves(same.params), jax.tree.leaves(population.params), strict=True):
        assert one.tobytes() == other.tobytes()


def test_diverged_members_are_flagged() -> None:
    def loss(params: Any, key: Any) -> Any:
        return jnp.log(params["x"])  # towards minus infinity, and beyond 0 to NaN

    objective = pair(lambda key: {"x": jnp.ones(())}, loss, lambda params: {"ok": jnp.ones(3, bool)})
    found = train(
        Experiment(objective, optimizer=AdamW(0.5, warmup=0), steps=20, seeds=paired([1]))
    ).evaluations[-1]
    assert found.diverged.all()


def right(key: Any) -> Any:
    return {"x": jnp.ones(3)}


def square(params: Any, key: Any) -> Any:
    return jnp.sum(params["x"] ** 2)


@dataclass(frozen=True)
class Field(Line):
    extra: Any = 1j


class Loose(Line):
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (object(), "object is no Objective: subclass jaxemerge.Objective, or make one with jaxemerge.pair"),
        (Loose(), "Loose is not hashable: use @dataclass(frozen=True)"),
        (Field(), "field extra holds 1j, which cannot be written into a results folder"),
        (pair(right, square, name="a b"), "name is 'a b': it names folders"),
        (pair(lambda key: {}, square), "init returns no weights"),
        (pair(lambda key: {"x": jnp.arange(3)}, square), "init's weights['x'] are int32: use floats"),
        (
            pair(lambda key: {"x": jnp.ones(3, jnp.bfloat16)}, square),
            "init's weights['x'] are bfloat16: keep weights in float32, and convert them where they are used",
        ),
        (
            pair(right, lambda p, key: square(p, key).astype(jnp.float16)),
            "loss returns float16: return it in float32",
        ),
        (pair(lambda key: {"x": jnp.full(3, jnp.inf)}, square), "init's weights['x'] are not finite"),
        (pair(lambda: 1, square), "init(key) fails under jax.jit: TypeError"),
        (
            pair(lambda key: {"x": jnp.asarray(np.random.default_rng().normal(size=3))}, square),
            "init gives other weights for the same key",
        ),
        (
            pair(right, lambda p, key: p["x"]),
            "loss returns float32[3]: return one number, for example a mean",
        ),
        (pair(right, lambda p, key: p), "loss returns dict: return one number"),
        (pair(right, lambda p, key: p["y"]), "loss(params, key) fails under jax.jit: KeyError: 'y' ("),
        (
            pair(right, lambda p, key: square(p, key) * np.random.default_rng().normal()),
            "loss is another when it is traced anew: use no randomness or state but the weights and the key",
        ),
        (pair(right, lambda p, key: jnp.log(-jnp.sum(p["x"]))), "loss is nan for initial weights"),
        (
            pair(right, lambda p, key: jnp.sum(jnp.sqrt(p["x"] - 1))),
            "loss has a gradient that is not finite for initial weights",
        ),
        (pair(right, square, lambda p: 1.0), "score returns ShapeDtypeStruct: return a dict"),
        (pair(right, square, lambda p: {"a b": 1.0}), "score has a metric 'a b': use letters, digits and _"),
        (pair(right, square, lambda p: {"train_loss": 1.0}), "score has a metric 'train_loss'"),
        (
            pair(right, square, lambda p: {"each": p["x"]}),
            "score's each is float32[3]: return one number, or one bool per item of a test",
        ),
        (pair(right, square, lambda p: {"x": p["y"]}), "score(params) fails under jax.jit: KeyError: 'y' ("),
    ],
)
def test_wrong_objectives_are_refused_with_the_reason(objective: Any, message: str) -> None:
    problems = check_objective(objective)
    assert message in problems[0]
    assert len(problems) == 1


def test_right_objectives_keep_the_contract() -> None:
    assert check_objective(Line()) == ()
    assert check_objective(pair(right, square)) == ()


def test_an_objective_takes_the_place_of_task_and_model() -> None:
    from jaxemerge import Count, neox

    with pytest.raises(ValueError, match="model: line is an objective and is trained without a model"):
        Experiment(Line(), neox(1, 16, 2))
    with pytest.raises(ValueError, match="model=None: count is a task and needs a model that learns it"):
        Experiment(Count())
    with pytest.raises(ValueError, match="objective line: loss returns"):
        train(Experiment(pair(right, lambda p, key: p["x"], name="line"), steps=1))
    with pytest.raises(ValueError, match="line is an objective: it has no items"):
        Experiment(Line()).language()
    assert cost_of(Experiment(Line())).total_parameters == 4


@pytest.mark.parametrize("recipe", [replace(CELL, model=BAG), Experiment(Line(), **RECIPE)])
def test_plans_keep_to_memory(recipe: Any) -> None:
    devices = tuple(jax.local_devices()[:1])
    formula = make_plan(recipe, 4, devices=devices)
    assert formula.bytes > 12 * cost_of(recipe).total_parameters * 4
    with pytest.raises(ValueError, match=r"memory=1e-06 GB is too little: one seed needs about"):
        make_plan(recipe, 4, devices=devices, memory=1000)


def test_a_width_is_found_and_side_by_side_is_the_same() -> None:
    recipe, devices = Experiment(Line(), **RECIPE), tuple(jax.local_devices()[:1])
    found = planned_by_search(recipe, make_plan(recipe, 4, devices=devices), search=True)
    assert (found.source, found.chunk) == ("search", 4)
    alone, beside = (run(program(recipe, Layout(devices, width)), of([5, 7, 2, 9]), 7) for width in (1, 4))
    assert distance(jax.tree.leaves(beside[0].params), jax.tree.leaves(alone[0].params)) < 1e-5


@pytest.mark.usefixtures("full_optimization_once")
@pytest.mark.parametrize("model", [BAG, pytest.param(APART, marks=pytest.mark.slow)])
def test_a_model_of_ones_own_is_the_same_alone_and_among_many(model: Any) -> None:
    built = program(replace(CELL, model=model), Layout(tuple(jax.local_devices()[:1]), 1))
    many, alone, other = (
        jax.tree.leaves(run(built, of(seeds), 5)[0].params) for seeds in ([4, 7, 9], [7], [8])
    )
    assert same([leaf[1] for leaf in many], [leaf[0] for leaf in alone])
    assert not same([leaf[1] for leaf in many], [leaf[0] for leaf in other])
