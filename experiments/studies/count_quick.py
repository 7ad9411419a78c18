"""Counting to 40 at depth 1, 2 and 3: length generalisation comes to some seeds and not to others.

    python experiments/run.py

Cost, measured: 4 min 13 s on 2 cores (AMD EPYC, jax 0.10.2), compilation and report included.

Finds, measured with 16 seeds per depth, trained on answers of at most 10: every seed counts in
distribution (P(exact match >= 0.2) at length 10 is 1.00 [0.81, 1.00] at each depth), but beyond it depth
decides how many seeds do. At length 20, P(exact match >= 0.2) is 0.00 [0.00, 0.19], 0.38 [0.18, 0.61] and
0.75 [0.51, 0.90] at depth 1, 2 and 3; at length 30 it is 0.00 [0.00, 0.19], 0.19 [0.07, 0.43] and
0.56 [0.33, 0.77]. Depth 2 and 3 are two-sided there: 13 and 7 of 16 seeds score below 0.1, while the
successes average 0.61 [0.27, 0.82] and 0.68 [0.50, 0.82].
"""

from __future__ import annotations

from jaxemerge import Experiment, neox
from studies.settings import figure as figure
from studies.settings import findings as findings
from studies.settings import kept as kept
from studies.settings import laptop


def cells(quick: bool = True) -> tuple[Experiment, ...]:
    """Depth 1, 2 and 3 at width 64, 16 seeds each; this study is always quick."""
    del quick
    return laptop([neox(depth, 64, 2) for depth in (1, 2, 3)], "count_quick")
