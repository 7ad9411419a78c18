"""Metrics of the user's own: against the library's and NumPy's, interrupted, tracked, and what is wrong."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from chunks import run_chunk
from jaxemerge import Experiment, Objective, neox, train
from jaxemerge.analysis import final_values
from jaxemerge.runner.jobs import common, jobs
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.scores import check_metrics
from jaxemerge.runner.tracking import flat, summary
from jaxemerge.tasks import BUILT_IN, Corpus, TaskMixture
from own_models import Line

KEYS = ("init_seed", "step", "split", "length", "metric")


def again(apply, params, items):
    """Exact match by another way, and the mean of all logits."""
    logits = apply(params, items.tokens)
    right = jnp.argmax(logits[:, :-1], axis=-1) == items.tokens[:, 1:]
    return {"whole": jnp.all(right | ~items.scored[:, 1:], axis=1), "mean_logit": jnp.mean(logits)}


@dataclasses.dataclass(frozen=True)
class Norm:
    """Of all weights, to a power."""

    power: float = 1.0

    def __call__(self, apply, params, items):
        return {"norm": sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)) ** (self.power / 2)}


def one_of(params, i):
    return jax.tree.map(lambda leaf: leaf[i], params)


@pytest.fixture(scope="module")
def measured(tiny):
    return dataclasses.replace(tiny, metrics=[again, Norm()])


@pytest.fixture(scope="module")
def whole(measured):
    return train(measured, chunk=2, progress=False)


def test_rows_are_right(tiny, population, whole):
    rows = whole.frame()
    assert (
        rows.filter(pl.col("metric").is_in(population.frame()["metric"].unique()))
        .drop("cell")
        .equals(population.frame().drop("cell"))
    )
    whole_rows, exact = (
        rows.filter(pl.col("metric") == name).sort(KEYS).select("step", "length", "trials", "value")
        for name in ("whole", "exact_match")
    )
    assert whole_rows.equals(exact)
    final = rows.filter(pl.col("step") == tiny.steps, pl.col("length") == 5).sort("init_seed")
    squares = [np.sum(np.float64(x.reshape(5, -1)) ** 2, axis=1) for x in jax.tree.leaves(whole.params)]
    norms = final.filter(pl.col("metric") == "norm")["value"]
    np.testing.assert_allclose(norms, np.sqrt(sum(squares)), rtol=1e-5)
    tokens = tiny.task.evaluation_sets()[1].tokens
    logits = [
        np.mean(tiny.model.apply(tiny.task.vocabulary, one_of(whole.params, i), tokens, 0 * tokens))
        for i in range(5)
    ]
    np.testing.assert_allclose(
        final.filter(pl.col("metric") == "mean_logit")["value"], logits, rtol=1e-4, atol=1e-6
    )
    assert final_values(rows, "norm").table["mean"].is_not_null().all()


def test_interrupted_and_in_a_folder_to_the_same_bits(measured, whole, tmp_path):
    store = create_store(tmp_path, "tiny", [measured])
    [job] = jobs([measured], store, chunk=2)
    for progress in (running := run_chunk(job, job.chunks[0], store, interval=0)):
        if progress.step == measured.steps:
            running.close()  # as a kill would
            break
    lines = []
    [job] = jobs([measured], store, chunk=2)
    for seeds in job.chunks:
        for _ in run_chunk(job, seeds, store, say=lines.append):
            pass
    assert "resuming from the checkpoint of step 3" in lines[0]
    assert store.results().sort(KEYS).equals(whole.frame().sort(KEYS))


def test_trackers_see_medians(measured, whole):
    line = summary(measured, whole.evaluations[-1], 0.2)
    line |= {"seconds": 0.0, "seed_steps_per_second": None}
    seen = flat(line)
    last = whole.frame().filter(pl.col("step") == measured.steps, pl.col("length") == 3)
    values = last.filter(pl.col("metric") == "norm")
    assert seen["norm/test/length3"] == pytest.approx(values["value"].median())
    assert {"whole/test/length5", "mean_logit/test/length3"} <= seen.keys()


def test_identity(tiny, measured):
    cells = [tiny, measured, *(dataclasses.replace(tiny, metrics=[Norm(p)]) for p in (1.0, 2.0))]
    assert len({cell.cell for cell in cells}) == 4
    assert len({common(cell) for cell in cells}) == 4
    fields = measured.to_dict()
    assert fields["metrics"] == ("again", {"kind": "Norm", "power": 1.0})
    assert "test_own_metrics.py" in fields["code"]
    assert Experiment.from_json(measured.to_json(), metrics=[Norm(), again]) == measured
    with pytest.raises(ValueError, match=r"metrics: 'again' is not saved .*: give metrics=\[again\]"):
        Experiment.from_json(measured.to_json(), metrics=[Norm()])


@pytest.mark.parametrize("kind", [each for each in BUILT_IN if each not in (Corpus, TaskMixture)])
def test_every_task_can_be_measured(kind):
    """Those whose evaluation sets are drawn with JAX included."""
    task = kind()
    experiment = Experiment(task, neox(1, 8, 1), context=task.max_length, metrics=again)
    assert check_metrics(experiment) == ()


def fails(apply, params, items):
    return {"x": params["nothing"]}


def odd(apply, params, items):
    return {"train_loss": 1.0}


def wide(apply, params, items):
    return {"wide": items.tokens}


def bare(apply, params, items):
    return 1.0


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (
            fails,
            r"metrics: fails fails under jax.jit: KeyError: 'nothing' \(.*own_metrics.py, line \d+\)",
        ),
        (bare, "metrics: bare fails under jax.jit: TypeError: bare returned float: return a dict of named"),
        (odd, "metrics: odd has a metric 'train_loss': use letters, digits and _, but none of train_loss"),
        (wide, r"metrics: wide's wide is int32\[7, 10\]: return one number, or one bool per item"),
    ],
)
def test_errors_are_one_line(tiny, metric, message):
    with pytest.raises(ValueError, match=message):
        train(dataclasses.replace(tiny, metrics=[metric]))


def test_what_no_name_tells_apart(tiny):
    assert dataclasses.replace(tiny, metrics=again).metrics == (again,)
    for wrong in ("again", 3):
        with pytest.raises(
            ValueError, match=f"metrics={wrong!r}: must be a function, or a list of functions"
        ):
            dataclasses.replace(tiny, metrics=wrong)
    with pytest.raises(ValueError, match="metrics is a lambda: give a named function"):
        dataclasses.replace(tiny, metrics=[lambda apply, params, items: {}])
    assert isinstance(Line(), Objective)
    with pytest.raises(ValueError, match="is an objective: its metrics are those of score"):
        Experiment(Line(), metrics=[again])
