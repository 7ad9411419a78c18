"""What does a report show? Its headline, its figures in their order, and the summary table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from jaxemerge.analysis import (
    final,
    findings,
    is_share,
    learning_curves,
    loss_metric,
    main_metric,
    never_right,
    summarise,
)
from jaxemerge.analysis.kinds import is_loss, limit_of, limited
from jaxemerge.analysis.results import rows_of
from jaxemerge.charts.theme import metric_name

from .comparisons import along_training, differences, power_laws
from .distribution import histograms, lead, success, values, violins
from .distribution_law import left_out, whole_distribution
from .laws import laws
from .metrics import emergences
from .mixtures import beside_the_loss, components
from .page import Contents, Figure, Section
from .passes import pass_rates
from .scale import distances_between_cells, success_against_scale_fitted, thresholds
from .single_seeds import luck, single_seeds, sources
from .training import breakthrough_times, learning, training_loss


def contents(
    frame: pl.DataFrame,
    threshold: float,
    metric: str | None,
    passes: pl.DataFrame | None = None,
    chance: float = 0.0,
    best_loss: float | None = None,
    split: str | None = None,
    length: int | None = None,
) -> Contents:
    """Headline, figures by question, and summary of one metric, by default the frame's own main one.

    Figures and tests of one test are of that with the `split` and `length` given, or of
    `analysis.primary_test`.
    """
    main = metric or main_metric(frame)
    share = main is not None and is_share(frame, main)
    of_loss = [*laws(frame, alone=not share), *pass_rates(passes)]
    # If no run has an exact answer, and the study is about the loss, the report is about the loss.
    if main is None or not share or ((of_loss or best_loss) and never_right(frame, main)):
        return _of_a_loss(frame, main, loss_metric(frame) if share else main, of_loss)
    exact = rows_of(frame, main)
    ends = final(exact)
    table = summarise(ends, main, threshold)
    found = findings.focus(ends, main, threshold, split=split, length=length)
    headline = [
        *findings.population_sentences(frame),
        findings.both_ends_sentence(found),
        findings.lost_sentence(learning_curves(exact, **findings.test_of(found)), found["test"], threshold),
        left_out(ends, main),
    ]
    by_metric = list(emergences(frame, ends, found, chance))
    of_values = _of_values(frame, limited(main), limit_of(main))
    sections = (
        Section("values-by-cell", "Values", tuple(of_values[1:])),
        Section("shape", "Shape", () if of_values else (components(ends, found),)),
        Section("scale", "Scale", tuple(_against_scale(ends, table, found, threshold))),
        Section("training", "Training", tuple(_along_training(frame, exact, found, threshold))),
        Section("metrics", "Metrics", (*by_metric[:1], *beside_the_loss(frame, found))),
        Section("variance", "Where variance comes from", (*single_seeds(ends, found), *sources(ends, found))),
        Section("laws", "Laws", tuple(of_loss)),
        Section(
            "diagnostics",
            "Diagnostics",
            (
                *(() if of_values else (violins(ends, table, found), thresholds(ends, found, threshold))),
                *by_metric[1:],
                *luck(frame, found),
            ),
            folded=True,
        ),
    )
    return Contents(
        list(filter(None, headline)),
        of_values[0] if of_values else histograms(ends, main),
        _with_figures(*sections),
        table,
        found["test"],
        findings.success_means(main, threshold),
    )


def _against_scale(
    ends: pl.DataFrame, table: pl.DataFrame, found: dict[str, Any], threshold: float
) -> Iterator[Figure]:
    yield success(ends, table, found)
    yield from success_against_scale_fitted(ends, found, threshold)
    yield from distances_between_cells(ends, found)
    yield from whole_distribution(ends, found["metric"], threshold)


def _along_training(
    frame: pl.DataFrame, exact: pl.DataFrame, found: dict[str, Any], threshold: float
) -> Iterator[Figure]:
    yield from learning(exact, found, threshold)
    yield from breakthrough_times(exact, found, threshold)
    yield from training_loss(frame)


def _of_a_loss(frame: pl.DataFrame, main: str | None, shown: str | None, of_loss: list[Figure]) -> Contents:
    """The page of results without scores: it leads with the final values of a loss."""
    of_values = _of_values(frame, shown)
    return Contents(
        [*findings.population_sentences(frame), *_without_scores(frame, main, shown)],
        of_values[0] if of_values else None,
        _with_figures(
            Section("values-by-cell", "Values", tuple(of_values[1:])),
            Section("laws", "Laws", tuple(of_loss or power_laws(frame, shown))),
            Section("training", "Training", tuple(training_loss(frame))),
        ),
        pl.DataFrame(),
    )


def _with_figures(*sections: Section) -> tuple[Section, ...]:
    return tuple(section for section in sections if section.figures)


def _of_values(frame: pl.DataFrame, metric: str | None, limit: float | None = None) -> list[Figure]:
    """Final values of a metric without bounds, their differences between cells, and its curves."""
    if metric is None:
        return []
    return [*values(frame, metric, limit), *differences(frame, metric), *along_training(frame, metric)]


def _without_scores(frame: pl.DataFrame, main: str | None, shown: str | None) -> list[str]:
    """The loss that leads where there is one; and why no share of right answers does."""
    loss = shown is not None and is_loss(shown)
    led = [lead(frame, shown)] if shown is not None and loss else []
    if led and main is not None and not is_share(frame, main):  # a task that is scored by its loss
        return led
    return [*led, f"{_missing(frame, main)}: there are no scores to describe."]


def _missing(frame: pl.DataFrame, main: str | None) -> str:
    if main is None:
        return "Exact match was not measured"
    name = metric_name(main).capitalize()
    return f"{name} is 0 for every run" if is_share(frame, main) else f"{name} is not a share of items"
