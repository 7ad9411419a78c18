"""Five widths at depth 4: what width does to the distribution of counting ability.

    python experiments/run.py count_fixed_depth
    python experiments/run.py count_fixed_depth --quick

The cells are those of Zhao et al. (2025), arXiv 2502.17356, with GPT-NeoX-style blocks.

Cost, by formula, not run: 1.3e19 FLOPs for 5 x 250 seeds, 12 hours at 3e14 FLOP/s
(``plan --flops-per-second 3e14``).
Quick, measured: 4 min 25 s on 2 cores shared with other work, compilation and report included
(240 s of training, 2026-11-25, AMD EPYC, 2 cores, jax 0.10.2).

Finds, quick version only (width 32, 64, 96 at depth 2; 16 seeds each), trained on answers
of at most 10, success at an exact match of 0.2, 95 % intervals:

    length 20, width 32, P(success): 0.0625 [0.00313, 0.283]
    length 20, width 32, mean of successes: 0.619
    length 20, width 64, P(success): 0.375 [0.168, 0.624]
    length 20, width 64, mean of successes: 0.484 [0.316, 0.752]
    length 20, width 96, P(success): 0.438 [0.215, 0.68]
    length 20, width 96, mean of successes: 0.558 [0.385, 0.76]
    length 30, width 32, P(success): 0 [0, 0.194]
    length 30, width 64, P(success): 0.188 [0.05, 0.43]
    length 30, width 64, mean of successes: 0.606 [0.284, 0.903]
    length 30, width 96, P(success): 0.188 [0.05, 0.43]
    length 30, width 96, mean of successes: 0.545 [0.269, 0.903]

At width 32 one seed succeeds at length 20 and none at length 30; 16 seeds cannot tell width 64 from 96. The
mean of fewer than three successes has no interval. What the full version finds was not measured here.
"""

from __future__ import annotations

from jaxemerge import Experiment, families, neox
from paper import experiments as paper
from studies.settings import figure as figure
from studies.settings import findings as findings
from studies.settings import kept as kept
from studies.settings import laptop

NAME = "count_fixed_depth"


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Width 64 to 512 with 250 seeds each; quick: width 32, 64 and 96 at depth 2, 16 seeds each."""
    if quick:
        return laptop([neox(2, width, width // 32) for width in (32, 64, 96)], NAME)
    return paper(families.count_fixed_depth(), NAME)
