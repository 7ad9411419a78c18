"""The report as files: the page, every chart as a picture and every table as CSV beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import vl_convert

from jaxemerge.analysis import main_metric
from jaxemerge.charts.theme import metric_name
from jaxemerge.files import write_bytes

from .contents import contents
from .page import page
from .tables import as_csv, as_link

# A PNG has this many pixels per pixel of the page, so that it is sharp in a paper.
SCALE = 2


def write_report(
    frame: pl.DataFrame,
    folder: Path | str,
    *,
    title: str,
    threshold: float = 0.2,
    metric: str | None = None,
    details: Sequence[tuple[str, str]] = (),
) -> Path:
    """Writes `folder/report.html`, and every chart as `folder/charts/NAME.png` and `.svg`;
    tables as `folder/tables/NAME.csv`, which the page also offers.

    The page needs no network and nothing beside it. What the frame lacks is left out: without a share of
    items the report shows values and the training alone. Files appear whole or not at all.

    Args:
        frame: results, of one study or several; at least one row.
        folder: made if it is not there.
        title: of the page.
        threshold: success is a score of at least this; in (0, 1].
        metric: the score that is described; by default `exact_match`, or where it was not measured what
            `jaxemerge.analysis.main_metric` says.
        details: (label, text) pairs on how the results came about, shown above the charts.

    Returns:
        The path of the page.

    Raises:
        ValueError: if the frame has no rows or lacks columns, or an argument is out of its range.
        OSError: if the folder cannot be written.
    """
    if frame.is_empty():
        raise ValueError("the frame has no rows: there is nothing to report")
    headline, figures, table = contents(frame, threshold, metric)
    tables = {figure.name: as_csv(figure.table) for figure in figures if figure.table is not None}
    if not table.is_empty():
        tables["summary"] = as_csv(table)
    html = page(
        title=title,
        headline=headline,
        details=details,
        figures=figures,
        rows=table.rows(named=True),
        score=metric_name(metric or main_metric(frame) or "exact_match"),
        threshold=threshold,
        resolutions=_resolutions(table),
        downloads={name: as_link(csv) for name, csv in tables.items()},
    )
    for name, csv in tables.items():
        (Path(folder) / "tables").mkdir(parents=True, exist_ok=True)
        write_bytes(Path(folder) / "tables" / f"{name}.csv", csv)
    pictures = Path(folder) / "charts"
    pictures.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        picture = vl_convert.vegalite_to_svg(figure.spec)
        write_bytes(pictures / f"{figure.name}.svg", picture.encode())
        write_bytes(pictures / f"{figure.name}.png", vl_convert.svg_to_png(picture, scale=SCALE))
    path = Path(folder) / "report.html"
    write_bytes(path, html.encode())
    return path


def _resolutions(table: pl.DataFrame) -> list[tuple[str, int]]:
    """Number of items behind one score, per test."""
    if table.is_empty():
        return []
    return table.drop_nulls("trials").select("test", "trials").unique(maintain_order=True).rows()
