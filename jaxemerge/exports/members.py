"""Members in a folder for others, with their configuration and a model card: written, and read back.

FOLDER/README.md                       the model card
FOLDER/config.json                     task, model, recipe and seeds; provenance; digests of the members
FOLDER/seed-INIT.safetensors           one member's weights, and in its metadata what config.json says of it
FOLDER/seed-INIT-DATA.safetensors      the same, where weights and data have two seeds
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxemerge.brief import brief
from jaxemerge.evaluation import Evaluated, Prompts, Written, evaluate, generate, hidden, prompts
from jaxemerge.files import (
    DamagedError,
    digest,
    make_folder,
    write_bytes,
    write_sealed,
)
from jaxemerge.models import Hidden, flax_model, is_flax_module
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.outcome import Population
from jaxemerge.runner.provenance import provenance
from jaxemerge.runner.weights import (
    CONFIG,
    FORMAT,
    member_files,
    named,
    read_weights,
    unnamed,
    write_weights,
)
from jaxemerge.tasks import BUILT_IN
from jaxemerge.training import Seed, init_shapes
from jaxemerge.types import Int, Params


@brief
@dataclass(frozen=True, eq=False)
class Trained:
    """Members of a population with their weights.

    Attributes:
        experiment: what was trained, with exactly these seeds.
        params: weights as NumPy arrays, leading axis S in the order of ``experiment.seeds``.
    """

    experiment: Experiment
    params: Params

    def generate(self, items: Prompts | None = None, **how: Any) -> Written:
        """Generates every member's answers, by default to all items of its task; see ``evaluation.generate``.

        Raises:
            ValueError: it was trained on an objective, which has no texts.
        """
        task, model = self.experiment.language()
        asked = prompts(task.evaluation_sets()) if items is None else items
        return generate(task, model, self.params, self.experiment.seeds, asked, **how)

    def hidden(self, tokens: Int[np.ndarray, "B L"], *, attention: bool = False) -> Hidden:
        """Residual stream and, on request, attention weights of every member; see ``evaluation.hidden``.

        Raises:
            ValueError: the model has no hidden states, this was trained on an objective, or ``tokens`` has
                another shape or tokens that the task does not have.
        """
        task, model = self.experiment.language()
        return hidden(model, self.params, tokens, attention=attention, vocabulary=task.vocabulary)

    def evaluate(self, **how: Any) -> Evaluated:
        """Scores every member on every item of its task; see ``evaluation.evaluate``.

        Raises:
            ValueError: it was trained on an objective, which has no items.
        """
        return evaluate(*self.experiment.language(), self.params, **how)


def load(
    path: Path | str,
    *,
    tasks: Iterable[Any] = (),
    models: Iterable[Any] = (),
    optimizers: Iterable[Any] = (),
) -> Trained:
    """Loads what ``export`` wrote: a folder with all its members, or the file of one of them.

    No code is loaded from the files: pass your own classes of tasks and models.

    Args:
        path: the folder, or a file ``*.safetensors`` of it.
        tasks: your own classes of tasks and objectives, in addition to the built-in ones; the result of
            ``pair`` as an instance.
        models: your own model classes, or Flax modules.
        optimizers: your own classes of optimizers, and functions that make one or are its schedule.

    Raises:
        ValueError: there is nothing, it is damaged or not from ``export``, names another class, or the
            weights are not those of its model.
    """
    place = Path(path)
    files = member_files(place)
    found = [_member(file) for file in files]
    first = found[0][1]["experiment"]
    seeds = [about["experiment"]["seeds"][0] for _, about in found]
    experiment = _experiment({**first, "seeds": seeds}, place, tasks, models, optimizers)
    shapes = init_shapes(experiment)
    members = [_checked(file, arrays, shapes) for file, (arrays, _) in zip(files, found, strict=True)]
    return Trained(experiment, jax.tree.map(lambda *leaves: np.stack(leaves), *members))


def load_series(
    folder: Path | str,
    cell: str = "",
    *,
    tasks: Iterable[Any] = (),
    models: Iterable[Any] = (),
    optimizers: Iterable[Any] = (),
) -> dict[int, Trained]:
    """Members of a results folder at the steps whose weights were kept: a time series of their training.

    Args:
        folder: of a study that was trained with ``--keep-weights-at``.
        cell: name of one of its cells; may be left out where there is one.
        tasks, models, optimizers: your own, as in ``load``.

    Returns:
        Step -> the seeds whose weights were kept there, in increasing order of steps.

    Raises:
        ValueError: there is no such cell, or no weights of it were kept.
    """
    from jaxemerge.runner.opening import open_store  # needs Polars

    store = open_store(Path(folder))
    if cell not in store.cells and (cell or len(store.cells) > 1):
        raise ValueError(f"{folder}: cell {cell!r} must be one of {', '.join(store.cells)}")
    name = cell or next(iter(store.cells))
    found = {step: store.kept_weights(name, step) for step in store.kept_steps(name)}
    if not found:
        raise ValueError(f"{folder}: no weights of {name} were kept: train with --keep-weights-at log")
    series = {}
    for step, members in found.items():
        fields = {**store.cells[name], "seeds": sorted(members)}
        experiment = _experiment(fields, folder, tasks, models, optimizers)
        shapes = init_shapes(experiment)
        each = [unnamed(members[seed], shapes) for seed in experiment.seeds]
        series[step] = Trained(experiment, jax.tree.map(lambda *leaves: np.stack(leaves), *each))
    return series


def _experiment(
    fields: Mapping[str, Any],
    place: Path | str,
    tasks: Iterable[Any],
    models: Iterable[Any],
    optimizers: Iterable[Any],
) -> Experiment:
    own = [flax_model(each) if is_flax_module(each) else each for each in models]
    try:
        without = {**fields, "metrics": []}  # they are of the training, and members are read without them
        return Experiment.from_json(json.dumps(without), (*BUILT_IN, *tasks), own, optimizers)
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{place} describes no experiment of this version: {reason}") from error


def _member(path: Path) -> tuple[Mapping[str, np.ndarray], dict[str, Any]]:
    arrays, about = read_weights(path)
    experiment = about.get("experiment") if isinstance(about, dict) else None
    seeds = experiment.get("seeds") if isinstance(experiment, dict) else None
    if not isinstance(seeds, list) or len(seeds) != 1:
        raise DamagedError(f"{path} holds no single member: export them with run.py export")
    return arrays, about


def _checked(path: Path, arrays: Mapping[str, np.ndarray], shapes: Params) -> Params:
    try:
        return unnamed(arrays, shapes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


if TYPE_CHECKING:
    import polars as pl

Member = tuple["Seed", Mapping[str, np.ndarray]]  # and its weights by name


def export(population: Population | Trained, folder: Path | str, *, threshold: float = 0.2) -> Path:
    """Writes the members of a population with their configuration and a model card.

    Args:
        population: what ``train`` returned, or ``load``.
        folder: a new or empty one; made where it is missing.
        threshold: success is a score of at least this, in the model card.

    Returns:
        The folder.

    Raises:
        ValueError: the folder holds something, ``threshold`` is out of range, or no population is given.
    """
    if not isinstance(population, Population | Trained):
        kind = type(population).__name__
        raise ValueError(f"export of {kind}: give what train or load returned, then the folder")
    scores = None if isinstance(population, Trained) else population.frame()
    experiment = population.experiment
    members = (
        (seed, named(jax.tree.map(lambda leaf, i=i: leaf[i], population.params)))
        for i, seed in enumerate(experiment.seeds)
    )
    fields = json.loads(experiment.to_json())
    return write_members(Path(folder), fields, members, scores, [provenance()], threshold=threshold)


def write_members(
    folder: Path,
    experiment: Mapping[str, Any],
    members: Iterable[Member],
    scores: pl.DataFrame | None,
    circumstances: list[Mapping[str, Any]],
    *,
    threshold: float = 0.2,
) -> Path:
    """Writes an export; see ``export``.

    Args:
        folder: a new or empty one.
        experiment: a cell as JSON, seeds aside.
        members: seeds with their weights by name, without the axis S.
        scores: rows of results of these members; None where they are not known.
        circumstances: provenances of their training.
        threshold: of success.

    Raises:
        ValueError: the folder holds something, or ``threshold`` is out of range.
    """
    from jaxemerge.exports.card import card  # needs Polars

    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold}: must lie in (0, 1]")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ValueError(f"{folder} holds something: export into a new or empty folder")
    make_folder(folder)
    digests, seeds = {}, []
    for seed, arrays in members:
        name = f"seed-{'-'.join(str(part) for part in dict.fromkeys(seed))}.safetensors"
        about = {"experiment": {**experiment, "seeds": [list(seed)]}}
        write_weights(folder / name, arrays, about)
        digests[name] = digest(folder / name)
        seeds.append(list(seed))
    whole = {**experiment, "seeds": seeds}
    write_bytes(folder / "README.md", card(whole, scores, circumstances, threshold).encode())
    write_sealed(
        folder / CONFIG,
        {"format": FORMAT, "experiment": whole, "members": digests, "provenance": circumstances},
    )
    return folder
