"""Counting to 40 at depth 1, 2 and 3: length generalisation comes to some seeds and not to others.

python experiments/run.py
"""

from __future__ import annotations

from jaxemerge import Experiment, neox
from studies.settings import laptop


def cells(quick: bool = True) -> tuple[Experiment, ...]:
    """Depth 1, 2 and 3 at width 64, 16 seeds each; this study is always quick."""
    del quick
    return laptop([neox(depth, 64, 2) for depth in (1, 2, 3)], "count_quick")
