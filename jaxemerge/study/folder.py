"""What is in the results folder of a study? Its rows, its report, and populations with their weights."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.labels import labels
from jaxemerge.runner.outcome import Population
from jaxemerge.types import Params

if TYPE_CHECKING:
    import polars as pl

    from jaxemerge.runner.records import CellStatus
    from jaxemerge.runner.store import Store


@dataclass(frozen=True, eq=False, repr=False)
class StoredPopulation(Population):
    """A trained population that was read from a results folder; its ``evaluations`` are in ``frame()``.

    Attributes:
        rows: what ``frame()`` returns.
        counts: what ``passes()`` returns.
    """

    rows: Any = None
    counts: Any = None

    def __repr__(self) -> str:
        seeds, steps = len(self.experiment.seeds), self.experiment.steps
        return f"Population({self.experiment.cell}, {seeds} seeds, {steps:,} steps; from a results folder)"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"

    def frame(self) -> pl.DataFrame:
        return self.rows

    def passes(self) -> pl.DataFrame | None:
        return self.counts


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """Experiments with their results folder.

    Attributes:
        cells: the experiments.
        store: the results folder.
    """

    cells: tuple[Experiment, ...]
    store: Store

    @property
    def labels(self) -> dict[str, Experiment]:
        """The experiments by what tells them apart, such as ``depth 2, lr 3e-3``."""
        called = labels({cell.cell: cell.to_dict() for cell in self.cells})
        return {called[cell.cell]: cell for cell in self.cells}

    def __repr__(self) -> str:
        seeds = sum(len(cell.seeds) for cell in self.cells)
        return f"Study({str(self.store.folder)!r}: {seeds} seeds in {len(self.cells)} cells)"

    def frame(self) -> pl.DataFrame:
        """Results of the folder's finished seeds: one row per seed, evaluation step, split and metric."""
        return self.store.results()

    def report(self, *, threshold: float | None = None) -> Path:
        """Writes ``report.html``, charts and tables into the folder, and returns the page's path.

        Args:
            threshold: success is a score of at least this; by default as ``run`` was told.

        Raises:
            ValueError: no seed is finished, or guessing would be a success.
        """
        return report_of(self.store, self.store.threshold if threshold is None else threshold)

    def population(self, cell: Experiment | str | int) -> StoredPopulation:
        """The trained population of one cell, its seeds in the order of ``experiment.seeds``.

        Args:
            cell: an experiment, its label or id, or its number from 0.

        Raises:
            ValueError: there is no such cell, or its weights were not kept.
        """
        experiment = self._cell(cell)
        kept = dict(self.store.weights(experiment.cell))
        missing = [seed for seed in experiment.seeds if seed not in kept]
        if missing:
            raise ValueError(
                f"{self.store.folder} holds no weights of {len(missing)} of {len(experiment.seeds)} seeds: "
                "they are kept where run(..., keep_weights=True) or --keep-weights trains them"
            )
        params = _stacked(experiment, [kept[seed] for seed in experiment.seeds])
        passes = self.store.passes()
        counts = None if passes is None else _of_cell(passes, experiment)
        return StoredPopulation(
            experiment, params, (), rows=_of_cell(self.frame(), experiment), counts=counts
        )

    def _cell(self, which: Experiment | str | int) -> Experiment:
        if isinstance(which, int) and -len(self.cells) <= which < len(self.cells):
            return self.cells[which]
        for label, experiment in self.labels.items():
            if which in (label, experiment.cell, experiment):
                return experiment
        raise ValueError(f"cell {which!r}: must be a number or one of {'; '.join(self.labels)}")


def _stacked(experiment: Experiment, members: Sequence[dict[str, Any]]) -> Params:
    import jax
    import numpy as np

    from jaxemerge.runner.weights import unnamed
    from jaxemerge.training import init_shapes

    shapes = init_shapes(experiment)
    trees = [unnamed(arrays, shapes) for arrays in members]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _of_cell(frame: pl.DataFrame, experiment: Experiment) -> pl.DataFrame:
    import polars as pl

    seeds = pl.DataFrame(experiment.seeds, schema=["init_seed", "data_seed"], orient="row")
    rows = frame.filter(pl.col("cell") == experiment.cell)
    return rows.join(seeds, on=["init_seed", "data_seed"], how="semi")


def report_of(
    store: Store,
    threshold: float | None,
    *,
    details: Sequence[tuple[str, str]] = (),
    figure: Any = None,
    reload: float | None = None,
    unless_current: bool = False,
) -> Path:
    """Writes the report of a results folder into it; where seeds are missing, it says so first.

    Args:
        store: the folder.
        threshold: success is a score of at least this; None for a fifth of the way from chance to 1.
        details: (label, text) pairs, shown before those on how the results came about.
        figure: an Altair chart that is shown first.
        reload: seconds after which the open page loads itself again; None for never.
        unless_current: leave a report as it is if the same one would be written.

    Returns:
        The path of its page.

    Raises:
        ValueError: no seed is finished, or guessing would be a success.
    """
    from jaxemerge.report import is_current, source_digest, write_report
    from jaxemerge.runner.provenance import described
    from jaxemerge.runner.records import StoreError, study_status

    results, records = store.results(), store.records()
    if results.is_empty():
        raise StoreError(f"{store.folder} holds no finished seeds yet: nothing to report")
    details = [*details, *described(records)]
    drawn = None if figure is None else figure.to_dict()
    notes = _under_way(study_status(store))
    source = source_digest([store.study, threshold, details, drawn, notes, reload, records])
    if unless_current and is_current(store.folder, source):
        return store.folder / "report.html"
    return write_report(
        results,
        store.folder,
        title=store.study,
        threshold=threshold,
        details=details,
        passes=store.passes(),
        chance=max(record.get("chance", 0.0) for record in records),
        best_loss=min(record.get("best_loss") or 0.0 for record in records),
        constant=constant_scores_of(records),
        figure=figure,
        notes=notes,
        reload=reload,
        source=source,
    )


def _under_way(cells: Sequence[CellStatus]) -> list[str]:
    """How much of a study that is not finished is there."""
    missing = sum(cell.missing or 0 for cell in cells)
    if not missing:
        return []
    done = sum(cell.finished for cell in cells)
    started = sum(cell.finished > 0 for cell in cells)
    return [
        f"Under way: {done:,} of {done + missing:,} seeds are finished, in {started} of {len(cells)} cells; "
        "what follows is about these."
    ]


def constant_scores_of(records: Iterable[dict[str, Any]]) -> list[tuple[str, str, int | None, float]]:
    """Cell, split, length and score of every frequent answer, as records of finished chunks have them."""
    found = [(one["cell"], *each) for one in records for each in one.get("constant", ())]
    return [(cell, split, length, score) for cell, split, length, score in dict.fromkeys(found)]
