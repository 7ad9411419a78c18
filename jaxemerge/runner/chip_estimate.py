"""What would a study take on a chip that is not here? Memory and least time of each cell, as compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxemerge.runner.experiment import Experiment
from jaxemerge.training import fixed_part
from jaxemerge.training.chips import Chip
from jaxemerge.training.compiled import CompilerMissingError, described
from jaxemerge.training.roofline import Prediction, by_formula, kept_prediction, predicted

_MOST = 256  # seeds at once: more make a chip no faster, and a chunk is what an interruption can lose


@dataclass(frozen=True)
class ChipEstimate:
    """What a cell's seeds take on one chip.

    Attributes:
        experiment: the cell, with the seeds that are to be trained.
        prediction: of its program, compiled or by formula.
        chunk: seeds trained together: what fits side by side, shared out evenly. 0 where one does not fit.
    """

    experiment: Experiment
    prediction: Prediction
    chunk: int

    @property
    def bytes(self) -> float:
        """Memory of a chunk on the chip."""
        return self.chunk * (self.prediction.state + self.prediction.temporary)

    @property
    def seed_steps(self) -> int:
        """Steps of all seeds, those that fill up the last chunk included."""
        n = len(self.experiment.seeds)
        trained = -(-n // self.chunk) * self.chunk if self.chunk else n
        return trained * self.experiment.steps

    @property
    def flops(self) -> float:
        """Training FLOPs of all seeds."""
        return self.seed_steps * self.prediction.flops

    @property
    def least_seconds(self) -> float:
        """No program that moves these bytes, and multiplies these matrices, takes less."""
        return self.seed_steps * self.prediction.least_seconds


def chip_estimates(
    experiments: Sequence[Experiment],
    chip: Chip,
    *,
    memory: int = 0,
    cache: Path | None = None,
    compiling: Callable[[Experiment], None] = lambda experiment: None,
) -> Iterator[ChipEstimate]:
    """Compiles each cell's program for a chip; a minute or two for every one that is not in the cache.

    Args:
        experiments: the cells, each with the seeds that are to be trained.
        chip: need not be here. Where its compiler is missing, memory and FLOPs come from the formula.
        memory: bytes that a chunk may take; 0 takes a share of what the chip has.
        cache: folder of earlier answers; None keeps none.
        compiling: called with a cell before its program is compiled.
    """
    compiles = compiler_missing(chip) is None
    known: dict[Any, Prediction] = {}  # cells that differ in hyperparameters share a program
    for experiment in experiments:
        part = fixed_part(experiment)
        if part not in known and not compiles:
            known[part] = by_formula(experiment, chip)
        elif part not in known:
            if kept_prediction(experiment, chip, cache=cache) is None:
                compiling(experiment)
            known[part] = predicted(experiment, chip, cache=cache)
        found = known[part]
        yield ChipEstimate(experiment, found, _chunk(len(experiment.seeds), found.side_by_side(memory)))


def compiler_missing(chip: Chip) -> CompilerMissingError | None:
    """Why programs cannot be compiled for a chip; None if they can."""
    try:
        described(chip)
    except CompilerMissingError as error:
        return error
    return None


def _chunk(seeds: int, fits: int) -> int:
    """Seeds of chunks of equal size, none larger than what fits."""
    most = min(fits, _MOST)
    return -(-seeds // -(-seeds // most)) if most else 0
