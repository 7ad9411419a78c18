"""Trains seeds and scores them along the way: one chunk as a stream of progress, or a whole experiment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.code import is_own
from jaxemerge.devices import self_test, use_host_cores
from jaxemerge.evaluation import Passed, sampled
from jaxemerge.models import check_model
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.scores import Evaluation, Progress, Scores, joined, scorer
from jaxemerge.tasks import Task, check_task
from jaxemerge.training import (
    Members,
    Objective,
    Plan,
    Program,
    ResumeState,
    Seed,
    Snapshot,
    check_objective,
    is_out_of_memory,
    make_plan,
    program,
    smaller_plan,
    train_population,
)
from jaxemerge.types import Params

if TYPE_CHECKING:
    import polars as pl

_LOG = logging.getLogger(__name__)


def train_chunk(
    experiment: Experiment,
    plan: Plan,
    who: Members,
    *,
    pause: Callable[[], bool] = lambda: False,
    resume: Callable[[Program, Members], ResumeState] | None = None,
) -> Iterator[tuple[Progress, Snapshot | None]]:
    """Trains up to ``plan.chunk`` members, scoring them at every evaluation step.

    The numbers of a dispatch are read while the next one runs: the device never waits for the host. Snapshots
    of the weights are therefore yielded only at the end, and where ``pause`` asks for them.

    The chunk is filled up with copies of its last member, which are not reported.

    Args:
        experiment: the cell, or one of the members' cells: these share a program and evaluation steps.
        plan: how it is trained.
        who: at most ``plan.chunk`` members.
        pause: called after every dispatch; True yields a snapshot, for which the device waits.
        resume: program and members -> the state to resume from.

    Yields:
        Progress after every dispatch, with a Snapshot where one is valid, else None.
    """
    n = len(who.init_seed)
    population: Members = _filled(who, plan.chunk)
    score = scorer(experiment.task, experiment.model, plan.layout)
    built = program(experiment, plan.layout)
    snapshots = train_population(
        built,
        population,
        experiment.evaluation_steps,
        longest_dispatch=plan.dispatch,
        resume=_resumed(resume(built, population), plan.chunk) if resume else None,
    )
    waiting: tuple[Snapshot, _Scored | None] | None = None  # is read while the next dispatch runs
    for snapshot in snapshots:
        scored = _scored(snapshot, score)
        if waiting is not None:
            yield _read(*waiting, n), None
        waiting = snapshot, scored
        if pause():
            yield _read(*waiting, n), snapshot
            waiting = None
    if waiting is not None:
        yield _read(*waiting, n), waiting[0]


def _filled(tree: Any, size: int) -> Any:
    """Filled up with copies of the last member to the size of a chunk."""

    def fill(x: Any) -> np.ndarray:
        return np.concatenate([x, np.repeat(x[-1:], size - len(x), axis=0)])

    return jax.tree.map(fill, tree)


def _resumed(resumed: ResumeState, size: int) -> ResumeState:
    return ResumeState(resumed.step, *_filled((resumed.state, resumed.infos), size))


class _Scored(NamedTuple):
    """Scores on the device, requested before the next dispatch overwrites the weights."""

    scores: Scores
    diverged: Any


def _scored(snapshot: Snapshot, score: Callable[[Params], Scores]) -> _Scored | None:
    if not snapshot.due:
        return None
    return _Scored(score(snapshot.state.params), jnp.copy(snapshot.state.diverged))


def _read(snapshot: Snapshot, scored: _Scored | None, n: int) -> Progress:
    """The numbers of the first ``n`` seeds, on the host."""
    loss = snapshot.train_loss[:n]
    evaluation = None
    if scored is not None:
        evaluation = Evaluation(
            step=snapshot.step,
            scores=_first(scored.scores, n),
            train_loss=loss,
            gradient_norm=snapshot.gradient_norm[:n],
            diverged=np.asarray(scored.diverged)[:n],
        )
    return Progress(snapshot.step, loss, evaluation)


@dataclass(frozen=True, eq=False)
class Population:
    """A trained population.

    Attributes:
        experiment: what was trained.
        params: final weights as NumPy arrays, leading axis S in the order of ``experiment.seeds``.
        evaluations: scores of all seeds at every evaluation step.
        passed: counts of samples, where the experiment's ``pass_until`` asks for them.
    """

    experiment: Experiment
    params: Params
    evaluations: tuple[Evaluation, ...]
    passed: Passed | None = None

    def frame(self) -> pl.DataFrame:
        """The results schema: one row per seed, evaluation step, split and metric. Needs Polars."""
        from jaxemerge.runner.tables import results_table, with_pass_rates

        rows = results_table(self.experiment, self.experiment.seeds, self.evaluations)
        return with_pass_rates(rows, self.passes())

    def passes(self) -> pl.DataFrame | None:
        """Counts of sampling, one row per seed and item; None where nothing was sampled. Needs Polars."""
        from jaxemerge.runner.tables import passes_table

        if self.passed is None:
            return None
        return passes_table(self.experiment, self.experiment.seeds, self.evaluations[-1], self.passed)


def train(experiment: Experiment, *, chunk: int = 0) -> Population:
    """Trains every seed of an experiment on all local devices and scores them along the way.

    Args:
        experiment: what to train.
        chunk: seeds trained at once; 0 chooses for the devices.

    Returns:
        Population, its seeds in the order of ``experiment.seeds``.

    Raises:
        ValueError: the task, model or objective breaks its contract; the message says how.
        DeviceError: the devices at hand return wrong numbers, or one seed is too much for their memory.
    """
    use_host_cores()
    prepare(experiment)
    plan = make_plan(experiment, len(experiment.seeds), chunk=chunk)
    parts: list[tuple[Params, list[Evaluation]]] = []
    left = experiment.seeds
    while left:
        try:
            parts.append(_trained(experiment, plan, left[: plan.chunk]))
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            plan = smaller_plan(experiment, plan)
            _LOG.warning(shrunk(plan))
        else:
            left = left[plan.chunk :]
    params, evaluations = zip(*parts, strict=True)
    together = tuple(joined(step) for step in zip(*evaluations, strict=True))
    weights = jax.tree.map(_concatenated, *params)
    passed = None
    if experiment.pass_until is not None:
        work = *experiment.language(), weights, experiment.seeds
        passed = sampled(*work, experiment.pass_until)
    return Population(experiment, weights, together, passed)


def _trained(experiment: Experiment, plan: Plan, seeds: Sequence[Seed]) -> tuple[Params, list[Evaluation]]:
    """Final weights and all evaluations of one chunk."""
    evaluations = []
    params: Params = {}
    for progress, snapshot in train_chunk(experiment, plan, experiment.members_of(seeds)):
        if progress.evaluation is not None:
            evaluations.append(progress.evaluation)
        if snapshot is not None:
            params = _first(snapshot.state.params, len(seeds))
    return params, evaluations


def shrunk(plan: Plan) -> str:
    """The line for people where ``smaller_plan`` was needed."""
    return f"Out of memory: continuing with {plan.chunk} seeds at once."


def prepare(experiment: Experiment) -> None:
    """Checks devices, task, model and objective before training.

    Raises:
        DeviceError: the devices return wrong numbers.
        ValueError: the task, model or objective breaks its contract; the message says how.
    """
    self_test()
    task, model = experiment.task, experiment.model
    if model is None:
        _raise_problems(f"objective {task.name}", check_objective(cast("Objective", task)))
        return
    known = cast("Task", task)
    _raise_problems(f"task {task.name}", check_task(known))
    if is_own(type(model)):
        longest = max(experiment.context, *(one.tokens.shape[1] for one in known.evaluation_sets()))
        _raise_problems(f"model {type(model).__name__}", check_model(model, known.vocabulary, longest))


def _raise_problems(what: str, problems: Sequence[str]) -> None:
    if problems:
        raise ValueError(f"{what}: {'; '.join(problems)}")


def chunked(seeds: Sequence[Seed], size: int) -> list[tuple[Seed, ...]]:
    """Seeds in groups of ``size``; the last may be smaller."""
    return [tuple(seeds[i : i + size]) for i in range(0, len(seeds), size)]


def _first(tree: Any, n: int) -> Any:
    return jax.tree.map(lambda x: np.asarray(x)[:n], tree)


def _concatenated(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)
