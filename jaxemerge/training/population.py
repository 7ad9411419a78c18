"""Many seeds in one program: compile once per cell, then train any number of chunks with it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.brief import brief
from jaxemerge.devices import Layout, over_seeds
from jaxemerge.models.implementation import Code, code_in_use
from jaxemerge.tasks import Task
from jaxemerge.training.recipe import Recipe, data_of, fixed_part
from jaxemerge.training.step import Member, Members, StepInfo, TrainState, initial_state, train_step
from jaxemerge.types import Array, Float, Params

LOSS_WINDOW = 50  # steps before an evaluation over which its training loss is averaged


@brief
class DispatchInfo(NamedTuple):
    """What the steps of one dispatch saw; leading axis S in a population.

    Attributes:
        loss_sum: training losses summed over the dispatch's steps at or after ``tally_from``.
        last: loss and gradient norm of the dispatch's last step.
    """

    loss_sum: Float[Array, "*S"]
    last: StepInfo


@dataclasses.dataclass(frozen=True)
class Program:
    """A cell's compiled functions; every array of a state or of members has the leading axis S.

    Attributes:
        layout: devices and width these were compiled for.
        recipe: what they were compiled for.
        init: members -> state, its weights drawn.
        begin: (members, weights) -> state of given weights.
        advance: (state, members, start, stop, tally_from, *data) -> (state, DispatchInfo). Takes over the
            memory of the state it is given. One compilation serves any number of steps.
    """

    layout: Layout
    recipe: Recipe
    init: Callable[[Members], TrainState]
    begin: Callable[[Members, Params], TrainState]
    advance: Callable[..., tuple[TrainState, DispatchInfo]]

    @property
    def data(self) -> tuple[Array, ...]:
        """The task's arrays, whole on each of this program's devices."""
        return _placed(self.recipe, self.layout.devices)

    def place(self, tree: Any) -> Any:
        """Members, or their weights, as arrays on this program's devices."""
        return jax.device_put(tree, self.layout.sharding)


def program(recipe: Recipe, layout: Layout) -> Program:
    """The training program of a cell; cells with the same ``fixed_part`` share it."""
    return _program(fixed_part(recipe), layout, code_in_use())


@functools.lru_cache(maxsize=32)
def _program(fixed: Recipe, layout: Layout, code: Code) -> Program:
    del code  # platform and kernels: programs are traced differently for each
    # Initial weights are always drawn one seed after the other: they are then the same to the last
    # bit whatever the layout.
    one_by_one = Layout(layout.devices, 1)
    arguments = 3 + len(data_of(fixed))
    return Program(
        layout=layout,
        recipe=fixed,
        init=over_seeds(lambda member: initial_state(fixed, member), one_by_one),
        begin=over_seeds(functools.partial(initial_state, fixed), one_by_one, mapped=2),
        advance=over_seeds(
            functools.partial(advance, fixed), layout, mapped=2, shared=arguments, changes=True
        ),
    )


def _placed(recipe: Recipe, devices: tuple[jax.Device, ...]) -> tuple[Array, ...]:
    return _on_devices(cast("Task", recipe.task), devices) if data_of(recipe) else ()


@functools.lru_cache(maxsize=4)  # programs of one task share its arrays
def _on_devices(task: Task, devices: tuple[jax.Device, ...]) -> tuple[Array, ...]:
    return jax.device_put(task.data, Layout(devices).everywhere)


def advance(
    recipe: Recipe, state: TrainState, member: Member, start: Any, stop: Any, tally_from: Any, *data: Array
) -> tuple[TrainState, DispatchInfo]:
    """Trains one seed from step ``start`` up to, not including, step ``stop``; ``data`` are the task's."""

    def body(step: Array, carry: tuple[TrainState, DispatchInfo]) -> tuple[TrainState, DispatchInfo]:
        state, info = carry
        state, seen = train_step(recipe, state, member, step, data)
        counted = jnp.where(step >= tally_from, seen.loss, 0.0)
        return state, DispatchInfo(info.loss_sum + counted, seen)

    zero = jnp.zeros((), jnp.float32)
    return jax.lax.fori_loop(start, stop, body, (state, DispatchInfo(zero, StepInfo(zero, zero))))


@brief
class ResumeState(NamedTuple):
    """All that training needs to resume after a dispatch; every array has the leading axis S.

    Attributes:
        step: updates made so far.
        state: weights and optimizer.
        infos: what the dispatches since the previous evaluation saw; empty after an evaluation.
        evaluated: steps of the evaluations so far; None for all up to ``step`` that are asked for.
    """

    step: int
    state: TrainState
    infos: tuple[DispatchInfo, ...]
    evaluated: tuple[int, ...] | None = None

    def evaluations(self, asked: Sequence[int]) -> tuple[int, ...]:
        """Those so far, and those that are asked for later."""
        so_far = [step for step in asked if step <= self.step] if self.evaluated is None else self.evaluated
        return (*so_far, *(step for step in asked if step > self.step))


@brief
class Snapshot(NamedTuple):
    """A population after a dispatch; reading one of its numbers waits for the device.

    Attributes:
        step: updates made so far.
        state: weights and optimizer, leading axis S; valid until the next snapshot is asked for.
        due: whether ``step`` is one of the evaluation steps.
        infos: what the dispatches since the previous evaluation saw.
        counted: steps whose losses they summed up.
    """

    step: int
    state: TrainState
    due: bool
    infos: tuple[DispatchInfo, ...]
    counted: int

    def resume_state(self, n: int) -> ResumeState:
        """The first ``n`` seeds on the host; waits for the device, which has nothing to do meanwhile."""
        kept = (self.state, () if self.due else self.infos)
        state, infos = jax.tree.map(lambda x: np.asarray(x)[:n], kept)
        return ResumeState(self.step, state, infos)

    @property
    def train_loss(self) -> Float[np.ndarray, " S"]:
        """Training loss in nats.

        At an evaluation step t > 0 the mean over the batches of the last ``LOSS_WINDOW`` steps since
        the previous evaluation, each before its update; at step 0 the loss of the first batch under
        the initial weights. Else of the last batch.
        """
        if not self.due:
            return np.asarray(self.infos[-1].last.loss)
        total: np.ndarray = sum(np.asarray(info.loss_sum, np.float64) for info in self.infos)  # type: ignore[assignment]
        return total / self.counted

    @property
    def gradient_norm(self) -> Float[np.ndarray, " S"]:
        """Of the last batch, before clipping (of the first batch at step 0)."""
        return np.asarray(self.infos[-1].last.gradient_norm)


def dispatches(edges: Iterable[int], longest: int) -> list[tuple[int, int]]:
    """Cuts training into (start, stop) ranges that end at all ``edges`` and are at most ``longest`` steps."""
    cuts: list[tuple[int, int]] = []
    for start, stop in itertools.pairwise(sorted({*edges})):
        n = -(-(stop - start) // longest)
        edges = [start + (stop - start) * i // n for i in range(n + 1)]
        cuts += itertools.pairwise(edges)
    return cuts


def train_population(
    built: Program,
    members: Members,
    evaluation_steps: Sequence[int],
    *,
    longest_dispatch: int = 100,
    resume: ResumeState | None = None,
    start: Params | None = None,
    stops: Sequence[int] = (),
) -> Iterator[Snapshot]:
    """Trains a chunk of seeds and pauses after every dispatch.

    Args:
        built: the cell's program.
        members: S of them, a multiple of ``built.layout.multiple``.
        evaluation_steps: increasing, from 0 to the last step of training.
        longest_dispatch: most steps between two snapshots.
        resume: where to resume, from a snapshot of the same members; to the same bits with the same
            ``longest_dispatch`` and ``stops``.
        start: weights to start from, leading axis S; None draws them.
        stops: further steps after which a dispatch ends. They change a training loss by rounding at most.

    Yields:
        A Snapshot at step 0 and after every dispatch; with ``resume`` only those that come after it.
    """
    placed = built.place(members)
    if resume is None:
        weights = None if start is None else built.place(start)
        first = _first_look(built, placed, weights)
        resume = ResumeState(0, _first_state(built, placed, weights), ())
        del weights
        yield Snapshot(0, resume.state, True, (first,), 1)
    due = resume.evaluations(evaluation_steps)
    begin, state, infos, _ = resume
    del resume  # its arrays may be the device's: the first dispatch takes them over
    state, infos = jax.device_put((state, infos), built.layout.sharding)
    previous = max(step for step in due if step <= begin)
    for first_step, stop in _left({*due, *stops}, longest_dispatch, begin):
        following = next(step for step in due if step >= stop)
        tally_from = max(previous, following - LOSS_WINDOW)
        state, info = built.advance(state, placed, first_step, stop, tally_from, *built.data)
        infos = (*infos, info)
        yield Snapshot(stop, state, stop in due, infos, stop - tally_from)
        if stop in due:
            previous, infos = stop, ()


def _left(edges: set[int], longest: int, begin: int) -> list[tuple[int, int]]:
    """Dispatches from step ``begin`` on: those of an undisturbed run, where one of them begins there."""
    cuts = dispatches(edges, longest)
    if begin < max(edges) and begin not in {start for start, _ in cuts}:
        cuts = dispatches({*edges, begin}, longest)
    return [(start, stop) for start, stop in cuts if start >= begin]


def _first_state(built: Program, members: Members, weights: Params | None) -> TrainState:
    return built.init(members) if weights is None else built.begin(members, weights)


def _first_look(built: Program, members: Members, weights: Params | None) -> DispatchInfo:
    """Loss and gradient of the first batch under the initial weights.

    Training then draws its weights again: that is cheaper than the memory of a second state.
    """
    _, info = built.advance(_first_state(built, members, weights), members, 0, 1, 0, *built.data)
    return jax.block_until_ready(info)
