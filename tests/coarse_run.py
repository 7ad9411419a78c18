"""The command line as a program that compiles with few optimizations and draws its reports coarsely.

python tests/coarse_run.py ARGUMENTS...
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jax

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
import run
from jaxemerge.cli import run as training

conclude = training.conclude


def coarse() -> None:
    """Draws the reports of training from now on with few pixels and few resamples."""

    def coarsely(*arguments: Any) -> int:
        from jaxemerge.report import mixtures, write  # which programs that are killed never need

        write.SCALE, mixtures.BOOTSTRAPS = 0.25, 19
        return conclude(*arguments)

    training.conclude = coarsely


if __name__ == "__main__":
    coarse()
    jax.config.update("jax_disable_most_optimizations", True)
    sys.exit(run.main(sys.argv[1:]))
