"""Five shapes of one size, 3.2 million parameters: wide and shallow against narrow and deep.

    python experiments/run.py count_fixed_parameters
    python experiments/run.py count_fixed_parameters --quick

The cells are those of Zhao et al. (2025), arXiv 2502.17356, with GPT-NeoX-style blocks.

Cost, by formula, not run: 9.4e18 FLOPs for 5 x 250 seeds, 8.7 hours at 3e14 FLOP/s
(``plan --flops-per-second 3e14``).
Quick, measured: 1 min 34 s on 2 cores, compilation and report included
(85 s of training, 2026-11-25, AMD EPYC, 2 cores, jax 0.10.2).

Finds, quick version only (0.1 million parameters: depth 1, 2, 4 at width 96, 64, 48; 16 seeds each), trained
on answers of at most 10, success at an exact match of 0.2, 95 % intervals:

    length 20, depth 2, width 64, P(success): 0.375 [0.168, 0.624]
    length 20, depth 2, width 64, mean of successes: 0.484 [0.316, 0.752]
    length 20, depth 1, width 96, P(success): 0 [0, 0.194]
    length 20, depth 4, width 48, P(success): 1 [0.806, 1]
    length 20, depth 4, width 48, mean of successes: 0.836 [0.701, 0.886]
    length 30, depth 2, width 64, P(success): 0.188 [0.05, 0.43]
    length 30, depth 2, width 64, mean of successes: 0.606 [0.284, 0.903]
    length 30, depth 1, width 96, P(success): 0 [0, 0.194]
    length 30, depth 4, width 48, P(success): 1 [0.806, 1]
    length 30, depth 4, width 48, mean of successes: 0.767 [0.635, 0.847]

At one size the deeper models succeed more often: none of 16 seeds of depth 1 at length 20, all 16 of depth 4
at length 30. What the full version finds was not measured here.
"""

from __future__ import annotations

from jaxemerge import Experiment, families, neox
from paper import experiments as paper
from studies.settings import figure as figure
from studies.settings import findings as findings
from studies.settings import kept as kept
from studies.settings import laptop

NAME = "count_fixed_parameters"


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Depth 1 to 16, 250 seeds each; quick: 0.1 million parameters at depth 1, 2 and 4, 16 seeds each."""
    if quick:
        return laptop([neox(1, 96, 3), neox(2, 64, 2), neox(4, 48, 3)], NAME)
    return paper(families.count_fixed_parameters(), NAME)
