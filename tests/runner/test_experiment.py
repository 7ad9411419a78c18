"""Experiments: validation, evaluation schedule, JSON, stable ids."""

import dataclasses
import itertools
import json

import numpy as np
import optax
import pytest

from jaxemerge import (
    SGD,
    Adam,
    AdamW,
    Count,
    Experiment,
    Lion,
    Muon,
    Optax,
    Transformer,
    crossed,
    llama,
    neox,
    paired,
)
from jaxemerge.evaluation import PassUntil
from jaxemerge.runner import experiment as module
from jaxemerge.runner import identity as ids
from jaxemerge.runner.experiment import log_spaced
from jaxemerge.tasks import (
    BUILT_IN,
    Addition,
    Composition,
    InContext,
    Markov,
    Modular,
    Parity,
    Recall,
    Rewrite,
    SparseParity,
    TaskMixture,
)
from jaxemerge.training.optimizer import BUILT_IN_OPTIMIZERS
from own_models import Bag


def small(**changes):
    fields = {"task": Count(17, 5, (5, 7)), "model": neox(1, 24, 3), "steps": 40, "batch": 3, "context": 23}
    return Experiment(**{**fields, "seeds": paired(range(3)), **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps=0: must be at least 1"),
        ({"steps": 40.5}, r"steps=40\.5: must be a whole number"),
        ({"steps": "40"}, "steps='40': must be a whole number"),
        ({"steps": float("inf")}, "steps=inf: must be a whole number"),
        ({"seeds": range(8)}, r"seeds=range\(0, 8\): must be pairs .* as in paired\(range\(0, 8\)\)"),
        ({"seeds": 8}, r"seeds=8: must be pairs \(init_seed, data_seed\), as in paired\(range\(8\)\)"),
        ({"task": "count"}, "task='count': must be a Task or an Objective"),
        (
            {"task": neox(1, 24, 3), "model": Count(17, 5, (5, 7))},
            r"task=Transformer and model=Count are swapped: the task comes first, as in Experiment\(task, mo",
        ),
        ({"batch": -1}, "batch=-1: must be at least 1"),
        ({"context": 9}, "context=9 is shorter than the longest example of count: it must be at least 10"),
        ({"seeds": ()}, "seeds: none given"),
        ({"seeds": ((3, 3), (3, 3))}, "seeds: 3 is given twice"),
        ({"seeds": ((1, 2), (1, 2))}, r"seeds: \(1, 2\) is given twice"),
        ({"seeds": ((-1, 0),)}, r"seeds: \(-1, 0\) must be integers of 0 to 4294967295"),
        ({"evaluations": 0}, "evaluations=0: must be 1 to 100000"),
        ({"evaluations": (1, 41)}, "evaluations: step 41 must lie between 0 and steps=40"),
    ],
)
def test_bad_fields_are_named_with_what_is_allowed(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


class Called(Count):
    """As where ``@property`` is forgotten."""

    def max_length(self):
        return 7


class Unnamed(Count):
    name = None


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Called(17, 5, (5, 7)), "called: max_length is <bound method Called.max_length of .*: return"),
        (Unnamed(17, 5, (5, 7)), "task name None: must be letters, digits"),
    ],
)
def test_tasks_that_do_not_say_their_length_or_name_are_refused(task, message):
    with pytest.raises(ValueError, match=message):
        small(task=task)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": Count}, r"^Count is a class: give one that is made of it, as Count\(\)$"),
        ({"model": Bag}, r"^Bag is a class: give one that is made of it, as jaxemerge.flax_model\(Bag\)"),
    ],
)
def test_classes_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"steps": 4e1}, {"steps": 40}),
        ({"steps": np.int64(40), "batch": np.float32(3)}, {"steps": 40, "batch": 3}),
        ({"evaluations": 7.0}, {"evaluations": 7}),
        ({"optimizer": AdamW(1, clip=2)}, {"optimizer": AdamW(1.0, clip=2.0)}),
        ({"optimizer": AdamW(warmup=1e1)}, {"optimizer": AdamW(warmup=10)}),
        ({"model": neox(1.0, 24, 3, mlp_ratio=2)}, {"model": neox(1, 24, 3, mlp_ratio=2.0)}),
    ],
)
def test_one_experiment_has_one_id_however_its_numbers_are_written(written, meant):
    one, other = small(**written), small(**meant)
    assert (one.cell, one.to_json()) == (other.cell, other.to_json())
    assert one == other


def test_evaluations_always_hold_the_start_and_the_end():
    assert small(evaluations=(7, 3)).evaluation_steps == (0, 3, 7, 40)
    assert small(evaluations=1).evaluation_steps == (0, 40)


@pytest.mark.parametrize(("steps", "count"), [(10_000, 20), (600, 15), (3, 20), (1, 1)])
def test_log_spaced_steps_have_equal_ratios_up_to_rounding(steps, count):
    points = log_spaced(steps, count)
    assert points[-1] == steps
    assert list(points) == sorted(set(points))
    assert len(points) <= count
    if steps == 10_000:
        assert points[0] == 100
        assert len(points) == count
        ratio = 100 ** (1 / (count - 1))
        for a, b in itertools.pairwise(points):
            assert b / a == pytest.approx(ratio, rel=0.02)


@pytest.mark.parametrize(
    "experiment",
    [
        small(),
        small(model=llama(2, 24, 3, dtype="bfloat16"), optimizer=AdamW(3e-3, warmup=7), evaluations=(3, 11)),
        small(seeds=crossed(range(2), range(5)), study="s", family="f"),
    ],
)
def test_json_gives_back_an_equal_experiment(experiment):
    again = Experiment.from_json(experiment.to_json())
    assert again == experiment
    assert hash(again) == hash(experiment)


@dataclasses.dataclass(frozen=True)
class Halving(AdamW):
    """AdamW of another name alone."""


@dataclasses.dataclass(frozen=True)
class Decayed:
    rate: float = 0.1

    def __call__(self, steps):
        return optax.sgd(optax.linear_schedule(self.rate, 0.0, steps))


def plain_sgd(steps):
    return optax.sgd(0.1)


def root(step, length):
    return (1 - step / length) ** 0.5


OPTIMIZERS = (
    Adam(),
    SGD(0.1, schedule="wsd"),
    Lion(),
    Muon(decayed=("*kernel",)),
    Halving(),
    AdamW(schedule=root),
    Optax(plain_sgd),
    Optax(Decayed()),
    Optax(Decayed(0.2)),
)


def test_no_two_optimizers_share_a_cell_and_all_are_read_back():
    own = (Halving, Decayed, plain_sgd, root)
    experiments = [small(optimizer=each) for each in (AdamW(), *OPTIMIZERS)]
    assert len({each.cell for each in experiments}) == len(experiments)
    for each in experiments:
        assert Experiment.from_json(each.to_json(), optimizers=own) == each
    assert "test_experiment.py" in experiments[-1].to_dict()["code"]
    with pytest.raises(ValueError, match=r"function 'plain_sgd' is not saved .* optimizers=\[plain_sgd\]"):
        Experiment.from_json(small(optimizer=plain_sgd).to_json())
    with pytest.raises(ValueError, match="optimizer 'Halving' is unknown"):
        Experiment.from_json(small(optimizer=Halving()).to_json())


def returns_nothing(steps):
    optax.sgd(0.1)


def fails(steps):
    return optax.sgd(1 / (steps - 40))


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (AdamW, r"^AdamW is a class: give one that is made of it, as AdamW\(\)$"),
        (0.1, r"optimizer=0.1: must be an optimizer such as AdamW\(\), or a function"),
        (optax.sgd(0.1), "optimizer is an optax transformation: give a function of the number of steps"),
        (returns_nothing, r"optimizer: TypeError: optimizer returns_nothing\(40\) returned NoneType"),
        (fails, r"optimizer: ZeroDivisionError: division by zero \(.*test_experiment.py, line \d+\)"),
    ],
)
def test_what_is_no_optimizer_is_rejected(optimizer, message):
    with pytest.raises(ValueError, match=message):
        small(optimizer=optimizer)


def test_json_refuses_what_it_does_not_know():
    fields = json.loads(small().to_json())
    with pytest.raises(ValueError, match=r"task 'Nope' is unknown: must be one of .*, Count, .*, Rewrite"):
        Experiment.from_json(json.dumps({**fields, "task": {"kind": "Nope"}}))
    fields["model"]["breadth"] = 3
    with pytest.raises(ValueError, match="Transformer has no field 'breadth'"):
        Experiment.from_json(json.dumps(fields))


def test_cell_id_names_the_science_and_nothing_else():
    base = small()
    assert base.cell == small(seeds=paired([11]), study="other", family="x").cell
    changed = [small(steps=41), small(optimizer=AdamW(weight_decay=0.0)), small(task=Count(17, 5, (5,)))]
    assert len({base.cell, *(one.cell for one in changed)}) == 4
    # The id is how finished cells are found again: it must not move between versions.
    assert base.cell == "count-depth1-width24-90c6cdd9"


def test_a_new_field_changes_no_id(monkeypatch):
    """Neither of an optimizer, nor of a model, nor of a task within a mixture; but its other values do."""

    @dataclasses.dataclass(frozen=True)
    class Longer(AdamW):
        lookahead: int = 0
        betas: tuple[float, ...] = dataclasses.field(default_factory=tuple)

    @dataclasses.dataclass(frozen=True)
    class Wider(Count):
        stride: int = 1

    Wider.__name__ = "Count"
    before = small(optimizer=AdamW(3e-3)).cell
    for old, new in ((AdamW, Longer), (Count, Wider)):
        monkeypatch.setitem(ids.IN_EVERY_ID, new, ids.IN_EVERY_ID[old])
    monkeypatch.setattr(module, "code_of", lambda values: {})  # as of a class of the library

    def mixed(kind, **changes):
        return TaskMixture((kind(11, 3, (3, 5), **changes), Parity(3, (5,))))

    monkeypatch.setattr(module, "AdamW", Longer)
    base = small(optimizer=Longer(3e-3), task=mixed(Count))
    assert dataclasses.replace(base, task=Count(17, 5, (5, 7))).cell == before
    assert dataclasses.replace(base, task=mixed(Wider)).cell == base.cell
    changed = [
        dataclasses.replace(base, optimizer=Longer(3e-3, lookahead=1)),
        dataclasses.replace(base, optimizer=Longer(3e-3, betas=(0.5,))),
        dataclasses.replace(base, task=mixed(Wider, stride=2)),
    ]
    assert len({base.cell, *(one.cell for one in changed)}) == 4


def test_fields_of_every_id_are_those_of_the_first_format():
    """Each library class that an experiment may hold is listed, with fields that it has."""
    listed = {Experiment: ids.OF_EXPERIMENT, **ids.IN_EVERY_ID}
    assert set(listed) == {Experiment, Transformer, Optax, PassUntil, *BUILT_IN, *BUILT_IN_OPTIMIZERS}
    for kind, names in listed.items():
        assert set(names.split()) <= {field.name for field in dataclasses.fields(kind)}, kind


IDS = {  # of defaults, as the first format had them
    Addition(): ("098ab037", "62f3d837"),
    Composition(): ("fa8f8ce6", "f4fea0fd"),
    Count(): ("e813aa1b", "f2ef1963"),
    InContext(): ("5399aa46", "97b7bbde"),
    Markov(): ("151ba09d", "a171dd6d"),
    Modular(): ("8c2eded8", "492ea468"),
    Parity(): ("79e5fa5a", "890a2f4f"),
    Recall(): ("dd2511e2", "7a3bd53e"),
    Rewrite(): ("8e0f5d1d", "b47f7a1f"),
    SparseParity(): ("72547d15", "a0341ad8"),
}


@pytest.mark.parametrize("task", IDS, ids=lambda task: task.name)
def test_ids_are_those_of_earlier_versions(task):
    plain, sampled = IDS[task]
    base = Experiment(task, neox(1, 24, 3), context=600)
    assert base.cell.endswith(plain)
    more = dataclasses.replace(base, optimizer=AdamW(horizon=2.0), pass_until=PassUntil())
    assert more.cell.endswith(sampled)


def test_a_schedule_may_be_longer_than_the_training():
    base, longer = small(), small(optimizer=AdamW(horizon=1.25))
    assert base.members.decay_steps.tolist() == [40] * len(base.seeds)
    assert longer.members.decay_steps.tolist() == [50] * len(base.seeds)
    assert longer.cell != base.cell
    assert Experiment.from_json(longer.to_json()) == longer
    with pytest.raises(ValueError, match=r"^horizon=0: must be positive$"):
        AdamW(horizon=0)


def test_crossed_seeds_are_every_pair():
    assert crossed([1, 2], [5, 7, 9]) == ((1, 5), (1, 7), (1, 9), (2, 5), (2, 7), (2, 9))
    members = small(seeds=crossed([1, 2], [5, 7, 9])).members
    assert members.init_seed.tolist() == [1, 1, 1, 2, 2, 2]
    assert members.data_seed.tolist() == [5, 7, 9, 5, 7, 9]


def test_experiments_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        small().steps = 3
