"""The command line as a program that compiles with few optimizations and draws its reports coarsely.

python tests/coarse_run.py ARGUMENTS...
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
import run
from jaxemerge.report import mixtures, write


def coarse() -> None:
    """Draws reports from now on with few pixels and few resamples."""
    write.SCALE, mixtures.BOOTSTRAPS = 0.25, 19


if __name__ == "__main__":
    coarse()
    jax.config.update("jax_disable_most_optimizations", True)
    sys.exit(run.main(sys.argv[1:]))
