"""From which weights does training start? Those of a population or an export, in place of random ones."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxemerge.files import DamagedError
from jaxemerge.runner.weights import member_files, named, read_weights, unnamed
from jaxemerge.training import Objective, Seed
from jaxemerge.types import Params

_DIGITS = 12  # of the digest


@dataclass(frozen=True)
class Start:
    """Weights that members start from, in place of random ones; two are equal where their digests are.

    One member serves all seeds. Of several, each seed starts from that of the same (init_seed, data_seed), or
    else from the only one of the same init_seed.

    Attributes:
        digest: of the weights, and of whose they are.
        seeds: of the members.
        arrays: weights by name, leading axis S; empty where only the digest is known, as after reading a
            description of an experiment.
    """

    digest: str
    seeds: tuple[Seed, ...] = field(default=(), compare=False, repr=False)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, source: Any) -> Start:
        """The weights of a source.

        Args:
            source: a ``Population``, what ``load`` returns, the path of an export or of one of its files, or
                the weights of one member as a tree of arrays.

        Raises:
            ValueError: it is none of these, or a file of the export is damaged.
        """
        if isinstance(source, Start):
            return source
        if isinstance(source, str | Path):
            return _read(Path(source))
        if hasattr(source, "params") and hasattr(source, "experiment"):
            return _made(source.experiment.seeds, named(source.params))
        if isinstance(source, dict):
            return _made([(0, 0)], {name: x[None] for name, x in named(source).items()})
        raise ValueError(
            f"start is of type {type(source).__name__}: give a population, what load returns, the path of an "
            "export, or the weights of one member"
        )

    def check(self, objective: Any, seeds: Sequence[Seed]) -> None:
        """Whether the weights are those of a model, and there are some for every seed.

        Args:
            objective: what is trained.
            seeds: that start from them.

        Raises:
            ValueError: naming the first weight that differs, or the first seed without weights.
        """
        if self.arrays:
            _tree(self, objective)
            self._places(seeds)

    def params(self, objective: Objective | Any, seeds: Sequence[Seed]) -> Params:
        """Weights of some seeds, leading axis S.

        Raises:
            ValueError: the weights are not known here, or not those of the model.
        """
        if not self.arrays:
            raise ValueError(
                f"start: the weights with digest {self.digest} are not here: give them as start="
            )
        places = self._places(seeds)
        return jax.tree.map(lambda x: x[places], _tree(self, objective))

    def _places(self, seeds: Sequence[Seed]) -> np.ndarray:
        if len(self.seeds) == 1:
            return np.zeros(len(seeds), int)
        exact = {seed: i for i, seed in enumerate(self.seeds)}
        by_init: dict[int, list[int]] = {}
        for i, (init, _) in enumerate(self.seeds):
            by_init.setdefault(init, []).append(i)
        found = []
        for seed in seeds:
            alike = [exact[seed]] if seed in exact else by_init.get(seed[0], [])
            if len(alike) != 1:
                what = "no member" if not alike else f"{len(alike)} members"
                raise ValueError(
                    f"start: {what} for seed {seed[0] if seed[0] == seed[1] else seed}; there are "
                    f"{len(self.seeds)}, the first {self.seeds[0]}; one member alone serves all seeds"
                )
            found += alike
        return np.array(found)


def _made(seeds: Sequence[Seed], arrays: Mapping[str, np.ndarray]) -> Start:
    known = tuple((int(init), int(data)) for init, data in seeds)
    digest = hashlib.sha256(repr(known if len(known) > 1 else ()).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype}{list(arrays[name].shape)} ".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return Start(digest.hexdigest()[:_DIGITS], known, arrays)


def _read(path: Path) -> Start:
    """The members of an export, or of one of its files."""
    found = [read_weights(file) for file in member_files(path)]
    try:
        seeds = [(init, data) for _, about in found for init, data in about["experiment"]["seeds"]]
        arrays = {name: np.stack([each[name] for each, _ in found]) for name in found[0][0]}
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"{path} holds no members of one model: export them with 'export'") from error
    return _made(seeds, arrays)


@functools.lru_cache(maxsize=8)  # tracing takes a while, and a cell is made again for every group of seeds
def _tree(start: Start, objective: Any) -> Params:
    """All weights as the objective has them."""
    shapes, n = jax.eval_shape(objective.init, jax.random.key(0)), len(start.seeds)
    try:
        unnamed({name: x[0] for name, x in start.arrays.items()}, shapes)
    except ValueError as error:
        raise ValueError(f"start: {error}") from error
    stacked = jax.tree.map(lambda x: jax.ShapeDtypeStruct((n, *x.shape), x.dtype), shapes)
    return unnamed(start.arrays, stacked)
