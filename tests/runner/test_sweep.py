"""Sweeps, overrides and the reading of FIELD=VALUE."""

from dataclasses import dataclass, replace

import pytest

from jaxemerge import Count, Experiment, TaskMixture, neox
from jaxemerge.runner.sweep import cells, chain, distinct, override, parse, product, together, varied_fields
from jaxemerge.runner.tables import swept_columns

BASE = Experiment(Count(17, 5, (5, 7)), neox(1, 24, 3), context=23)


def test_sweeps_are_lists_of_dicts():
    assert product({"a": [1, 2], "b": "xy"}) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]
    assert together({"a": [1, 2], "b": "xy"}) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert chain([{"a": 1}], [{"b": 2}]) == [{"a": 1}, {"b": 2}]
    with pytest.raises(ValueError, match="longer"):
        together({"a": [1], "b": [1, 2]})


def test_cells_apply_dotted_names_together():
    found = cells(BASE, together({"model.width": [10, 14], "model.heads": [5, 7]}))
    assert [(one.model.width, one.model.heads) for one in found] == [(10, 5), (14, 7)]
    assert found[0].task == BASE.task


def test_equal_cells_appear_once():
    assert len(cells(BASE, product({"model.depth": [2, 3, 2]}))) == 2
    assert distinct([BASE, BASE]) == (BASE,)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("model.depth=6", "model.depth", 6),
        ("steps=1e4", "steps", 10_000),
        ("optimizer.learning_rate=3e-3", "optimizer.learning_rate", 3e-3),
        ("optimizer.learning_rate=1", "optimizer.learning_rate", 1.0),
        ("model.tied=True", "model.tied", True),
        ("model.dtype=bfloat16", "model.dtype", "bfloat16"),
        ("task.test_lengths=5,6,9", "task.test_lengths", (5, 6, 9)),
        ("evaluations=7", "evaluations", 7),
        ("evaluations=3,5", "evaluations", (3, 5)),
        ("family=1", "family", "1"),
    ],
)
def test_assignments_are_read_by_the_type_of_their_field(text, name, value):
    found = parse(BASE, text)
    assert found == (name, value)
    assert type(found[1]) is type(value)
    assert override(BASE, dict([found])) != BASE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.depth", "'model.depth': write FIELD=VALUE, for example model.depth=6"),
        ("model.hieght=3", "unknown field model.hieght: must be one of model.depth, model.width"),
        ("modle.depth=3", "unknown field modle: must be one of task, model, optimizer"),
        ("steps.depth=3", "unknown field steps.depth: steps is a plain value"),
        ("model=3", "model is a group of fields: name one of model.depth"),
        ("model.depth=six", "model.depth=six: must be a whole number"),
        ("model.depth=2.5", "model.depth=2.5: must be a whole number"),
        ("model.depth=True", "model.depth=True: must be a whole number"),
        ("model.tied=1", "model.tied=1: must be True or False"),
        ("optimizer.clip=big", "optimizer.clip=big: must be a number"),
        ("task.test_lengths=5,x", "task.test_lengths=5,x: must be whole numbers with commas"),
        ("evaluations=x", "evaluations=x: must be a whole number or whole numbers with commas"),
        ("seeds=3", "seeds: use --seeds to choose them"),
    ],
)
def test_bad_assignments_say_what_is_allowed(text, message):
    with pytest.raises(ValueError, match=message):
        parse(BASE, text)


def test_override_refuses_unknown_fields():
    with pytest.raises(ValueError, match=r"unknown field model\.nope"):
        override(BASE, {"model.nope": 1})


def test_swept_hyperparameters_become_columns_and_sizes_do_not():
    swept = cells(BASE, product({"optimizer.learning_rate": [1e-3, 2e-3], "model.depth": [1, 2]}))
    assert varied_fields(swept) == ["model.depth", "optimizer.learning_rate"]
    assert [swept_columns(swept)[one.cell] for one in swept] == [
        {"learning_rate": 1e-3},
        {"learning_rate": 1e-3},
        {"learning_rate": 2e-3},
        {"learning_rate": 2e-3},
    ]
    wide = cells(BASE, together({"model.width": [10, 14], "model.heads": [5, 7]}))
    assert set(map(str, swept_columns(wide).values())) == {"{}"}
    lengths = cells(BASE, product({"task.test_lengths": [(5,), (5, 7)]}))
    assert [column["test_lengths"] for column in swept_columns(lengths).values()] == ["(5,)", "(5, 7)"]


def test_swept_fields_of_one_name_have_a_column_each():
    two = (Count(11, 3, (3, 5)), Count(13, 3, (3, 5)))
    mixtures = [
        replace(BASE, task=TaskMixture((replace(two[0], numbers=n), replace(two[1], numbers=m))))
        for n, m in ((11, 13), (17, 13), (11, 19))
    ]
    assert list(swept_columns(mixtures).values()) == [
        {"tasks.0.numbers": 11, "tasks.1.numbers": 13},
        {"tasks.0.numbers": 17, "tasks.1.numbers": 13},
        {"tasks.0.numbers": 11, "tasks.1.numbers": 19},
    ]
    assert list(swept_columns(mixtures[:2]).values()) == [{"numbers": 11}, {"numbers": 17}]


@dataclass(frozen=True)
class Steps(Count):
    """A task with fields that are called as one of the experiment and as a column of results."""

    steps: int = 3
    length: int = 1


def test_swept_fields_are_told_from_the_experiments_and_the_results_own():
    base = replace(BASE, task=Steps(11, 3, (3, 5)))
    swept = cells(base, together({"steps": [40, 50], "task.steps": [4, 5], "task.length": [1, 2]}))
    assert list(swept_columns(swept).values()) == [
        {"steps": 40, "task.steps": 4, "task.length": 1},
        {"steps": 50, "task.steps": 5, "task.length": 2},
    ]
