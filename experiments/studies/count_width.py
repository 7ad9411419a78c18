"""Six widths at depth 3, 250 seeds each: what width does to the distribution of counting ability.

    python experiments/run.py count_width
    python experiments/run.py count_width --quick
    python experiments/figures.py count_width        (findings and figures, from the results kept here)

Recipe, kept rows and pictures are those of count_depth. Width 32 is its cell of depth 3, whose rows are kept
for both (``figures.py --keep DIR ...`` takes them from the other folder). Trained again as part of this
study, the 250 seeds gave the same 73,500 rows to the bit.

Cost, measured: under two hours on 2 cores shared with other work, one of them for width 32
(6560 s of training, 2026-11-28, AMD EPYC, 2 cores, jax 0.10.2).
Quick (one chunk of 16 seeds per cell), measured: 3 min 48 s of training, the first chunk of each cell.

Finds, success at an exact match of 0.2, 95 % intervals. P-values are corrected by Holm's method, for 12
tests of the modes of the scores, 2 of a step and 6 of the modes of the losses. A change of the order of
neighbouring cells includes ties.

    length 20, width 8, P(success): 0.012 [0.00306, 0.0347]
    length 20, width 8, mean of successes: 0.366 [0.244, 0.816]
    length 20, width 16, P(success): 0.032 [0.015, 0.0619]
    length 20, width 16, mean of successes: 0.466 [0.335, 0.684]
    length 20, width 24, P(success): 0.5 [0.438, 0.562]
    length 20, width 24, mean of successes: 0.448 [0.418, 0.482]
    length 20, width 32, P(success): 0.924 [0.884, 0.952]
    length 20, width 32, mean of successes: 0.657 [0.634, 0.68]
    length 20, width 40, P(success): 0.988 [0.965, 0.997]
    length 20, width 40, mean of successes: 0.806 [0.786, 0.821]
    length 20, width 48, P(success): 1 [0.985, 1]
    length 20, width 48, mean of successes: 0.884 [0.868, 0.894]
    length 30, width 8, P(success): 0.008 [0.00134, 0.0287]
    length 30, width 8, mean of successes: 0.306
    length 30, width 16, P(success): 0.008 [0.00134, 0.0287]
    length 30, width 16, mean of successes: 0.355
    length 30, width 24, P(success): 0.156 [0.115, 0.206]
    length 30, width 24, mean of successes: 0.399 [0.351, 0.47]
    length 30, width 32, P(success): 0.704 [0.645, 0.758]
    length 30, width 32, mean of successes: 0.51 [0.485, 0.538]
    length 30, width 40, P(success): 0.928 [0.889, 0.955]
    length 30, width 40, mean of successes: 0.69 [0.666, 0.712]
    length 30, width 48, P(success): 0.992 [0.971, 0.999]
    length 30, width 48, mean of successes: 0.794 [0.774, 0.81]
    length 20, width 8, scores have a single mode: p = 1
    length 20, width 16, scores have a single mode: p = 1
    length 20, width 24, scores have a single mode: p = 1
    length 20, width 32, scores have a single mode: p = 1
    length 20, width 40, scores have a single mode: p = 1
    length 20, width 48, scores have a single mode: p = 0.024
    length 30, width 8, scores have a single mode: p = 1
    length 30, width 16, scores have a single mode: p = 1
    length 30, width 24, scores have a single mode: p = 1
    length 30, width 32, scores have a single mode: p = 0.5
    length 30, width 40, scores have a single mode: p = 1
    length 30, width 48, scores have a single mode: p = 0.024
    length 20, width at which half of the ceiling is reached: 23.7 [23.1, 24.4]
    length 20, P(success) changes at one step only: p = 0.01
    length 20, width 8, share of seeds that had the ability and lost it: 0.024 [0.00978, 0.0514]
    length 20, width 16, share of seeds that had the ability and lost it: 0.664 [0.603, 0.721]
    length 20, width 24, share of seeds that had the ability and lost it: 0.412 [0.352, 0.474]
    length 20, width 32, share of seeds that had the ability and lost it: 0.06 [0.0353, 0.0966]
    length 20, width 40, share of seeds that had the ability and lost it: 0.008 [0.00134, 0.0287]
    length 20, width 48, share of seeds that had the ability and lost it: 0 [0, 0.0151]
    length 20, median breakthroughness of single seeds: 7.4 [6.39, 7.9]
    length 20, median linearity of single seeds: 3.15 [3.06, 3.24]
    length 20, share of studies of 16 seeds whose trend with scale turns around: 0 [0, 0.00383]
    length 20, share of studies of 16 seeds whose order of neighbouring cells is another: 0.978 [0.967, 0.986]
    length 30, width at which half of the ceiling is reached: 28.9 [28.3, 29.6]
    length 30, P(success) changes at one step only: p = 0.01
    length 30, width 8, share of seeds that had the ability and lost it: 0.016 [0.0051, 0.0404]
    length 30, width 16, share of seeds that had the ability and lost it: 0.288 [0.234, 0.347]
    length 30, width 24, share of seeds that had the ability and lost it: 0.38 [0.321, 0.442]
    length 30, width 32, share of seeds that had the ability and lost it: 0.156 [0.115, 0.206]
    length 30, width 40, share of seeds that had the ability and lost it: 0.04 [0.0205, 0.0721]
    length 30, width 48, share of seeds that had the ability and lost it: 0 [0, 0.0151]
    length 30, median breakthroughness of single seeds: 7 [6.5, 8.01]
    length 30, median linearity of single seeds: 2.97 [2.84, 3.07]
    length 30, share of studies of 16 seeds whose trend with scale turns around: 0 [0, 0.00383]
    length 30, share of studies of 16 seeds whose order of neighbouring cells is another: 0.462 [0.431, 0.493]
    length 30, share of studies of 16 seeds that find other cells with two modes, or none: 1 [0.839, 1]
    length 30, share of studies of 16 seeds that do not reject a step: 0.2 [0.067, 0.416]
    width 8, training losses have a single mode: p = 1
    width 16, training losses have a single mode: p = 1
    width 24, training losses have a single mode: p = 1
    width 32, training losses have a single mode: p = 1
    width 40, training losses have a single mode: p = 1
    width 48, training losses have a single mode: p = 1

Width moves P(success), and not at one step. It also moves the mean of the successes. A single mode is
rejected at width 48 only, where nearly all seeds succeed: the modes are successes, few items apart. At no
width are failures shown to be a mode apart, against what the paper finds for larger models trained for
longer. A single mode of the losses of the same seeds is not rejected. Two of three seeds of width 16 had the
ability at length 20 on the way and lost it. Studies of 16 seeds find the trend every time, and the order of
neighbouring widths at length 20 hardly ever; of twenty such studies none finds the two modes of width 48,
and four cannot tell the change from a step.

Not run at this size: depth_or_width, init_or_data with 20 x 20 seeds, grokking_time with 100 seeds.
"""

from __future__ import annotations

from jaxemerge import Experiment, neox
from studies.populations import THRESHOLD as THRESHOLD
from studies.populations import figure as figure
from studies.populations import findings as findings
from studies.populations import kept as kept
from studies.populations import more_figures as more_figures
from studies.settings import populations

WHOLE = True  # all 250 seeds are kept
NAME = "count_width"
MODELS = [neox(3, width, width // 8) for width in (8, 16, 24, 32, 40, 48)]


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """250 seeds each, in hours of two cores; quick: 16 seeds each."""
    return populations(MODELS, NAME, 16 if quick else 250)
