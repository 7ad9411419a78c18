"""Five depths at width 512: what depth does to the distribution of counting ability.

    python experiments/run.py count_fixed_width
    python experiments/run.py count_fixed_width --quick

The cells are those of Zhao et al. (2025), arXiv 2502.17356, with GPT-NeoX-style blocks.

Cost, by formula, not run: 3.5e19 FLOPs for 5 x 250 seeds, 1.4 days at 3e14 FLOP/s (``--plan --rate 3e14``).
Quick, measured: 6 min 18 s on 2 cores that were also busy otherwise.

Finds, quick version only (depth 1, 2, 4 at width 48; 16 seeds each; measured): depth moves seeds from
failure to success. At answer length 20, trained on at most 10, P(exact match >= 0.2) is 0.00 [0.00, 0.19],
0.88 [0.64, 0.97] and 1.00 [0.81, 1.00]; at length 30 depth 2 is two-sided: 0.44 [0.23, 0.67], 7 of 16
seeds below 0.1 and 5 above 0.5. What the full version finds was not measured here.
"""

from __future__ import annotations

from jaxemerge import Experiment, families, neox
from studies.settings import laptop, paper

NAME = "count_fixed_width"


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Depth 1 to 8 with 250 seeds each; quick: depth 1, 2 and 4 at width 48, 16 seeds each."""
    if quick:
        return laptop([neox(depth, 48, 3) for depth in (1, 2, 4)], NAME)
    return paper(families.count_fixed_width(), NAME)
