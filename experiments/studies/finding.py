"""What is a finding? A number with a name, its interval and its p-value, and the line that states it.

Findings are worked out from results by a study's own ``findings``; its header quotes their lines, which a
test compares. Numbers have three digits, steps and other large ones all before the point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import polars as pl

from jaxemerge.analysis import final, summarise
from jaxemerge.stats import Estimate

LEAST = 1e-300  # p-values below are rounded to 0


@dataclass(frozen=True)
class Finding:
    """A number that was found.

    Attributes:
        name: what it is, in words; unique within a study.
        value: the number; None where there is a p-value alone.
        low, high: ends of its 95 % interval; None where there is none, infinite where the data set no bound.
        p_value: that chance alone makes it as large; None where nothing was tested.
    """

    name: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None

    @property
    def numbers(self) -> str:
        """``value [low, high], p = ...``, without what is not known."""
        parts = [] if self.value is None else [_number(self.value)]
        if self.value is not None and self.low is not None and self.high is not None:
            parts = [f"{parts[0]} [{_number(self.low)}, {_number(self.high)}]"]
        if self.p_value is not None:
            parts.append(f"p = {self.p_value:.2g}" if self.p_value > LEAST else f"p < {LEAST:g}")
        return ", ".join(parts) or "unknown"

    @property
    def line(self) -> str:
        """Name and numbers, as a study's header has them."""
        return f"{self.name}: {self.numbers}"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values: infinity, which JSON lacks, is the string ``inf``."""
        numbers = {"value": self.value, "low": self.low, "high": self.high, "p_value": self.p_value}
        plain = {name: v if v is None or math.isfinite(v) else str(v) for name, v in numbers.items()}
        return {"finding": self.name, **plain, "line": self.line}


def finding(name: str, estimate: Estimate, p_value: float | None = None) -> Finding:
    """A finding of an estimate; unknown (NaN) ends and p-values are left out."""
    numbers = (estimate.value, estimate.interval.low, estimate.interval.high, p_value)
    return Finding(name, *(None if v is None or math.isnan(v) else float(v) for v in numbers))


def final_matches(results: pl.DataFrame) -> pl.DataFrame:
    """The last exact match of every run and test."""
    return final(results.filter(pl.col("metric") == "exact_match"))


def success_findings(ends: pl.DataFrame, threshold: float, *, mean: bool = True) -> list[Finding]:
    """P(success), and where asked for the mean of the successes, of every cell on every test.

    Args:
        ends: final results.
        threshold: what counts as success.
        mean: whether the mean of the successes is among them.
    """
    table, found = summarise(ends, threshold=threshold), []
    for row in table.sort("length", "rank").rows(named=True):
        where = row["label"] if table["test"].n_unique() == 1 else f"{row['test']}, {row['label']}"
        found.append(row_finding(row, "success", f"{where}, P(success)"))
        if mean and row["success_mean"] is not None:
            found.append(row_finding(row, "success_mean", f"{where}, mean of successes"))
    return found


def row_finding(row: dict[str, Any], column: str, name: str) -> Finding:
    """A finding of one column of a summary's row, with its interval."""
    return Finding(name, row[column], row[f"{column}_low"], row[f"{column}_high"])


def _number(value: float) -> str:
    if math.isinf(value):
        return "infinite"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
