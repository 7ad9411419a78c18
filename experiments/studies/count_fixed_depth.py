"""Five widths at depth 4: what width does to the distribution of counting ability.

python experiments/run.py count_fixed_depth
python experiments/run.py count_fixed_depth --quick
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
