"""Five shapes of one size, 3.2 million parameters: wide and shallow against narrow and deep.

    python experiments/run.py count_fixed_parameters
    python experiments/run.py count_fixed_parameters --quick

The cells are those of Zhao et al. (2025), arXiv 2502.17356, with GPT-NeoX-style blocks.

Cost, by formula, not run: 9.4e18 FLOPs for 5 x 250 seeds, 8.7 hours at 3e14 FLOP/s (``--plan --rate 3e14``).
Quick, measured: 8 min 3 s on 2 cores that were also busy otherwise.

Finds, quick version only (depth 1, 2, 4 at width 96, 64, 48; 16 seeds each; measured): at one size, deeper
is surer. At answer length 20, trained on at most 10, P(exact match >= 0.2) is 0.00 [0.00, 0.19],
0.56 [0.33, 0.77] and 1.00 [0.81, 1.00]; at length 30 it is 0.00 [0.00, 0.19], 0.31 [0.14, 0.56] and
1.00 [0.81, 1.00]. What the full version finds was not measured here.
"""

from __future__ import annotations

from jaxemerge import Experiment, families, neox
from studies.settings import laptop, paper

NAME = "count_fixed_parameters"


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Depth 1 to 16, 250 seeds each; quick: 0.1 million parameters at depth 1, 2 and 4, 16 seeds each."""
    if quick:
        return laptop([neox(1, 96, 3), neox(2, 64, 2), neox(4, 48, 3)], NAME)
    return paper(families.count_fixed_parameters(), NAME)
