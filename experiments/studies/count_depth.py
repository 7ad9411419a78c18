"""Five depths at width 32, 250 seeds each: what depth does to the distribution of counting ability.

    python experiments/run.py count_depth
    python experiments/run.py count_depth --quick
    python experiments/figures.py count_depth        (findings and figures, from the results kept here)

Numbers to 60, answers of at most 10 in training, tests of 31 items and more; 600 steps of 8 x 64 tokens with
a cosine to 0. Zhao et al. (2025), arXiv 2502.17356, train models of a hundred times as many parameters for
10,000 steps of 128 x 256 tokens. The training loss still falls where the schedule ends. The pictures are
figures 1 to 6 of the paper.

Kept are the exact matches at every evaluation at length 20 and 30, those of the last one at all lengths, and
the last training losses, as they were written (no number is rounded).

Cost, measured: two and a half hours on 2 cores shared with other work
(8958 s of training, 2026-11-28, AMD EPYC, 2 cores, jax 0.10.2).
Quick (one chunk of 16 seeds per cell), measured: 3 min 56 s with the fastest chunk of each cell in the full
run; its first ones took 12 minutes beside other work.

Finds, success at an exact match of 0.2, 95 % intervals. P-values are corrected by Holm's method, for 9 tests
of the modes of the scores, 2 of a step and 5 of the modes of the losses. A change of the order of
neighbouring cells includes ties.

    length 20, depth 1, P(success): 0 [0, 0.0151]
    length 20, depth 2, P(success): 0.532 [0.47, 0.593]
    length 20, depth 2, mean of successes: 0.479 [0.448, 0.514]
    length 20, depth 3, P(success): 0.924 [0.884, 0.952]
    length 20, depth 3, mean of successes: 0.657 [0.634, 0.68]
    length 20, depth 4, P(success): 0.98 [0.954, 0.993]
    length 20, depth 4, mean of successes: 0.751 [0.73, 0.769]
    length 20, depth 5, P(success): 0.992 [0.971, 0.999]
    length 20, depth 5, mean of successes: 0.806 [0.787, 0.821]
    length 30, depth 1, P(success): 0 [0, 0.0151]
    length 30, depth 2, P(success): 0.144 [0.105, 0.193]
    length 30, depth 2, mean of successes: 0.414 [0.363, 0.489]
    length 30, depth 3, P(success): 0.704 [0.645, 0.758]
    length 30, depth 3, mean of successes: 0.51 [0.485, 0.538]
    length 30, depth 4, P(success): 0.872 [0.825, 0.909]
    length 30, depth 4, mean of successes: 0.586 [0.56, 0.612]
    length 30, depth 5, P(success): 0.916 [0.875, 0.946]
    length 30, depth 5, mean of successes: 0.665 [0.639, 0.691]
    length 20, depth 1, scores have a single mode: p = 1
    length 20, depth 2, scores have a single mode: p = 1
    length 20, depth 3, scores have a single mode: p = 1
    length 20, depth 4, scores have a single mode: p = 1
    length 20, depth 5, scores have a single mode: p = 1
    length 30, depth 2, scores have a single mode: p = 1
    length 30, depth 3, scores have a single mode: p = 0.4
    length 30, depth 4, scores have a single mode: p = 0.09
    length 30, depth 5, scores have a single mode: p = 1
    length 20, depth at which half of the ceiling is reached: 1.98 [1.91, 2.05]
    length 20, P(success) changes at one step only: p = 0.01
    length 20, depth 1, share of seeds that had the ability and lost it: 0.616 [0.554, 0.675]
    length 20, depth 2, share of seeds that had the ability and lost it: 0.424 [0.364, 0.486]
    length 20, depth 3, share of seeds that had the ability and lost it: 0.06 [0.0353, 0.0966]
    length 20, depth 4, share of seeds that had the ability and lost it: 0.016 [0.0051, 0.0404]
    length 20, depth 5, share of seeds that had the ability and lost it: 0.008 [0.00134, 0.0287]
    length 20, median breakthroughness of single seeds: 4.14 [3.79, 4.37]
    length 20, median linearity of single seeds: 2.6 [2.49, 2.71]
    length 20, share of studies of 16 seeds whose trend with scale turns around: 0 [0, 0.00383]
    length 20, share of studies of 16 seeds whose order of neighbouring cells is another: 0.929 [0.911, 0.944]
    length 30, depth at which half of the ceiling is reached: 2.54 [2.44, 2.65]
    length 30, P(success) changes at one step only: p = 0.01
    length 30, depth 1, share of seeds that had the ability and lost it: 0.156 [0.115, 0.206]
    length 30, depth 2, share of seeds that had the ability and lost it: 0.464 [0.403, 0.526]
    length 30, depth 3, share of seeds that had the ability and lost it: 0.156 [0.115, 0.206]
    length 30, depth 4, share of seeds that had the ability and lost it: 0.072 [0.0446, 0.111]
    length 30, depth 5, share of seeds that had the ability and lost it: 0.044 [0.0234, 0.0771]
    length 30, median breakthroughness of single seeds: 3.28 [3.04, 3.47]
    length 30, median linearity of single seeds: 2.33 [2.2, 2.42]
    length 30, share of studies of 16 seeds whose trend with scale turns around: 0 [0, 0.00383]
    length 30, share of studies of 16 seeds whose order of neighbouring cells is another: 0.627 [0.597, 0.657]
    length 30, share of studies of 16 seeds that find cells with two modes: 0 [0, 0.161]
    length 30, share of studies of 16 seeds that do not reject a step: 0.25 [0.0979, 0.47]
    depth 1, training losses have a single mode: p = 0.22
    depth 2, training losses have a single mode: p = 1
    depth 3, training losses have a single mode: p = 1
    depth 4, training losses have a single mode: p = 0.59
    depth 5, training losses have a single mode: p = 0.54

Depth moves P(success), and not at one step. It moves the mean of the successes as well. In no cell is a
single mode rejected (depth 4 at length 30 comes closest): the scores spread from 0 to 1, against the bimodal
ones that the paper finds for larger models trained for longer. Nor is it rejected for the losses of the same
seeds. More than two of five seeds of depth 2 had the ability on the way and ended without it. Studies of 16
seeds find the trend every time and the order of neighbouring depths rarely, and a quarter of twenty such
studies cannot tell the change from a step.
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
NAME = "count_depth"
MODELS = [neox(depth, 32, 4) for depth in (1, 2, 3, 4, 5)]


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """250 seeds each, in hours of two cores; quick: 16 seeds each."""
    return populations(MODELS, NAME, 16 if quick else 250)
