"""One law of all seeds, cells and lengths of depth_or_width, and how it predicts the largest cell.

    python experiments/figures.py distribution_law

Finds, in logits of P(success) and of the mean of the successes, 95 % intervals over seeds and over departures
of single cells from the law:

    doubling depth, logit of P(success): 6.69 [5.39, 8.71]
    doubling depth, logit of the mean: 0.902 [0.582, 1.24]
    doubling width, logit of P(success): 4.76 [2.86, 7.21]
    doubling width, logit of the mean: 2.06 [1.63, 2.51]
"""

from __future__ import annotations

import altair as alt
import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import distribution_law
from jaxemerge.report.distribution_law import per_doubling
from studies.depth_or_width import THRESHOLD
from studies.finding import Finding, finding

SOURCES = ("depth_or_width",)


def findings_and_figure(rows: pl.DataFrame) -> tuple[list[Finding], alt.FacetChart]:
    """The slopes of the law of all cells; the histograms that the law without the largest cell predicts."""
    fit = distribution_law(rows, "exact_match", THRESHOLD, bootstraps=100)
    assert fit is not None
    found = [
        finding(f"doubling {name}, logit of {what}", per_doubling(slopes, place))
        for place, name in enumerate(fit.law.names)
        for what, slopes in (("P(success)", fit.law.weight_slopes), ("the mean", fit.law.mean_slopes))
    ]
    return found, charts.predicted_histograms(fit)
