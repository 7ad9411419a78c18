"""Trains seeds and scores them along the way: one chunk as a stream of progress, or a whole experiment."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.devices import use_host_cores
from jaxemerge.evaluation import sampled
from jaxemerge.runner.cautions import cautions
from jaxemerge.runner.checks import prepare
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.outcome import Population
from jaxemerge.runner.scores import Evaluation, Progress, Scores, joined, scorer
from jaxemerge.runner.stopped import Stopped, Stream, under_rules
from jaxemerge.runner.weights import KeepAt, kept_steps
from jaxemerge.training import (
    Members,
    Plan,
    Program,
    ResumeState,
    Seed,
    Snapshot,
    cost_of,
    is_out_of_memory,
    make_plan,
    objective_of,
    program,
    smaller_plan,
    train_population,
)
from jaxemerge.types import Params

if TYPE_CHECKING:
    from jaxemerge.runner.progress import Display

_LOG = logging.getLogger(__name__)


def train_chunk(
    experiment: Experiment,
    plan: Plan,
    who: Members,
    *,
    pause: Callable[[], bool] = lambda: False,
    resume: Callable[[Program, Members], ResumeState] | None = None,
    keep_at: Sequence[int] = (),
    earlier: Sequence[Evaluation] = (),
) -> Iterator[tuple[Progress, Snapshot | None]]:
    """Trains up to ``plan.chunk`` members, scoring them at every evaluation step.

    The numbers of a dispatch are read while the next one runs: the device never waits for the host. Snapshots
    of the weights are therefore yielded only at the end, at ``keep_at``, and where ``pause`` asks for them.
    With rules that stop seeds the device waits at evaluations, and these have snapshots, too.

    The chunk is filled up with copies of its last member, which are not reported.

    Args:
        experiment: the cell, or one of the members' cells: these share a program and evaluation steps.
        plan: how it is trained.
        who: at most ``plan.chunk`` members.
        pause: called after every dispatch; True yields a snapshot, for which the device waits.
        resume: program and members -> the state to resume from.
        keep_at: further steps after which a snapshot is yielded.
        earlier: evaluations up to where training resumes; read once ``resume`` has returned.

    Yields:
        Progress after every dispatch, with a Snapshot where one is valid, else None.
    """
    n = len(who.init_seed)
    population: Members = _filled(who, plan.chunk)
    score = scorer(experiment, plan.layout)
    built = program(experiment, plan.layout)
    begin = _resumed(resume(built, population), plan.chunk) if resume else None
    start = None if resume else _started(experiment, population)
    due, rules = experiment.evaluation_steps, bool(experiment.stop_when)

    def asked_for(snapshot: Snapshot) -> bool:
        return pause() or snapshot.step in keep_at or (rules and snapshot.due)

    def train_from(state: ResumeState | None) -> Stream:
        snapshots = train_population(
            *(built, population, due),
            longest_dispatch=plan.dispatch,
            resume=state,
            start=start,
            stops=keep_at,
        )
        return _followed(snapshots, score, n, asked_for)

    if rules:
        steps = sorted({*due, *keep_at})
        training = under_rules(Stopped(experiment, n, earlier), train_from, begin, steps, due)
    else:
        training = train_from(begin)
    del begin  # its arrays are needed no more once training has taken them over
    yield from training


def _followed(
    snapshots: Iterator[Snapshot],
    score: Callable[[Params], Scores],
    n: int,
    asked_for: Callable[[Snapshot], bool],
) -> Stream:
    """The numbers of the first ``n`` seeds, read one dispatch late but where a snapshot is asked for."""
    waiting: tuple[Snapshot, _Scored | None] | None = None  # is read while the next dispatch runs
    for snapshot in snapshots:
        scored = _scored(snapshot, score)
        if waiting is not None:
            yield _read(*waiting, n), None
        waiting = snapshot, scored
        if asked_for(snapshot):
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


def train(
    experiment: Experiment,
    *,
    chunk: int = 0,
    start: Any = None,
    keep_weights_at: KeepAt = (),
    progress: bool = True,
) -> Population:
    """Trains every seed of an experiment on all local devices and scores them along the way.

    Args:
        experiment: what to train.
        chunk: seeds trained at once; 0 chooses for the devices.
        start: weights to start from, as the experiment's field of that name.
        keep_weights_at: steps whose weights are kept in ``Population.kept``, or ``log``: 0, powers of 2, the
            last step.
        progress: whether to show it on the standard error: bars on a terminal and in a notebook, else lines.

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
    for line in cautions([experiment]):
        _LOG.warning(line)
    plan = make_plan(experiment, len(experiment.seeds), chunk=chunk)
    with contextlib.ExitStack() as shown:
        display = shown.enter_context(_shown(experiment, plan)) if progress else None
        parts = list(_parts(experiment, plan, keep_at, display))
    together = tuple(joined(step) for step in zip(*(part.evaluations for part in parts), strict=True))
    kept = {at: jax.tree.map(_concatenated, *(part.kept[at] for part in parts)) for at in parts[0].kept}
    weights = kept[experiment.steps]
    passed = None
    if experiment.pass_until is not None:
        work = *experiment.language(), weights, experiment.seeds
        passed = sampled(*work, experiment.pass_until)
    return Population(experiment, weights, together, passed, {at: kept[at] for at in keep_at})


@dataclass(frozen=True)
class Work:
    """Seeds of one experiment that are trained without a results folder.

    Attributes:
        experiment: with the seeds that are left.
        plan: how they are trained.
    """

    experiment: Experiment
    plan: Plan

    @property
    def chunks(self) -> list[tuple[Seed, ...]]:
        """Seeds that are trained at once."""
        return chunked(self.experiment.seeds, self.plan.chunk)

    @property
    def flops_per_step(self) -> float:
        """Of one step of one chunk."""
        return self.plan.chunk * cost_of(self.experiment).flops


@contextlib.contextmanager
def _shown(experiment: Experiment, plan: Plan) -> Iterator[Display | None]:
    """Shows progress, where what it needs is installed: training does without."""
    try:
        from jaxemerge.runner.progress import shown
    except ModuleNotFoundError:
        yield None
        return
    with shown(Work(experiment, plan)) as display:
        yield display


def _parts(
    experiment: Experiment, plan: Plan, keep_at: Sequence[int], display: Display | None
) -> Iterator[_Part]:
    """Chunk by chunk; of half the size where memory runs out."""
    left, number = list(experiment.seeds), 0
    work = Work(experiment, plan)
    while left:
        seeds = work.chunks[number]
        if display is not None:
            display.start_chunk(work, number, f"{experiment.task.name} {experiment.learner.label}".strip())
        try:
            part = _trained(experiment, work.plan, seeds, keep_at, display)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            work, number = Work(experiment.with_seeds(left), smaller_plan(experiment, work.plan)), 0
            if display is not None:
                display.drop_chunk()
            _LOG.warning(shrunk(work.plan))
            continue
        if display is not None:
            display.finish_chunk()
        yield part
        left, number = left[len(seeds) :], number + 1


class _Part(NamedTuple):
    """Weights by step, the final ones included, and all evaluations of one chunk."""

    kept: dict[int, Params]
    evaluations: list[Evaluation]


def _trained(
    experiment: Experiment,
    plan: Plan,
    seeds: Sequence[Seed],
    keep_at: Sequence[int],
    display: Display | None,
) -> _Part:
    part = _Part({}, [])
    who = experiment.members_of(seeds)
    for progress, snapshot in train_chunk(experiment, plan, who, keep_at=keep_at):
        if display is not None:
            display.update(progress)
        if progress.evaluation is not None:
            part.evaluations.append(progress.evaluation)
        if snapshot is not None and snapshot.step in (*keep_at, experiment.steps):
            part.kept[snapshot.step] = jax.tree.map(np.array, _first(snapshot.state.params, len(seeds)))
    return part


def shrunk(plan: Plan) -> str:
    """The line for people where ``smaller_plan`` was needed."""
    return f"Out of memory: continuing with {plan.chunk} seeds at once."


def chunked(seeds: Sequence[Seed], size: int) -> list[tuple[Seed, ...]]:
    """Seeds in groups of ``size``; the last may be smaller."""
    return [tuple(seeds[i : i + size]) for i in range(0, len(seeds), size)]


def _first(tree: Any, n: int) -> Any:
    return jax.tree.map(lambda x: np.asarray(x)[:n], tree)


def _concatenated(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)
