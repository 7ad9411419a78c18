"""Which seeds of a chunk have the rules of their experiment stopped, and how is the rest trained?

A stopped seed is frozen like one that diverged: the compiled program stays the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import numpy as np

from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.scores import Evaluation, Progress, measured
from jaxemerge.training import ResumeState, Snapshot

Stream = Iterator[tuple[Progress, Snapshot | None]]


class Stopped:
    """The seeds that rules have stopped. A rule sees a seed's own scores alone.

    Attributes:
        at: steps [S] at which they were stopped; -1 for the others.
    """

    def __init__(self, experiment: Experiment, n: int, earlier: Iterable[Evaluation] = ()) -> None:
        """Of ``n`` seeds, after earlier evaluations."""
        self._experiment = experiment
        self._values: list[list[np.ndarray]] = [[] for _ in experiment.stop_when]
        self._last: Evaluation | None = None
        self.at = np.full(n, -1)
        for evaluation in earlier:
            self._remember(evaluation)

    @property
    def all(self) -> bool:
        """Whether no seed is trained any more: all are stopped or diverged."""
        return self._last is not None and bool(np.all((self.at >= 0) | self._last.diverged))

    def see(self, progress: Progress) -> Progress:
        """The progress, with stopped seeds at their last numbers; an evaluation can stop further ones."""
        if progress.evaluation is not None:
            evaluation = self._ruled(self._repeated(progress.evaluation))
            return Progress(progress.step, evaluation.train_loss, evaluation)
        if self._last is None:
            return progress
        return progress._replace(loss=np.where(self.at >= 0, self._last.train_loss, progress.loss))

    def freeze(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot, in which stopped seeds move no more."""
        state = snapshot.state
        stopped = self.at >= 0
        filling = np.repeat(stopped[-1:], len(state.diverged) - len(stopped))
        diverged = np.asarray(state.diverged) | np.concatenate([stopped, filling])
        return snapshot._replace(state=state._replace(diverged=diverged))

    def _repeated(self, seen: Evaluation) -> Evaluation:
        """The evaluation, in which stopped seeds have all numbers of the one before."""
        stopped = self.at >= 0
        if self._last is None or not stopped.any():
            return seen._replace(stopped_at=self.at)

        def chosen(before: np.ndarray, now: np.ndarray) -> np.ndarray:
            return np.where(stopped.reshape(-1, *[1] * (now.ndim - 1)), before, now)

        arrays = jax.tree.map(chosen, self._last[1:], seen._replace(stopped_at=self.at)[1:])
        return Evaluation(seen.step, *arrays)

    def _ruled(self, evaluation: Evaluation) -> Evaluation:
        self._remember(evaluation)
        stops = np.zeros(len(self.at), bool)
        for rule, values in zip(self._experiment.stop_when, self._values, strict=True):
            stops |= rule.stops(np.stack(values))
        self.at = np.where(stops & (self.at < 0) & ~evaluation.diverged, evaluation.step, self.at)
        self._last = evaluation._replace(stopped_at=self.at)
        return self._last

    def _remember(self, evaluation: Evaluation) -> None:
        found: dict[str, list[np.ndarray]] = {
            "train_loss": [evaluation.train_loss],
            "grad_norm": [evaluation.gradient_norm],
        }
        for one in measured(self._experiment, evaluation.scores):
            found.setdefault(one.metric, []).append(one.values)
        for rule, values in zip(self._experiment.stop_when, self._values, strict=True):
            values.append(np.stack(found[rule.metric]))
        self._last = evaluation
        self.at = self.at if evaluation.stopped_at is None else evaluation.stopped_at


def under_rules(
    stopped: Stopped,
    train_from: Callable[[ResumeState | None], Stream],
    begin: ResumeState | None,
    steps: Sequence[int],
    due: Sequence[int],
) -> Stream:
    """Trains from evaluation to evaluation, and freezes the seeds that stop there.

    Once all seeds have stopped, the evaluations that are left repeat the last one, without training.

    Args:
        stopped: sees all progress.
        train_from: training from a state on; yields a snapshot with every evaluation.
        begin: where training begins; None for its first step.
        steps: increasing, at which something is yielded after all seeds have stopped.
        due: those of them that are evaluations.
    """
    while True:
        for progress, snapshot in train_from(begin):
            seen = stopped.see(progress)
            if snapshot is None or seen.evaluation is None:
                yield seen, snapshot
                continue
            frozen = stopped.freeze(snapshot)
            yield seen, frozen
            if stopped.all:
                for step in (step for step in steps if step > seen.step):
                    again = seen.evaluation._replace(step=step) if step in due else None
                    yield Progress(step, seen.loss, again), frozen._replace(step=step)
                return
            begin = ResumeState(frozen.step, frozen.state, ())
            break
        else:
            return
