"""Five widths at depth 4: what width does to the distribution of counting ability.

    python experiments/run.py count_fixed_depth
    python experiments/run.py count_fixed_depth --quick

The cells are those of Zhao et al. (2025), arXiv 2502.17356, with GPT-NeoX-style blocks.

Cost, by formula, not run: 1.3e19 FLOPs for 5 x 250 seeds, 12 hours at 3e14 FLOP/s (``--plan --rate 3e14``).
Quick, measured: 7 min 12 s on 2 cores that were also busy otherwise.

Finds, quick version only (width 32, 64, 96 at depth 2; 16 seeds each; measured): at answer length 20,
trained on at most 10, P(exact match >= 0.2) is 0.06 [0.01, 0.28], 0.56 [0.33, 0.77] and
0.38 [0.18, 0.61]: width 32 rarely succeeds, and 16 seeds cannot tell width 64 from 96. What the full
version finds was not measured here.
"""

from __future__ import annotations

from jaxemerge import Experiment, families, neox
from studies.settings import laptop, paper

NAME = "count_fixed_depth"


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Width 64 to 512 with 250 seeds each; quick: width 32, 64 and 96 at depth 2, 16 seeds each."""
    if quick:
        return laptop([neox(2, width, width // 32) for width in (32, 64, 96)], NAME)
    return paper(families.count_fixed_depth(), NAME)
