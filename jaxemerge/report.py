"""How is a study shown? As one offline HTML page whose sentences state what was found, with charts."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
import vl_convert
from markupsafe import Markup

from jaxemerge import charts
from jaxemerge.analysis import final, findings, learning_curves, summarise, two_sided
from jaxemerge.charts.curves import MOST

# A PNG has this many pixels per pixel of the page, so that it is sharp in a paper.
SCALE = 2
# What would end a script element, open a comment or end a line of JavaScript inside a string of JSON.
UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
# Draws every chart and says in the page whether it worked: tests and readers can tell a blank from a failure.
DRAW = """
for (const box of document.querySelectorAll("[data-chart]")) {
  const fail = error => {
    box.dataset.failed = "yes";
    box.textContent = "This chart could not be drawn: " + error;
  };
  try {
    const spec = JSON.parse(document.getElementById("spec-" + box.dataset.chart).textContent);
    vegaEmbed(box, spec, {actions: false, renderer: "svg", ast: true})
      .then(() => { box.dataset.drawn = "yes"; }).catch(fail);
  } catch (error) { fail(error); }
}
"""


@dataclass(frozen=True)
class Figure:
    """A chart with what is said about it.

    Attributes:
        name: of its files, and its anchor in the page.
        heading: what it answers.
        words: one paragraph: how to read it and what it shows.
        spec: Vega-Lite specification as JSON.
    """

    name: str
    heading: str
    words: str
    spec: str


def write_report(
    frame: pl.DataFrame,
    folder: Path | str,
    *,
    title: str,
    threshold: float = 0.2,
    details: Sequence[tuple[str, str]] = (),
) -> Path:
    """Writes `folder/report.html`, and every chart as `folder/charts/NAME.png` and `.svg`.

    The page needs no network and nothing beside it. What the frame lacks is left out: without `exact_match`
    the report shows the training alone. Files appear whole or not at all.

    Args:
        frame: results, of one study or several; at least one row.
        folder: made if it is not there.
        title: of the page.
        threshold: success is an exact match of at least this; in (0, 1].
        details: (label, text) pairs on how the results came about, shown above the charts.

    Returns:
        The path of the page.

    Raises:
        ValueError: if the frame has no rows or lacks columns, or an argument is out of its range.
        OSError: if the folder cannot be written.
    """
    if frame.is_empty():
        raise ValueError("the frame has no rows: there is nothing to report")
    headline, figures, table = _contents(frame, threshold)
    page = _page(
        title=title,
        headline=headline,
        details=details,
        figures=figures,
        rows=table.rows(named=True),
        threshold=threshold,
        resolutions=_resolutions(table),
    )
    pictures = Path(folder) / "charts"
    pictures.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        picture = vl_convert.vegalite_to_svg(figure.spec)
        _write(pictures / f"{figure.name}.svg", picture.encode())
        _write(pictures / f"{figure.name}.png", vl_convert.svg_to_png(picture, scale=SCALE))
    path = Path(folder) / "report.html"
    _write(path, page.encode())
    return path


def _contents(frame: pl.DataFrame, threshold: float) -> tuple[list[str], list[Figure], pl.DataFrame]:
    """Headline sentences, figures and summary table."""
    headline = findings.population_sentences(frame)
    metrics = set(frame["metric"].unique())
    if "exact_match" not in metrics:
        headline.append("Exact match was not measured: there are no scores to describe.")
        return headline, list(_training(frame, metrics)), pl.DataFrame()
    exact = frame.filter(pl.col("metric") == "exact_match")
    ends = final(exact)
    table = summarise(ends, threshold=threshold)
    found = findings.focus(ends)
    headline += [findings.two_sided_sentence(found), findings.success_sentence(table, found["test"])]
    figures = [*_distributions(ends, table, found["test"], threshold)]
    figures += [_learning(exact, found, threshold), *_training(frame, metrics)]
    return headline, figures, table


def _distributions(ends: pl.DataFrame, table: pl.DataFrame, test: str, threshold: float) -> Iterator[Figure]:
    """What is drawn of the final exact match."""
    yield _figure(
        "histograms",
        "Which shape does the distribution over seeds have?",
        "Rows are cells in order of scale, columns are tests. Height is the share of seeds. Scores of "
        "exactly 0 and exactly 1 have bars of their own, outside the unit interval. "
        + findings.split_sentence(two_sided(ends)),
        charts.histogram_grid(ends),
    )
    yield _figure(
        "violins",
        "How does it move with scale?",
        "One violin per cell, smoothed over the seeds strictly between 0 and 1 and as wide as their share; "
        "the bars below and above are the seeds at exactly 0 and exactly 1. "
        + findings.centre_sentence(table, test),
        charts.violins(ends),
    )
    yield _figure(
        "success_against_scale",
        "How likely is success, and how good are the successes?",
        "Shares of seeds with 95% Wilson intervals, and the mean score of the successful seeds with a 95% "
        "bootstrap interval. " + findings.tails_sentence(table, test),
        charts.success_against_scale(ends, threshold=threshold),
    )


def _learning(exact: pl.DataFrame, found: dict[str, Any], threshold: float) -> Figure:
    """Exact match over training on the most two-sided test."""
    test = {"split": found["split"], "length": found["length"]}
    curves = learning_curves(exact, "exact_match", **test)
    return _figure(
        "learning_curves",
        f"When do the seeds part? Exact match at {found['test']} over training",
        f"{_thin(curves)}, the thick ones the median and the 10% and 90% quantiles over all seeds. "
        "Steps are on a log axis with a place for step 0. "
        + findings.arrival_sentence(curves, found["label"], threshold),
        charts.learning_curves(exact, "exact_match", **test),
    )


def _training(frame: pl.DataFrame, metrics: set[str]) -> Iterator[Figure]:
    """The training loss, the smooth companion of the scores, if it was measured."""
    if "train_loss" not in metrics:
        return
    losses = frame.filter(pl.col("metric") == "train_loss")
    yield _figure(
        "training_loss",
        "Does the training loss tell the seeds apart?",
        "Training loss of the same seeds, in nats per token; a diverged seed counts as an infinite loss. "
        + findings.loss_sentence(learning_curves(losses, "train_loss")),
        charts.learning_curves(losses, "train_loss"),
    )


def _thin(curves: pl.DataFrame) -> str:
    """Which seeds the thin lines are."""
    seeds = curves.select("cell", "init_seed", "data_seed").unique()["cell"].value_counts()
    if max(seeds["count"]) <= MOST:
        return "Thin lines are seeds"
    return f"Thin lines are {MOST} seeds of each cell, spread over the ranks of their last values"


def _figure(name: str, heading: str, words: str, chart: Any) -> Figure:
    # The charts write null for NaN; a NaN that got past them would be a page that no browser reads.
    return Figure(name, heading, words, json.dumps(chart.to_dict(), allow_nan=False))


def _resolutions(table: pl.DataFrame) -> list[tuple[str, int]]:
    """Number of items behind one score, per test."""
    if table.is_empty():
        return []
    return table.drop_nulls("trials").select("test", "trials").unique(maintain_order=True).rows()


def _page(**contents: Any) -> str:
    source = (files(__package__) / "report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["embedded"] = lambda text: Markup(text.translate(UNSAFE))
    environment.filters["score"] = lambda number: "\u2013" if number is None else f"{number:.2f}"
    # The bundle is vega's own code; the policy below lets no other script run, nor anything be fetched.
    scripts = [Markup(_vega()), Markup(DRAW)]
    return environment.from_string(source).render(
        **contents, scripts=scripts, policy=" ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    )


@cache
def _vega() -> str:
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _write(path: Path, content: bytes) -> None:
    """Writes under a dot-name, flushes, renames: a reader never sees half a file."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
