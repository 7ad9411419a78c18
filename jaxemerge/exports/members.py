"""Writes members with their configuration and a model card into a folder.

FOLDER/README.md                       the model card
FOLDER/config.json                     task, model, recipe and seeds; provenance; digests of the members
FOLDER/seed-INIT.safetensors           one member's weights, and in its metadata what config.json says of it
FOLDER/seed-INIT-DATA.safetensors      the same, where weights and data have two seeds
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxemerge.exports.trained import CONFIG, FORMAT, Trained
from jaxemerge.files import digest, make_folder, write_bytes, write_sealed
from jaxemerge.runner.provenance import provenance
from jaxemerge.runner.train import Population
from jaxemerge.runner.weights import named, write_weights
from jaxemerge.training import Seed

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
        ValueError: the folder holds something, or ``threshold`` is out of range.
    """
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
