"""Trains seeds and scores them along the way: one chunk as a stream of progress, or a whole experiment."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from jaxemerge.runner.weights import KeepAt, kept_steps
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
    objective_of,
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
    keep_at: Sequence[int] = (),
) -> Iterator[tuple[Progress, Snapshot | None]]:
    """Trains up to ``plan.chunk`` members, scoring them at every evaluation step.

    The numbers of a dispatch are read while the next one runs: the device never waits for the host. Snapshots
    of the weights are therefore yielded only at the end, at ``keep_at``, and where ``pause`` asks for them.

    The chunk is filled up with copies of its last member, which are not reported.

    Args:
        experiment: the cell, or one of the members' cells: these share a program and evaluation steps.
        plan: how it is trained.
        who: at most ``plan.chunk`` members.
        pause: called after every dispatch; True yields a snapshot, for which the device waits.
        resume: program and members -> the state to resume from.
        keep_at: further steps after which a snapshot is yielded.

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
        start=None if resume else _started(experiment, population),
        stops=keep_at,
    )
    waiting: tuple[Snapshot, _Scored | None] | None = None  # is read while the next dispatch runs
    for snapshot in snapshots:
        scored = _scored(snapshot, score)
        if waiting is not None:
            yield _read(*waiting, n), None
        waiting = snapshot, scored
        if pause() or snapshot.step in keep_at:
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
    state, infos = _filled((resumed.state, resumed.infos), size)
    return resumed._replace(state=state, infos=infos)


def _started(experiment: Experiment, who: Members) -> Params | None:
    """Weights to start from; None where they are drawn."""
    if experiment.start is None:
        return None
    seeds = [(int(i), int(d)) for i, d in zip(who.init_seed, who.data_seed, strict=True)]
    return experiment.start.params(objective_of(experiment), seeds)


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
        kept: weights by step, of the steps of ``keep_weights_at``; as ``params``.
    """

    experiment: Experiment
    params: Params
    evaluations: tuple[Evaluation, ...]
    passed: Passed | None = None
    kept: Mapping[int, Params] = field(default_factory=dict)

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


def train(
    experiment: Experiment, *, chunk: int = 0, start: Any = None, keep_weights_at: KeepAt = ()
) -> Population:
    """Trains every seed of an experiment on all local devices and scores them along the way.

    Args:
        experiment: what to train.
        chunk: seeds trained at once; 0 chooses for the devices.
        start: weights to start from, as the experiment's field of that name.
        keep_weights_at: steps whose weights are kept in ``Population.kept``, or ``log``: 0, powers of 2, the
            last step.

    Returns:
        Population, its seeds in the order of ``experiment.seeds``.

    Raises:
        ValueError: the task, model or objective breaks its contract, or ``start`` holds weights of another
            shape; the message says how.
        DeviceError: the devices at hand return wrong numbers, or one seed is too much for their memory.
    """
    if start is not None:
        experiment = dataclasses.replace(experiment, start=start)
    keep_at = kept_steps(keep_weights_at, experiment.steps)
    use_host_cores()
    prepare(experiment)
    plan = make_plan(experiment, len(experiment.seeds), chunk=chunk)
    parts: list[_Part] = []
    left = experiment.seeds
    while left:
        try:
            parts.append(_trained(experiment, plan, left[: plan.chunk], keep_at))
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            plan = smaller_plan(experiment, plan)
            _LOG.warning(shrunk(plan))
        else:
            left = left[plan.chunk :]
    together = tuple(joined(step) for step in zip(*(part.evaluations for part in parts), strict=True))
    kept = {at: jax.tree.map(_concatenated, *(part.kept[at] for part in parts)) for at in parts[0].kept}
    weights = kept[experiment.steps]
    passed = None
    if experiment.pass_until is not None:
        work = *experiment.language(), weights, experiment.seeds
        passed = sampled(*work, experiment.pass_until)
    return Population(experiment, weights, together, passed, {at: kept[at] for at in keep_at})


class _Part(NamedTuple):
    """Weights by step, the final ones included, and all evaluations of one chunk."""

    kept: dict[int, Params]
    evaluations: list[Evaluation]


def _trained(experiment: Experiment, plan: Plan, seeds: Sequence[Seed], keep_at: Sequence[int]) -> _Part:
    part = _Part({}, [])
    who = experiment.members_of(seeds)
    for progress, snapshot in train_chunk(experiment, plan, who, keep_at=keep_at):
        if progress.evaluation is not None:
            part.evaluations.append(progress.evaluation)
        if snapshot is not None:
            part.kept[snapshot.step] = jax.tree.map(np.array, _first(snapshot.state.params, len(seeds)))
    return part


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
