"""Theme, colours and axes of all charts; the colours are safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from jaxemerge.analysis import scale_title

# Width in pixels that a whole chart should fill: a report page, with its margins.
PAGE = 1060

INK, FAINT, RULE = "#1f2933", "#9aa5b1", "#e4e7eb"
# Okabe and Ito's vermilion and bluish green for the atoms, a quiet blue between them.
ZERO_COLOUR, BETWEEN_COLOUR, ONE_COLOUR = "#d55e00", "#7a9cc6", "#009e73"
# Viridis without its pale end, which vanishes on white.
SEQUENCE = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151")
FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"

# Span of scales from which doublings read better than differences.
LOG_SPAN = 4
# More scales than this have no ticks of their own.
MANY = 18
SCORE_TICKS = [0, 0.2, 0.4, 0.6, 0.8, 1]
# Each number in full (0, 128, 1,024), or with its own prefix from 10k on: an axis' format would give all of
# them the largest one's.
PREFIXED = "format(datum.value, datum.value < 1e4 ? ',.6~r' : datum.value < 1e15 ? '.3~s' : '.3~e')"

SCORES = {
    "exact_match": "exact match (share of test items)",
    "token_accuracy": "token accuracy (share of answer tokens)",
    "answer_nll": "answer loss (nats per token)",
    "bits_per_byte": "bits per byte of text",
    "pass_rate": "pass rate (share of sampled answers)",
    "train_loss": "training loss",  # nats per token, but of an objective of the user's own
    "grad_norm": "gradient norm",
}


def metric_title(metric: str) -> str:
    """Axis title of a metric, in words and with its unit."""
    return SCORES.get(metric, metric.replace("_", " "))


def metric_name(metric: str) -> str:
    """The metric within a sentence: "exact match"."""
    return metric_title(metric).partition(" (")[0]


def themed(chart: Any) -> Any:
    """The chart with the shared look. Altair concatenates only charts without one, so this comes last."""
    text: dict[str, Any] = {"labelColor": INK, "labelFontSize": 11}
    text |= {"titleColor": INK, "titleFontSize": 12, "titleFontWeight": "normal"}
    return chart.configure(  # once: every call copies the whole chart
        font=FONT,
        background="white",
        padding=8,
        view=alt.ViewConfig(stroke=RULE, fill=None),
        axis=alt.AxisConfig(**text, gridColor=RULE, domainColor=FAINT, tickColor=FAINT, titlePadding=8),
        legend=alt.LegendConfig(**text, orient="top", symbolStrokeWidth=2.5, titleLimit=400, labelLimit=300),
        header=alt.HeaderConfig(**text, labelFontWeight="bold", labelLimit=260, titlePadding=6),
        title=alt.TitleConfig(color=INK, fontSize=12, fontWeight="bold", anchor="start", offset=8),
    )


class Rows(alt.InlineData):
    """Rows inside a chart. Altair copies charts often and changes no rows: the copies share them."""

    def __deepcopy__(self, memo: Any) -> Rows:
        return self


def inline(frame: pl.DataFrame) -> Rows:
    """The frame's rows as data inside the chart: no 5,000-row limit, and null for NaN, which JSON lacks."""
    floats = frame.select(pl.selectors.float()).columns
    finite = [pl.when(pl.col(c).is_finite()).then(pl.col(c).round_sig_figs(5)).alias(c) for c in floats]
    return Rows(values=frame.with_columns(finite).to_dicts())


def sequential(n: int) -> list[str]:
    """n colours from dark violet to light green, spread evenly; one colour if n is 1."""
    anchors = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in SEQUENCE])
    places = np.linspace(0, len(anchors) - 1, n) if n > 1 else np.array([2.0])
    mixed = [[np.interp(place, range(len(anchors)), anchors[:, c]) for c in range(3)] for place in places]
    return ["#" + "".join(f"{round(part):02x}" for part in colour) for colour in mixed]


def by_test(tests: Sequence[str]) -> alt.Color:
    """Colour by test, in the tests' order."""
    room = PAGE // (7 * max(map(len, tests), default=1) + 34)  # of names in a row
    return by_order("test:N", tests, "test", symbolType="circle", columns=max(1, room))


def by_order(field: str, names: Sequence[Any], title: Any = alt.Undefined, **legend: Any) -> alt.Color:
    """Colour by a field, from dark to light in the order of its values.

    Args:
        field: with its type, such as "label:N".
        names: the values in order.
        title: of the legend, or None; the field's name by default.
        **legend: further properties of the legend.
    """
    scale = alt.Scale(domain=list(names), range=sequential(len(names)))
    return alt.Color(
        field, scale=scale, sort=list(names), title=title, legend=alt.Legend(symbolOpacity=1, **legend)
    )


def in_order(frame: pl.DataFrame, column: str) -> list[str]:
    """The column's values in the order in which the frame first has them."""
    return frame[column].unique(maintain_order=True).to_list()


def decades(lowest: float) -> list[float]:
    """Powers of ten from the one below `lowest` up to 1: the ticks of a log axis of shares."""
    return [10.0**power for power in range(int(np.floor(np.log10(lowest))), 1)]


def scale_axis(scales: list[float], column: str, field: str = "scale") -> alt.X:
    """The axis of a column of scales that `field` holds: in doublings over two or more, else linear.

    With a scale of 0 doublings begin at the smallest positive one (a symmetric logarithm).
    """
    positive = [scale for scale in scales if scale > 0]
    doubling = bool(positive) and scales[0] >= 0 and scales[-1] >= LOG_SPAN * positive[0]
    # A tick at every cell while there is room for the numbers.
    shown = (
        {"values": scales if len(scales) <= 9 else scales[::2]} if len(scales) <= MANY else {"tickCount": 8}
    )
    whole = bool(scales) and scales[0] >= 1
    ticks = alt.Axis(**shown, labelExpr=PREFIXED if whole else "datum.value", grid=False)
    base = 2 if len(scales) <= MANY else 10
    kind: dict[str, Any] = {"type": "log", "base": base} if doubling else {"zero": False}
    if doubling and not scales[0]:
        kind = {"type": "symlog", "constant": positive[0]}
    if scales and scales[0] < scales[-1]:
        kind["domain"] = [scales[0], scales[-1]]  # also where there is nothing to draw
    scale = alt.Scale(**kind, padding=12, nice=False)
    return alt.X(f"{field}:Q", axis=ticks, title=scale_title(column), scale=scale)


TOPS = (0.2, 0.4, 0.6, 0.8, 1.0)


def heights(shares: pl.Series, *, low: bool = False, **axis: Any) -> alt.Y:
    """Shares of seeds in the field `share` as heights of bars: linear, up to a round number.

    Args:
        shares: all that are drawn.
        low: whether panels are so low that only the top has room for a label.
        axis: properties of the axis.
    """
    highest = shares.max() or 0.0
    top = next((top for top in TOPS if top >= highest), TOPS[-1])  # type: ignore[operator]
    ticks = alt.Axis(format="%", values=[top] if low else [0, top / 2, top], labelPadding=4, **axis)
    return alt.Y("share:Q", title=None, scale=alt.Scale(domain=[0, top], clamp=True), axis=ticks)


def share_axis(column: str, title: str) -> alt.Y:
    """The axis of a column of shares or scores from 0 to 1; shares of seeds are in per cent."""
    axis = alt.Axis(format="%" if title == "share of seeds" else "~g", values=SCORE_TICKS)
    return alt.Y(f"{column}:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=axis)
