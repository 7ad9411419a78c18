"""One chunk of one cell, trained and stored as a study does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jaxemerge.runner import chunk
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.groups import Chunk
from jaxemerge.runner.jobs import Job
from jaxemerge.runner.labels import labels
from jaxemerge.runner.scores import Progress
from jaxemerge.runner.store import Store
from jaxemerge.training import Seed


def run_chunk(job: Job, seeds: Sequence[Seed], store: Store, **options: Any) -> Iterator[Progress]:
    """Trains some seeds of a job at once; ``options`` are those of ``RunOptions``."""
    together = Chunk.of(job.plan, ((job, seed) for seed in seeds))
    return chunk.run_chunk(together, store, chunk.RunOptions(**options))


def called(experiment: Experiment, *others: Experiment) -> str:
    """What lines for people call a cell, among the others of its study."""
    return labels({each.cell: each.to_dict() for each in (experiment, *others)})[experiment.cell]
