"""What does a report show? Its headline, its figures in their order, and the summary table."""

from __future__ import annotations

import polars as pl

from jaxemerge.analysis import final, findings, is_share, loss_metric, main_metric, never_right, summarise
from jaxemerge.analysis.kinds import is_loss, limited
from jaxemerge.charts.theme import metric_name

from .comparisons import along_training, differences
from .distribution import distributions, lead, values
from .distribution_law import left_out, whole_distribution
from .laws import laws
from .metrics import emergences
from .mixtures import beside_the_loss, components
from .page import Figure
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
) -> tuple[list[str], list[Figure], pl.DataFrame]:
    """Headline sentences, figures and summary table of one metric, by default the frame's own main one.

    Figures and tests of one test are of that with the `split` and `length` given, or of
    `analysis.primary_test`.
    """
    headline = findings.population_sentences(frame)
    main = metric or main_metric(frame)
    share = main is not None and is_share(frame, main)
    of_loss = [*laws(frame, alone=not share), *pass_rates(passes)]
    # If no run has an exact answer, and the study is about the loss, the report is about the loss.
    if main is None or not share or ((of_loss or best_loss) and never_right(frame, main)):
        shown = loss_metric(frame) if share else main
        headline += _without_scores(frame, main, shown)
        figures = [*_of_values(frame, shown), *of_loss, *training_loss(frame)]
        return headline, figures, pl.DataFrame()
    exact = frame.filter(pl.col("metric") == main)
    ends = final(exact)
    table = summarise(ends, main, threshold)
    found = findings.focus(ends, main, threshold, split=split, length=length)
    headline += [findings.both_ends_sentence(found), findings.success_sentence(table, found["test"], main)]
    headline += filter(None, [left_out(ends, main)])
    figures = [
        *_of_values(frame, limited(main)),
        *distributions(ends, table, found),
        components(ends, found),
        *single_seeds(ends, found),
        *distances_between_cells(ends, found),
        *success_against_scale_fitted(ends, found, threshold),
        *whole_distribution(ends, main, threshold),
        *emergences(frame, ends, found, chance),
        *learning(exact, found, threshold),
        *breakthrough_times(exact, found, threshold),
        *of_loss,
        *training_loss(frame),
        thresholds(ends, found, threshold),
        *beside_the_loss(frame, found),
        *luck(frame, found),
        *sources(ends, found),
    ]
    return headline, figures, table


def _of_values(frame: pl.DataFrame, metric: str | None) -> list[Figure]:
    """Final values of a metric without bounds, their differences between cells, and its curves."""
    if metric is None:
        return []
    return [*values(frame, metric), *differences(frame, metric), *along_training(frame, metric)]


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
