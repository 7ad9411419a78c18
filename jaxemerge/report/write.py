"""Writes the report: the page, every chart as a picture and every table as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import vl_convert

from jaxemerge.analysis import main_metric, printable_names
from jaxemerge.analysis.findings import constant_sentences
from jaxemerge.analysis.results import success_threshold as success_threshold
from jaxemerge.charts.theme import metric_name
from jaxemerge.files import remove_partial, write_bytes
from jaxemerge.text import printable

from .contents import contents
from .manifest import write_manifest
from .page import Contents, Figure, Section, as_csv, as_link, page
from .page import figure as as_figure

# A PNG has this many pixels per pixel of the page, so that it is sharp in a paper.
SCALE = 2


def write_report(
    frame: pl.DataFrame,
    folder: Path | str,
    *,
    title: str,
    threshold: float | None = None,
    metric: str | None = None,
    details: Sequence[tuple[str, str]] = (),
    passes: pl.DataFrame | None = None,
    chance: float = 0.0,
    best_loss: float | None = None,
    split: str | None = None,
    length: int | None = None,
    constant: Sequence[tuple[str, str, int | None, float]] = (),
    figure: Any = None,
    notes: Sequence[str] = (),
    reload: float | None = None,
    source: str = "",
) -> Path:
    """Writes `folder/report.html`, and every chart as `folder/charts/NAME.png` and `.svg`;
    tables as `folder/tables/NAME.csv`, which the page also offers.

    The page is self-contained. What the frame lacks is left out: without a share of
    items the report shows values and the training alone. Files appear whole or not at all; `report.json`
    has their digests.

    Args:
        frame: results, of one study or several; at least one row.
        folder: made if it is not there.
        title: of the page.
        threshold: success is a score of at least this, above `chance` and at most 1; by default a fifth of
            the way from chance to 1.
        metric: the score that is described; by default `exact_match`, or where it was not measured what
            `jaxemerge.analysis.main_metric` says.
        details: (label, text) pairs on how the results came about, folded at the end of the page.
        passes: counts of sampling until answers pass, as an experiment with `pass_until` keeps them.
        chance: what guessing scores, as the task's `chance` says.
        best_loss: the lowest loss that any model can reach, as the task's `best_loss` says. Where it is above
            0 and no answer was ever right, the report is about losses.
        split, length: the test that figures of one test show and whose differences are tested; by default as
            `jaxemerge.analysis.primary_test` says.
        constant: what a model scores that gives one and the same answer to all items: cell, split, length and
            score, for every frequent answer. The report says where seeds score just that.
        figure: an Altair chart of your own, which is shown first.
        notes: sentences before the others.
        reload: seconds after which the open page loads itself again; None for never.
        source: digest of what the report is made from, for `jaxemerge.report.is_current`.

    Returns:
        The path of the page.

    Raises:
        ValueError: if the frame has no rows or lacks columns, or an argument is out of its range.
        OSError: if the folder cannot be written.
    """
    if frame.is_empty():
        raise ValueError("the frame has no rows: there is nothing to report")
    threshold = success_threshold(chance, threshold)
    frame, passes = printable_names(frame), None if passes is None else printable_names(passes)
    shown = contents(frame, threshold, metric, passes, chance, best_loss, split, length)
    shown = replace(shown, headline=[*notes, *shown.headline, *constant_sentences(frame, constant)])
    if figure is not None:
        shown = _led_by(as_figure("study", "What does the study show?", "", figure), shown)
    return write_page(
        Path(folder),
        shown,
        title=title,
        details=details,
        score=metric_name(metric or main_metric(frame) or "exact_match"),
        threshold=threshold,
        reload=reload,
        source=source,
    )


def _led_by(figure: Figure, shown: Contents) -> Contents:
    """The page with a study's own figure on its first screen, and its former lead after it."""
    former = [] if shown.lead is None else [Section("distribution", "Distribution", (shown.lead,))]
    return replace(shown, lead=figure, sections=(*former, *shown.sections))


def write_page(
    folder: Path,
    shown: Contents,
    *,
    title: str,
    details: Sequence[tuple[str, str]] = (),
    score: str = "",
    threshold: float = 0.2,
    reload: float | None = None,
    source: str = "",
) -> Path:
    """Writes a page, its pictures and tables, as `write_report` does.

    Args:
        folder: made if it is not there.
        shown: what is on the page.
        title: of the page.
        details: (label, text) pairs, folded at the end of the page.
        score: name of the metric of the table.
        threshold: of success.
        reload: seconds after which the open page loads itself again.
        source: digest of what the page is made from.

    Returns:
        The path of the page.

    Raises:
        OSError: if the folder cannot be written.
    """
    tables = {figure.name: as_csv(figure.table) for figure in shown.figures if figure.table is not None}
    if not shown.table.is_empty():
        tables["summary"] = as_csv(shown.table)
    html = page(
        title=printable(title),
        contents=shown,
        reload=reload,
        details=[(label, printable(text)) for label, text in details],
        score=score,
        threshold=threshold,
        resolutions=_resolutions(shown.table),
        downloads={name: as_link(csv) for name, csv in tables.items()},
    )
    contents_of = {f"tables/{name}.csv": csv for name, csv in tables.items()}
    for figure in filter(lambda each: each.spec, shown.figures):
        picture = vl_convert.vegalite_to_svg(figure.spec)
        contents_of[f"charts/{figure.name}.svg"] = picture.encode()
        contents_of[f"charts/{figure.name}.png"] = vl_convert.svg_to_png(picture, scale=SCALE)
    _write(folder, {**contents_of, "report.html": html.encode()}, source)
    return folder / "report.html"


def _write(folder: Path, contents_of: Mapping[str, bytes], source: str) -> None:
    """Files and, after them, their manifest."""
    for place in {(folder / name).parent for name in contents_of}:
        place.mkdir(parents=True, exist_ok=True)
        remove_partial(place)
    for name, content in contents_of.items():
        write_bytes(folder / name, content)
    write_manifest(folder, contents_of, source)


def _resolutions(table: pl.DataFrame) -> list[tuple[str, int]]:
    """Number of items behind one score, per test."""
    if table.is_empty():
        return []
    return table.drop_nulls("trials").select("test", "trials").unique(maintain_order=True).rows()
