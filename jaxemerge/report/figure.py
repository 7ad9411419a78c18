"""A chart with what is said about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import polars as pl


@dataclass(frozen=True)
class Figure:
    """A chart with what is said about it.

    Attributes:
        name: of its files, and its anchor in the page.
        heading: what it answers.
        words: one paragraph: how to read it and what it shows.
        spec: Vega-Lite specification as JSON.
        table: the numbers found, offered as CSV beside the chart; None where there is none.
    """

    name: str
    heading: str
    words: str
    spec: str
    table: pl.DataFrame | None = None


def figure(name: str, heading: str, words: str, chart: Any, table: pl.DataFrame | None = None) -> Figure:
    """A figure of a chart."""
    # The charts write null for NaN; a NaN that got past them would be a page that no browser reads.
    return Figure(name, heading, words, json.dumps(chart.to_dict(), allow_nan=False), table)
