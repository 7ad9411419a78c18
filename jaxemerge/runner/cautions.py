"""What is allowed, and still unlikely to be meant?"""

from __future__ import annotations

from collections.abc import Iterable

from jaxemerge.runner.experiment import Experiment
from jaxemerge.training import Scheduled


def cautions(experiments: Iterable[Experiment]) -> list[str]:
    """A line for everything that some experiments probably do not mean, each once."""
    found = (_warmup(experiment) for experiment in experiments)
    return list(dict.fromkeys(line for line in found if line))


def _warmup(experiment: Experiment) -> str:
    optimizer, steps = experiment.optimizer, experiment.steps
    if not isinstance(optimizer, Scheduled) or optimizer.warmup < steps:
        return ""
    return (
        f"optimizer.warmup={optimizer.warmup} is not shorter than the training of {steps} steps: "
        "the learning rate never reaches its peak"
    )
