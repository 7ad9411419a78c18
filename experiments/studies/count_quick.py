"""Counting to 40 at depth 1, 2 and 3: length generalisation comes to some seeds and not to others.

    python experiments/run.py

Cost, measured: 2 min 28 s on 2 cores with AVX-512, compilation and report included
(135 s of training, 2026-11-25, AMD EPYC, 2 cores, jax 0.10.2); 4 min 13 s on an older machine with AVX2.

Finds, trained on answers of at most 10, 16 seeds per depth, success at an exact match of 0.2, 95 % intervals:

    length 20, depth 1, P(success): 0 [0, 0.194]
    length 20, depth 2, P(success): 0.375 [0.168, 0.624]
    length 20, depth 2, mean of successes: 0.484 [0.316, 0.752]
    length 20, depth 3, P(success): 0.75 [0.501, 0.915]
    length 20, depth 3, mean of successes: 0.663 [0.484, 0.798]
    length 30, depth 1, P(success): 0 [0, 0.194]
    length 30, depth 2, P(success): 0.188 [0.05, 0.43]
    length 30, depth 2, mean of successes: 0.606 [0.284, 0.903]
    length 30, depth 3, P(success): 0.5 [0.266, 0.734]
    length 30, depth 3, mean of successes: 0.727 [0.5, 0.868]

On answers longer than any of the training P(success) is higher for the deeper models. At depth 2 and 3 and
length 30 most seeds are either near 0 or well above the threshold.
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
