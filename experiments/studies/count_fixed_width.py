"""Five depths at width 512: what depth does to the distribution of counting ability.

    python experiments/run.py count_fixed_width
    python experiments/run.py count_fixed_width --quick

The cells are those of Zhao et al. (2025), arXiv 2502.17356, with GPT-NeoX-style blocks.

Cost, by formula, not run: 3.5e19 FLOPs for 5 x 250 seeds, 1.4 days at 3e14 FLOP/s
(``plan --flops-per-second 3e14``).
Quick, measured: 3 min 52 s on 2 cores shared with other work, compilation and report included
(215 s of training, 2026-11-25, AMD EPYC, 2 cores, jax 0.10.2).

Finds, quick version only (depth 1, 2, 4 at width 48; 16 seeds each), trained on answers
of at most 10, success at an exact match of 0.2, 95 % intervals:

    length 20, depth 1, P(success): 0 [0, 0.194]
    length 20, depth 2, P(success): 0.938 [0.717, 0.997]
    length 20, depth 2, mean of successes: 0.638 [0.533, 0.728]
    length 20, depth 4, P(success): 1 [0.806, 1]
    length 20, depth 4, mean of successes: 0.836 [0.701, 0.886]
    length 30, depth 1, P(success): 0 [0, 0.194]
    length 30, depth 2, P(success): 0.375 [0.168, 0.624]
    length 30, depth 2, mean of successes: 0.5 [0.337, 0.741]
    length 30, depth 4, P(success): 1 [0.806, 1]
    length 30, depth 4, mean of successes: 0.767 [0.635, 0.847]

Depth moves seeds from failure to success: none succeeds at depth 1, all do at depth 4, and at length 30 depth
2 is two-sided. What the full version finds was not measured here.
"""

from __future__ import annotations

from jaxemerge import Experiment, families, neox
from paper import experiments as paper
from studies.settings import figure as figure
from studies.settings import findings as findings
from studies.settings import kept as kept
from studies.settings import laptop

NAME = "count_fixed_width"


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Depth 1 to 8 with 250 seeds each; quick: depth 1, 2 and 4 at width 48, 16 seeds each."""
    if quick:
        return laptop([neox(depth, 48, 3) for depth in (1, 2, 4)], NAME)
    return paper(families.count_fixed_width(), NAME)
