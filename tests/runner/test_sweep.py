"""Sweeps, overrides and the reading of FIELD=VALUE."""

import json
from dataclasses import dataclass, replace

import pytest

from jaxemerge import AdamW, Count, Experiment, Muon, TaskMixture, neox
from jaxemerge.runner.labels import flat_fields, labels, varied_fields
from jaxemerge.runner.sweep import (
    assigned,
    cells,
    chain,
    distinct,
    override,
    parse,
    product,
    sweep,
    together,
)
from jaxemerge.runner.tables import columns_of, swept_columns

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
    with pytest.raises(ValueError, match="must have equally many values: a has 1, b has 2"):
        together({"a": [1], "b": [1, 2]})


def test_cells_apply_dotted_names_together():
    found = cells(BASE, together({"model.width": [40, 56], "model.heads": [5, 7]}))
    assert [(one.model.width, one.model.heads) for one in found] == [(40, 5), (56, 7)]
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
        ("family=1,2", "family", "1,2"),
        ("optimizer.clip=2", "optimizer.clip", 2.0),
        ("optimizer.clip=None", "optimizer.clip", None),
    ],
)
def test_assignments_are_read_by_the_type_of_their_field(text, name, value):
    field, (found,) = parse(BASE, text)
    assert (field, found) == (name, value)
    assert type(found) is type(value)
    assert override(BASE, {field: found}) != BASE


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
        ("model.depth=1,,2", "model.depth=1,,2: there is no value between two commas, or after the last"),
        ("model.depth=[1,2,]", r"model.depth=\[1,2,\]: there is no value between two commas"),
        ("model.depth=1,x", "model.depth=x: must be a whole number"),
        ("task.test_lengths=[5,7]", "task.test_lengths=5: must be whole numbers with commas"),
        ("evaluations=x", "evaluations=x: must be a whole number or whole numbers with commas"),
        ("seeds=3", "seeds: use --seeds to choose them"),
    ],
)
def test_bad_assignments_say_what_is_allowed(text, message):
    with pytest.raises(ValueError, match=message):
        parse(BASE, text)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("model.depth=1,2,4", (1, 2, 4)),
        ("model.depth=[1, 2]", (1, 2)),
        ("optimizer.learning_rate=1e-3,3e-3", (1e-3, 3e-3)),
        ("optimizer.clip=None,1", (None, 1.0)),
        ("model.dtype=float32,bfloat16", ("float32", "bfloat16")),
        ("optimizer.schedule=wsd, cosine", ("wsd", "cosine")),
        ("evaluations=3,5", ((3, 5),)),
        ("evaluations=[3,5]", (3, 5)),
        ("evaluations=[3,(5,7)]", (3, (5, 7))),
        ("task.test_lengths=5,7", ((5, 7),)),
        ("task.test_lengths=[(5,7),(5,6,9)]", ((5, 7), (5, 6, 9))),
        ("task.test_lengths=[(5,7)]", ((5, 7),)),
    ],
)
def test_several_values_are_listed_with_commas(text, values):
    name, found = parse(BASE, text)
    assert found == values
    assert list(map(type, found)) == list(map(type, values))
    assert len(cells(BASE, product({name: found}))) == len(values)


def test_all_bad_assignments_are_named():
    message = (
        r"^steps=x: must be a whole number; unknown field depht: .*; batch=1\.5: must be a whole number$"
    )
    with pytest.raises(ValueError, match=message):
        assigned(BASE, ["steps=x", "model.width=10", "depht=3", "batch=1.5"])


def test_a_comma_within_quotes_is_text():
    @dataclass(frozen=True)
    class Named(Count):
        words: str = "a"

    base = replace(BASE, task=Named(17, 5, (5, 7)))
    assert parse(base, "task.words=x,y") == ("task.words", ("x", "y"))
    assert parse(base, "task.words='x,y',z") == ("task.words", ("x,y", "z"))
    assert parse(base, 'task.words="x,y"') == ("task.words", ("x,y",))


def sizes(experiments):
    return [(one.model.width, one.model.heads, one.steps) for one in experiments]


def test_assignments_of_several_values_are_combined_or_paired():
    texts = ["model.width=10,20", "steps=5,7", "model.heads=5", "model.rotary_fraction=1"]
    assert sizes(assigned(BASE, texts)) == [(10, 5, 5), (10, 5, 7), (20, 5, 5), (20, 5, 7)]
    assert sizes(assigned(BASE, texts, zipped=True)) == [(10, 5, 5), (20, 5, 7)]
    assert assigned(BASE, []) == [BASE]
    with pytest.raises(ValueError, match=r"model\.width has 2, steps has 3"):
        assigned(BASE, ["model.width=10,20", "steps=5,6,7"], zipped=True)
    with pytest.raises(ValueError, match=r"--zip pairs .* give several to two fields or more"):
        assigned(BASE, ["steps=5,7"], zipped=True)
    assert sizes(assigned(BASE, ["steps=5,6", "steps=7"])) == [(24, 3, 7)]


def test_sweeps_in_python_are_products_or_pairs():
    axes = {"model.depth": (1, 2), "optimizer": (AdamW(), Muon())}
    found = sweep(BASE, axes)
    assert [(one.model.depth, one.optimizer) for one in found] == [
        (1, AdamW()),
        (1, Muon()),
        (2, AdamW()),
        (2, Muon()),
    ]
    assert sweep(BASE, axes, zipped=True) == (found[0], found[3])
    with pytest.raises(ValueError, match=r"steps=1000: give a list of values, as in \{'steps': \[1000\]\}"):
        sweep(BASE, {"steps": 1000})
    with pytest.raises(ValueError, match="sweep of dict and Experiment: give an Experiment, then a dict"):
        sweep({"steps": [1000]}, BASE)


def label_list(experiments):
    return list(labels({one.cell: one.to_dict() for one in experiments}).values())


def test_cells_are_labelled_by_what_varies():
    rates = {"optimizer.learning_rate": [1e-3, 3e-3]}
    assert label_list([BASE]) == ["depth 1, width 24"]
    assert label_list(sweep(BASE, rates)) == ["lr 1e-3", "lr 3e-3"]
    assert label_list(sweep(BASE, {**rates, "model.depth": [1, 2]})) == [
        "depth 1, lr 1e-3",
        "depth 2, lr 1e-3",
        "depth 1, lr 3e-3",
        "depth 2, lr 3e-3",
    ]
    wide = sweep(BASE, {"model.width": [24, 48], "model.heads": [3, 6]}, zipped=True)
    assert label_list(wide) == ["width 24", "width 48"]
    optimizers = sweep(BASE, {"optimizer": [AdamW(), Muon(), Muon(momentum=0.9)]})
    assert label_list(optimizers) == ["AdamW", "Muon, momentum 0.95", "Muon, momentum 0.9"]
    lengths = sweep(BASE, {"task.test_lengths": [(5,), (5, 7)], "optimizer.clip": [None, 1.0]})
    assert label_list(lengths) == [
        "test lengths 5, clip None",
        "test lengths 5, clip 1",
        "test lengths 5, 7, clip None",
        "test lengths 5, 7, clip 1",
    ]
    fields = BASE.to_dict()
    alike = {"a": {**fields, "code": {"x.py": "1"}}, "b": {**fields, "code": {"x.py": "2"}}}
    assert list(labels(alike).values()) == ["depth 1, width 24", "depth 1, width 24 (2)"]


def test_labels_are_the_same_from_json():
    swept = sweep(BASE, {"steps": [5, 7], "optimizer.learning_rate": [1e-3, 3e-3], "evaluations": [3, (5,)]})
    saved = {one.cell: json.loads(one.to_json()) for one in swept}
    assert list(labels(saved).values()) == label_list(swept)
    assert columns_of(saved) == swept_columns(swept)


def test_a_column_holds_values_of_one_type():
    swept = sweep(BASE, {"evaluations": [3, (5,)], "optimizer.clip": [None, 1.0]})
    assert list(swept_columns(swept).values()) == [
        {"clip": clip, "evaluations": number} for number in ("3", "(5,)") for clip in ("None", "1.0")
    ]


def test_override_refuses_unknown_fields():
    with pytest.raises(ValueError, match=r"unknown field model\.nope"):
        override(BASE, {"model.nope": 1})


def test_swept_hyperparameters_become_columns_and_sizes_do_not():
    swept = cells(BASE, product({"optimizer.learning_rate": [1e-3, 2e-3], "model.depth": [1, 2]}))
    flat = [flat_fields(one.to_dict()) for one in swept]
    assert varied_fields(flat) == ["model.depth", "optimizer.learning_rate"]
    assert [swept_columns(swept)[one.cell] for one in swept] == [
        {"learning_rate": 1e-3},
        {"learning_rate": 1e-3},
        {"learning_rate": 2e-3},
        {"learning_rate": 2e-3},
    ]
    wide = cells(BASE, together({"model.width": [40, 56], "model.heads": [5, 7]}))
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
