"""Exported members: the same bits, texts and scores when they are read back; nothing else is read."""

from __future__ import annotations

import json
import math
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

import jaxemerge as je
from jaxemerge.evaluation import evaluate, generate, prompts
from own_models import BAG, Bag, Line
from small_cell import CELL

SEEDS = ((5, 5), (7, 2), (2, 2))
WHAT = {"steps": 11, "batch": 3, "context": 17, "seeds": SEEDS, "evaluations": 1}


@pytest.fixture(scope="module")
def population() -> Any:
    own = je.Experiment(CELL.task, CELL.model, je.AdamW(0.05, warmup=2), study="small", **WHAT)
    return je.train(own)


@pytest.fixture
def folder(population: Any, tmp_path: Path) -> Path:
    return je.export(population, tmp_path / "members")


def same(left: Any, right: Any) -> bool:
    assert jax.tree.structure(left) == jax.tree.structure(right)
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)


def test_the_same_members_come_back(population: Any, folder: Path) -> None:
    found = je.load(folder)
    assert found.experiment == population.experiment
    assert same(found.params, population.params)
    task, model = CELL.task, CELL.model
    asked = prompts(task.evaluation_sets())
    expected = generate(task, model, population.params, SEEDS, asked)
    assert np.array_equal(found.generate().tokens, expected.tokens)
    scores = evaluate(task, model, population.params)
    for name in ("exact", "right", "nll", "edits"):
        seen, wanted = getattr(found.evaluate().items, name), getattr(scores.items, name)
        assert np.array_equal(seen, wanted)


def test_a_file_alone_is_one_member(population: Any, folder: Path) -> None:
    found = je.load(folder / "seed-7-2.safetensors")
    assert found.experiment == population.experiment.with_seeds([(7, 2)])
    assert same(found.params, jax.tree.map(lambda leaf: leaf[1:2], population.params))


def test_of_one_member_there_are_no_intervals_of_means(population: Any) -> None:
    from jaxemerge.exports.card import card

    fields = json.loads(population.experiment.with_seeds([(5, 5)]).to_json())
    text = card(fields, population.frame().filter(pl.col("init_seed") == 5), [], 1e-9)
    assert "1 member of one population" in text
    assert "(-" not in text
    assert "- to -" not in text
    assert "| length 3 | 1 | 0 (0 to 0.95) | - | 0 |" in text


def test_files_are_what_any_program_reads(population: Any, folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "README.md",
        "config.json",
        "seed-2.safetensors",
        "seed-5.safetensors",
        "seed-7-2.safetensors",
    ]
    arrays = load_file(folder / "seed-2.safetensors")
    assert arrays["embedding"].tobytes() == population.params["embedding"][2].tobytes()
    total = sum(array.size for array in arrays.values())
    assert total == CELL.model.total_parameters(CELL.task.vocabulary)


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    """The package that writes them puts the metadata in a random order."""
    from jaxemerge.runner.weights import read_weights, write_weights

    arrays = {"b": np.arange(5.0), "größe": np.ones((2, 3), np.float32), "a": np.zeros(0, np.int8)}
    contents = set()
    for i in range(8):
        write_weights(tmp_path / str(i), arrays, {"cell": "ä"})
        contents.add((tmp_path / str(i)).read_bytes())
    assert len(contents) == 1
    found, about = read_weights(tmp_path / "0")
    assert about == {"cell": "ä"}
    loaded = load_file(tmp_path / "0")
    for name, array in arrays.items():
        for one in (found[name], loaded[name]):
            assert one.dtype == array.dtype
            np.testing.assert_array_equal(one, array)


def test_the_card_says_what_they_are_and_how_good(population: Any, folder: Path) -> None:
    card = (folder / "README.md").read_text()
    for words in (
        "# Count, learnt by a population of 3",
        "random seeds 5, 7/2, 2",
        "* task.numbers: `11`",
        "* model.width: `20`",
        "* optimizer.learning_rate: `0.05`",
        "* steps: `11`",
        "jax 0.",
        'je.load(".")',
    ):
        assert words in card
    ends = population.frame().filter(pl.col("step") == 11, pl.col("metric") == "answer_nll")
    mean = ends.filter(pl.col("length") == 3)["value"].mean()
    assert f"| length 3 | 3 | {mean:.4g} |" in card
    upper = 1 - 0.05 ** (1 / 2)  # mid-p, where none succeeds: of the 3, two share a data seed
    assert f"0 (0 to {upper:.4g}" in card


@pytest.mark.slow
def test_models_of_ones_own(tmp_path: Path) -> None:
    bags = je.train(je.Experiment(CELL.task, BAG, **WHAT))
    place = je.export(bags, tmp_path / "bags")
    assert same(je.load(place, models=[Bag]).params, bags.params)
    assert "models=[Bag]" in (place / "README.md").read_text()
    with pytest.raises(ValueError, match="export of str: give what train or load returned, then the folder"):
        je.export("bags", bags)
    with pytest.raises(ValueError, match="model 'Bag' is unknown: must be one of none"):
        je.load(place)


@dataclass(frozen=True)
class Ours(je.Parity):
    """A task of one's own."""


def test_a_mixture_with_a_task_of_ones_own_with_crossed_seeds_of_which_some_diverge(tmp_path: Path) -> None:
    mixed = je.TaskMixture((Ours(3, (3,)), je.Modular(3)), (1, 2), shared=False)
    what = {"steps": 5, "batch": 2, "context": 16, "seeds": je.crossed([3, 7], [2]), "evaluations": 1}
    trained = je.train(je.Experiment(mixed, CELL.model, je.AdamW(1e30), **what))
    assert trained.evaluations[-1].diverged.all()
    place = je.export(trained, tmp_path / "mixed (1)")
    assert sorted(path.name for path in place.glob("*.safetensors")) == [
        "seed-3-2.safetensors",
        "seed-7-2.safetensors",
    ]
    found = je.load(place, tasks=[Ours])
    assert found.experiment == trained.experiment
    assert same(found.params, trained.params)
    card = (place / "README.md").read_text()
    for words in (
        'je.load(".", tasks=[Ours])',
        "* task.tasks: `Ours(items=500, test_lengths=3, train_length=3), Modular(modulus=3, operation=add,",
        "random seeds 3/2, 7/2 (of weights/data where these differ). One file each",
        "| ours/test, length 3 | 2 | 0 (0 to 0.7764) | - | 0 |",
        "| training | 0 | - | - |",
        "Diverged in training: 3/2, 7/2 (of weights/data where these differ). Such members",
    ):
        assert words in card
    with pytest.raises(ValueError, match="task 'Ours' is unknown: must be one of Addition, "):
        je.load(place)


def test_objectives_of_ones_own(tmp_path: Path) -> None:
    lines = je.train(je.Experiment(Line(), steps=3, seeds=SEEDS))
    found = je.load(je.export(lines, tmp_path / "lines"), tasks=[Line])
    assert same(found.params, lines.params)
    again = je.load(je.export(found, tmp_path / "again"), tasks=[Line])
    assert same(again.params, lines.params)
    assert "exported without their results" in (tmp_path / "again" / "README.md").read_text()
    for use in (found.generate, found.evaluate):
        with pytest.raises(ValueError, match="line is an objective: it has no items, and writes no texts"):
            use()


def test_an_objective_of_functions_is_given_again(tmp_path: Path) -> None:
    line = Line()
    made = je.pair(line.init, line.loss, name="line")
    lines = je.train(je.Experiment(made, steps=3, seeds=SEEDS))
    place = je.export(lines, tmp_path / "lines")
    others = (je.pair(line.init, line.loss, name="other"), je.pair(lambda key: {}, line.loss, name="line"))
    for given in ((), [Line], others):
        with pytest.raises(
            ValueError, match=r"give the same again: tasks=\[pair\(init, loss, name='line'\)\]"
        ):
            je.load(place, tasks=given)
    found = je.load(place, tasks=[Line, made])
    assert found.experiment == lines.experiment
    assert same(found.params, lines.params)
    assert "je.load(\".\", tasks=[je.pair(init, loss, name='line')])" in (place / "README.md").read_text()


def flipped(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_seen(folder: Path) -> None:
    member = folder / "seed-5.safetensors"
    flipped(member, -3)
    for path in (folder, member):
        with pytest.raises(ValueError, match=r"seed-5.safetensors is damaged: its content does not match"):
            je.load(path)
    shutil.copy(folder / "seed-2.safetensors", member)
    about = member.read_bytes().index(b"learning_rate")  # what is said of the weights counts, too
    flipped(member, about + 3)
    with pytest.raises(ValueError, match=r"seed-5.safetensors is damaged: its content does not match"):
        je.load(member)
    flipped(folder / "config.json", 40)
    with pytest.raises(ValueError, match=r"config.json is damaged"):
        je.load(folder)


def test_files_of_others_are_refused(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_file({"x": np.ones(3)}, file)
    with pytest.raises(ValueError, match=r"other.safetensors was not written by jaxemerge"):
        je.load(file)
    file.write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"other.safetensors holds no weights: "):
        je.load(file)
    file.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with pytest.raises(ValueError, match=r"other.safetensors holds no weights: "):
        je.load(file)
    with pytest.raises(ValueError, match=r"is no export: there is no config.json in it"):
        je.load(tmp_path)
    with pytest.raises(ValueError, match="is no export"):
        je.load(tmp_path / "nowhere")
    (folder / "seed-2.safetensors").unlink()
    with pytest.raises(ValueError, match=r"seed-2.safetensors is missing"):
        je.load(folder)


def test_names_that_leave_the_folder_are_refused(folder: Path) -> None:
    from jaxemerge.files import read_sealed, write_sealed

    config = read_sealed(folder / "config.json")
    write_sealed(folder / "config.json", config | {"members": {"../seed-2.safetensors": ""}})
    with pytest.raises(ValueError, match="which is no name of its file"):
        je.load(folder)
    write_sealed(folder / "config.json", config | {"format": 0})
    with pytest.raises(ValueError, match="is an export of format 0; this version reads 1"):
        je.load(folder)


def test_weights_of_another_model_are_refused(population: Any, tmp_path: Path) -> None:
    from jaxemerge.runner.weights import named, write_weights

    fields = json.loads(population.experiment.with_seeds([(5, 5)]).to_json())
    arrays = named(jax.tree.map(lambda leaf: leaf[0], population.params))
    about, file = {"experiment": fields}, tmp_path / "seed-5.safetensors"
    for change, message in (
        (
            {"embedding": arrays["embedding"][:-1]},
            r"weights: embedding is float32\[14, 20\], and",
        ),
        ({"embedding": arrays["embedding"].astype("f8")}, r"weights: embedding is float64\[15, 20\], and"),
        ({"more": np.ones(2)}, r"weights: more is float64\[2\], and the model's is missing"),
    ):
        write_weights(file, arrays | change, about)
        with pytest.raises(ValueError, match=message):
            je.load(file)
    write_weights(file, {k: v for k, v in arrays.items() if k != "embedding"}, about)
    with pytest.raises(ValueError, match="weights: embedding is missing, and the model's is float32"):
        je.load(file)
    write_weights(file, arrays, {"cell": "x"})
    with pytest.raises(ValueError, match="holds no single member"):
        je.load(file)
    for about in ([], {"experiment": 3}, {"experiment": {"seeds": 1}}):
        write_weights(file, arrays, about)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="holds no single member"):
            je.load(file)
    alone, other = {"seeds": [[5, 5]]}, {**fields, "optimizer": 3}
    for wrong, reason in ((alone, "KeyError: 'model'"), (other, "TypeError: ")):
        write_weights(file, arrays, {"experiment": wrong})
        with pytest.raises(ValueError, match=f"describes no experiment of this version: {reason}"):
            je.load(file)


def test_nothing_is_overwritten(population: Any, folder: Path) -> None:
    with pytest.raises(ValueError, match="holds something: export into a new or empty folder"):
        je.export(population, folder)
    with pytest.raises(ValueError, match="threshold=0: must lie in"):
        je.export(population, folder.parent / "new", threshold=0)
    assert not (folder.parent / "new").exists()


def test_arrays_with_one_name_are_refused() -> None:
    from jaxemerge.runner.weights import named

    with pytest.raises(ValueError, match="two arrays have the same name"):
        named({"a": {"b": np.ones(2)}, "a.b": np.ones(2)})
    assert math.isclose(named({"a": [np.ones(2), np.full(3, 2.0)]})["a.1"].sum(), 6)
