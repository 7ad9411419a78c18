"""Five depths at width 512: what depth does to the distribution of counting ability.

python experiments/run.py count_fixed_width
python experiments/run.py count_fixed_width --quick
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
