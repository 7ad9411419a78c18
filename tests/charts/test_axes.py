"""Numbers on axes are the numbers of the data, neither rounded nor cut."""

import re

import pytest
import vl_convert

from jaxemerge import charts
from jaxemerge.analysis import scale_column, summarise
from synthetic import population_frame


def words(chart):
    """Every text that the drawn chart shows."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", vl_convert.vegalite_to_svg(chart.to_json()))


def words_of_scales(frame):
    return set(words(charts.success_against_scale(summarise(frame), scale_column(frame))))


def test_every_width_is_written_in_full():
    widths = (128, 384, 1152)
    frame = population_frame([(2, width) for width in widths], 3, (30,), (0, 7))
    assert {"128", "384", "1,152"} <= set(
        words(charts.success_against_scale(summarise(frame), scale_column(frame)))
    )


def test_large_scales_have_prefixes():
    frame = population_frame([(1, 256), (2, 512), (4, 1024)], 3, (30,), (0, 7))
    assert {"786k", "6.29M", "50.3M"} <= set(
        words(charts.success_against_scale(summarise(frame), scale_column(frame)))
    )


def test_small_swept_scales_are_plain():
    rates = {"learning_rate": [0.0005, 0.001, 0.005]}
    frame = population_frame([(2, 64)] * 3, 3, (30,), (0, 7), extra=rates)
    assert {"0.0005", "0.001", "0.005"} <= set(
        words(charts.success_against_scale(summarise(frame), scale_column(frame)))
    )


@pytest.mark.parametrize(
    ("steps", "labels"),
    [
        ((0, 6, 60, 600), {"0", "10", "100", "600"}),
        ((0, 100, 1000, 25000), {"0", "100", "1,000", "10k", "25k"}),
    ],
)
def test_steps_start_at_nought_and_go_to_the_last(steps, labels):
    frame = population_frame([(2, 64)], 3, (30,), steps)
    assert labels <= set(words(charts.learning_curves(frame, length=30)))
