"""Exported members, loaded: they generate and are scored as before."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxemerge.evaluation import Evaluated, Prompts, Written, evaluate, generate, prompts
from jaxemerge.files import DamagedError, check_digest, read_sealed
from jaxemerge.models import flax_model, is_flax_module
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.weights import read_weights, unnamed
from jaxemerge.tasks import BUILT_IN
from jaxemerge.training import init_shapes
from jaxemerge.types import Params

CONFIG = "config.json"
FORMAT = 1
_FILE = re.compile(r"seed-\d+(-\d+)?\.safetensors")


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

    def evaluate(self, **how: Any) -> Evaluated:
        """Scores every member on every item of its task; see ``evaluation.evaluate``.

        Raises:
            ValueError: it was trained on an objective, which has no items.
        """
        return evaluate(*self.experiment.language(), self.params, **how)


def load(path: Path | str, *, tasks: Iterable[Any] = (), models: Iterable[Any] = ()) -> Trained:
    """Loads what ``export`` wrote: a folder with all its members, or the file of one of them.

    No code is loaded from the files: pass your own classes of tasks and models.

    Args:
        path: the folder, or a file ``*.safetensors`` of it.
        tasks: your own classes of tasks and objectives, in addition to the built-in ones; the result of
            ``pair`` as an instance.
        models: your own model classes, or Flax modules.

    Raises:
        ValueError: there is nothing, it is damaged or not from ``export``, names another class, or the
            weights are not those of its model.
    """
    place = Path(path)
    files = [place] if place.is_file() else _members(place)
    found = [_member(file) for file in files]
    first = found[0][1]["experiment"]
    seeds = [about["experiment"]["seeds"][0] for _, about in found]
    own = [flax_model(each) if is_flax_module(each) else each for each in models]
    try:
        experiment = Experiment.from_json(json.dumps({**first, "seeds": seeds}), (*BUILT_IN, *tasks), own)
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{place} describes no experiment of this version: {reason}") from error
    shapes = init_shapes(experiment)
    members = [_checked(file, arrays, shapes) for file, (arrays, _) in zip(files, found, strict=True)]
    return Trained(experiment, jax.tree.map(lambda *leaves: np.stack(leaves), *members))


def _members(folder: Path) -> list[Path]:
    """The files of an exported folder, each checked against its digest."""
    if not (folder / CONFIG).is_file():
        raise DamagedError(f"{folder} is no export: there is no {CONFIG} in it")
    config = read_sealed(folder / CONFIG)
    if config.get("format") != FORMAT:
        raise DamagedError(
            f"{folder} is an export of format {config.get('format')}; this version reads {FORMAT}"
        )
    for name, digest in config["members"].items():
        if not _FILE.fullmatch(name):
            raise DamagedError(f"{folder}: {CONFIG} names a member {name!r}, which is no name of its file")
        check_digest(folder / name, digest)
    return [folder / name for name in config["members"]]


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
