"""Five shapes of one size, 3.2 million parameters: wide and shallow against narrow and deep.

python experiments/run.py count_fixed_parameters
python experiments/run.py count_fixed_parameters --quick
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
