"""Where do the scores of all seeds lie? A strip of dots per test, as SVG that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from jaxemerge.types import Float

_LEFT, _WIDTH, _ROW, _LEVELS = 190, 420, 34, 5


def strips(tests: Sequence[tuple[str, Float[np.ndarray, " S"]]]) -> str:
    """One row per test: its name, and a dot per seed at its score, from 0 to 1.

    Seeds of equal scores lie above one another, so that none hides another.

    Args:
        tests: names, and shares in [0, 1] of S seeds.
    """
    if not tests:
        return ""
    height = _ROW * len(tests) + 24
    rows = "".join(_row(i, name, values) for i, (name, values) in enumerate(tests))
    ends = "".join(_text(_LEFT + _WIDTH * x, height - 6, f"{x:g}", "middle") for x in (0.0, 0.5, 1.0))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 20}" height="{height}" '
        f'font-family="sans-serif" font-size="12">{rows}{ends}</svg>'
    )


def _row(i: int, name: str, values: Float[np.ndarray, " S"]) -> str:
    floor = _ROW * (i + 1) - 4
    line = f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{floor}" y2="{floor}" stroke="#bbb"/>'
    seen: dict[int, int] = {}
    dots = []
    for value in values[np.isfinite(values)]:
        place = round(_LEFT + _WIDTH * float(value))
        level = seen[place] = seen.get(place, -1) + 1
        height = floor - 4 - 5 * (level % _LEVELS)
        dots.append(f'<circle cx="{place}" cy="{height}" r="3" fill="#1f77b4" fill-opacity="0.55"/>')
    return line + _text(_LEFT - 8, floor, html.escape(name), "end") + "".join(dots)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>'
