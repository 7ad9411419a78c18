"""Rules that stop seeds: against brute force, as text, and what training and folders make of them."""

import dataclasses
import math

import jax
import numpy as np
import polars as pl
import pytest

from chunks import run_chunk
from jaxemerge import Above, Below, Experiment, Patience, paired, train
from jaxemerge.runner import train as training
from jaxemerge.runner.jobs import common, jobs
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.scores import Evaluation, Progress, measured
from jaxemerge.runner.stopped import Stopped
from jaxemerge.runner.stopping import read_rules
from jaxemerge.runner.sweep import assigned
from jaxemerge.runner.tables import swept_columns
from jaxemerge.runner.tracking import summary
from own_models import Line
from small_cell import same, seed_of

# The bits of seeds with rules and without are to be those that users get.
pytestmark = pytest.mark.usefixtures("full_optimization")

KEYS = ("init_seed", "step", "split", "length", "metric")
STEPS = range(8)


def lasting(met, in_a_row):
    """Whether the last evaluations, so many, all met a condition; one seed."""
    return len(met) >= in_a_row and all(met[-in_a_row:])


def improves_no_more(scores, evaluations, min_delta):
    """Whether none of the last scores is better than all before, by the fields of a rule; one seed."""
    if len(scores) <= evaluations:
        return False
    before = max((each for each in scores[:-evaluations] if not math.isnan(each)), default=-math.inf)
    return not any(each > before + min_delta for each in scores[-evaluations:])


def brute_force(rule, values_EM):
    if isinstance(rule, Above):
        return lasting([all(value >= rule.value for value in test) for test in values_EM], rule.in_a_row)
    if isinstance(rule, Below):
        return lasting([all(value <= rule.value for value in test) for test in values_EM], rule.in_a_row)
    sign = 1 if rule.mode == "max" else -1
    means = [sign * sum(test) / len(test) for test in values_EM]
    return improves_no_more(means, rule.evaluations, rule.min_delta)


@pytest.mark.parametrize(
    "rule",
    [
        *(kind("loss", value, n) for kind in (Above, Below) for value in (0.25, 0.5) for n in (1, 2, 3)),
        *(Patience("loss", mode, n, d) for mode in ("min", "max") for n in (1, 2, 5) for d in (0.0, 0.3)),
    ],
    ids=str,
)
def test_rules_are_those_of_a_loop(rule):
    rng = np.random.default_rng(7)
    values = rng.integers(0, 5, (11, 2, 499)) / 4
    values[rng.random(values.shape) < 0.05] = np.nan
    seen = set()
    for e in range(1, 12):
        stops = rule.stops(values[:e])
        assert stops.tolist() == [brute_force(rule, values[:e, :, s].tolist()) for s in range(499)]
        seen |= set(stops.tolist())
    assert seen == {False, True}


def test_as_text_and_back():
    rules = (
        Above("exact_match", 1),
        Below("answer_nll", 0.1, in_a_row=2),
        Patience("my loss", "min", min_delta=0.5),
    )
    texts = [str(rule) for rule in rules]
    assert texts == [
        "Above('exact_match', 1.0)",
        "Below('answer_nll', 0.1, in_a_row=2)",
        "Patience('my loss', 'min', min_delta=0.5)",
    ]
    assert read_rules(", ".join(texts)) == rules
    assert read_rules("Above(exact_match, 1.0), Patience(train_loss, mode=min)") == (
        Above("exact_match", 1.0),
        Patience("train_loss", "min"),
    )
    assert read_rules("") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Over(exact_match, 1)", r"stop_when=Over\(exact_match, 1\): write rules such as Above"),
        ("Above(exact_match)", "write rules such as"),
        ("Above(exact_match, open('x'))", "write rules such as"),
        ("0.9", "write rules such as"),
        ("Above(exact_match, ", "write rules such as"),
        ("x] + [y", "write rules such as"),
        ("Above(3, 0.9)", "metric=3: must be the name of a metric"),
        ("Above(0.9)", "metric=0.9: must be the name of a metric"),
        ("Above(exact_match, high)", "value='high': must be a finite number"),
        ("Below(exact_match, 1e999)", "value=inf: must be a finite number"),
        ("Above(exact_match, 1, 0)", "in_a_row=0: must be a whole number of at least 1"),
        ("Patience(train_loss, least)", "mode='least': must be min or max"),
        ("Patience(train_loss, min, 2.5)", "evaluations=2.5: must be a whole number"),
        ("Patience(train_loss, min, min_delta=-1)", "min_delta=-1.0: must be at least 0"),
    ],
)
def test_what_is_wrong_is_said(text, message):
    with pytest.raises(ValueError, match=message):
        read_rules(text)


def test_part_of_an_experiment(tiny):
    rule, other = Above("exact_match", 0.9), Patience("train_loss", "min")
    ruled = dataclasses.replace(tiny, stop_when=rule)
    assert ruled.stop_when == (rule,)
    assert Experiment.from_json(ruled.to_json()) == ruled
    assert "stop_when" not in tiny.to_dict()
    assert swept_columns([tiny, ruled]) == {
        tiny.cell: {},
        ruled.cell: {"stop_when": "Above('exact_match', 0.9)"},
    }
    assert len({tiny.cell, ruled.cell, dataclasses.replace(tiny, stop_when=[rule, other]).cell}) == 3
    assert common(tiny) != common(ruled)
    [one] = assigned(tiny, ["stop_when=Above(exact_match, 0.9)"])
    assert one == ruled
    both = assigned(tiny, ["stop_when=[Above(exact_match, 0.9), Patience(train_loss, min)]"])
    assert [each.stop_when for each in both] == [(rule,), (other,)]
    for wrong in ("Above", 3, [rule, max]):
        with pytest.raises(ValueError, match="must be a rule, one of Above, Below, Patience"):
            dataclasses.replace(tiny, stop_when=wrong)


def test_a_metric_that_is_not_there_is_named_before_training(tiny):
    names = "exact_match, token_accuracy, answer_nll, train_loss, grad_norm"
    with pytest.raises(ValueError, match=f"stop_when: 'accuracy' is not a metric: must be one of {names}"):
        train(dataclasses.replace(tiny, stop_when=Above("accuracy", 1.0)), progress=False)
    lines = Experiment(Line(), steps=3, seeds=paired(range(2)), stop_when=Above("far", 1.0))
    with pytest.raises(ValueError, match="one of close, worst, train_loss, grad_norm"):
        train(lines, progress=False)


def test_seeds_that_diverged_are_not_stopped_and_stopped_ones_have_not_diverged():
    lines = Experiment(Line(), steps=9, seeds=paired(range(4)), stop_when=Below("worst", 1.0, 1))
    stopped, found = Stopped(lines, 4), []

    def see(step, worst, diverged):
        loss = np.where(diverged, np.nan, 0.1 * step)
        scores = {"close": np.full(4, step), "worst": np.array(worst)}
        seen = stopped.see(Progress(step, loss, Evaluation(step, scores, loss, loss, np.array(diverged))))
        found.append(seen.evaluation)

    see(1, [2.0, 2.0, 0.5, 2.0], [False] * 4)
    # Seed 2 is marked as training marks what it freezes; seed 0 has diverged, whatever it scores.
    see(2, [0.1, 0.9, 0.4, 2.0], [True, False, True, False])
    assert not stopped.all
    assert stopped.see(Progress(3, np.array([np.nan, np.nan, np.nan, 0.3]), None)).loss.tolist()[1:] == [
        0.2,
        0.1,
        0.3,
    ]
    see(4, [0.1, 0.9, 0.4, 0.8], [True, True, True, False])
    assert stopped.all
    assert [each.stopped_at.tolist() for each in found] == [[-1, -1, 1, -1], [-1, 2, 1, -1], [-1, 2, 1, 4]]
    assert found[-1].diverged.tolist() == [True, False, False, False]
    assert found[-1].scores["worst"].tolist() == [0.1, 0.9, 0.5, 0.8]
    assert found[-1].scores["close"].tolist() == [4, 2, 1, 4]
    np.testing.assert_array_equal(found[-1].train_loss, [np.nan, 0.2, 0.1, 0.4])


def losses(population):
    """[E, S] the larger loss of the two tests, at every evaluation."""
    return np.array(
        [
            np.max([one.values for one in measured(population.experiment, seen.scores)[2::3]], axis=0)
            for seen in population.evaluations
        ]
    )


@pytest.fixture(scope="module")
def free(tiny):
    """Without rules, with weights at every step."""
    every = dataclasses.replace(tiny, evaluations=tuple(STEPS))
    return train(every, chunk=2, keep_weights_at=tuple(STEPS), progress=False)


@pytest.fixture(scope="module")
def ruled(free):
    """With a rule that some seeds meet, at different steps."""
    value = float(np.quantile(losses(free).min(axis=0), 0.7))
    return dataclasses.replace(free.experiment, stop_when=Below("answer_nll", value, in_a_row=1))


@pytest.fixture(scope="module")
def stopped(ruled):
    return train(ruled, chunk=2, keep_weights_at=(6,), progress=False)


def test_a_stopped_seed_is_frozen_and_its_neighbours_train_as_without_rules(free, ruled, stopped):
    met = losses(free) <= ruled.stop_when[0].value
    expected = np.where(met.any(axis=0), met.argmax(axis=0), -1)
    assert len(set(expected.tolist())) >= 3
    assert -1 in expected
    assert stopped.evaluations[-1].stopped_at.tolist() == expected.tolist()
    assert f"{(expected >= 0).sum()} stopped by rules" in repr(stopped)
    for s, at in enumerate(expected):
        last = seed_of(free.kept[at if at >= 0 else 7], s)
        assert same(seed_of(stopped.params, s), last)
        if 0 <= at < 6:
            assert same(seed_of(stopped.kept[6], s), last)
    assert not any(seen.diverged.any() for seen in stopped.evaluations)


def test_rows_repeat_and_count_what_was_trained(tiny, free, stopped):
    without, rows = (each.frame().sort(KEYS) for each in (free, stopped))
    assert rows.columns == [*without.columns, "stopped_at"]
    at = dict(zip(range(5), stopped.evaluations[-1].stopped_at.tolist(), strict=True))
    values = {tuple(row[k] for k in KEYS): row["value"] for row in without.rows(named=True)}
    for row in rows.rows(named=True):
        trained = row["step"] if at[row["init_seed"]] < 0 else min(row["step"], at[row["init_seed"]])
        assert row["value"] == values[tuple({**row, "step": trained}[k] for k in KEYS)]
        assert row["tokens"] == trained * 2 * 13
        assert row["flops"] == row["tokens"] * tiny.model.training_flops_per_token(15, 13)
        assert row["stopped_at"] == (
            at[row["init_seed"]] if 0 <= at[row["init_seed"]] <= row["step"] else None
        )
    line = summary(stopped.experiment, stopped.evaluations[-1], 0.2)
    assert (line["stopped"], line["diverged"]) == (sum(step >= 0 for step in at.values()), 0)


@pytest.mark.parametrize("where", [1, 4])
def test_interrupted_and_in_a_folder_to_the_same_bits(ruled, stopped, tmp_path, where):
    store, lines = create_store(tmp_path, "tiny", [ruled]), []
    [job] = jobs([ruled], store, chunk=2)
    for progress in (running := run_chunk(job, job.chunks[0], store, interval=0)):
        if progress.step == where + 1:
            running.close()  # as a kill would
            break
    [job] = jobs([ruled], store, chunk=2)
    for seeds in job.chunks:
        for _ in run_chunk(job, seeds, store, say=lines.append, save_weights=True):
            pass
    assert f"from the checkpoint of step {where}" in lines[0]
    assert store.results().sort(KEYS).equals(stopped.frame().sort(KEYS))
    for seed, arrays in store.weights(ruled.cell):
        place = ruled.seeds.index(seed)
        assert arrays["embedding"].tobytes() == stopped.params["embedding"][place].tobytes()


def test_once_all_seeds_have_stopped_nothing_is_trained(tiny, free, monkeypatch):
    steps, population = [], training.train_population

    def spied(*args, **options):
        for snapshot in population(*args, **options):
            steps.append(snapshot.step)
            yield snapshot

    monkeypatch.setattr(training, "train_population", spied)
    all_stop = dataclasses.replace(free.experiment, stop_when=Below("answer_nll", 1e9, in_a_row=3))
    found = train(all_stop, chunk=2, keep_weights_at=(5,), progress=False)
    assert max(steps) == 2
    assert [seen.step for seen in found.evaluations] == list(STEPS)
    assert found.evaluations[-1].stopped_at.tolist() == [2] * 5
    for params in (found.params, found.kept[5]):
        assert same(*(list(map(np.asarray, jax.tree.leaves(tree))) for tree in (params, free.kept[2])))
    frame = found.frame().filter(pl.col("step") >= 2).drop("step").unique()
    assert frame.height == len(found.frame()) // len(STEPS)


def test_a_coupling_of_seeds_would_be_seen(free, ruled, monkeypatch):
    """The comparison of neighbours fails where a stop freezes the wrong seed."""
    freeze = Stopped.freeze

    def shifted(self, snapshot):
        frozen = freeze(self, snapshot)
        return frozen._replace(state=frozen.state._replace(diverged=np.roll(frozen.state.diverged, 1)))

    monkeypatch.setattr(Stopped, "freeze", shifted)
    wrong = train(ruled, chunk=2, progress=False)
    going = [s for s, at in enumerate(wrong.evaluations[-1].stopped_at) if at < 0]
    there, here = (each.params["embedding"][going] for each in (free, wrong))
    assert not np.array_equal(there, here)
