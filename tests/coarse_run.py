"""The command line as a program that draws its reports coarsely and with few resamples: most of their time.

python tests/coarse_run.py ARGUMENTS...
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
import run
from jaxemerge.report import mixtures, write


def coarse() -> None:
    """From now on."""
    write.SCALE, mixtures.BOOTSTRAPS = 0.25, 19


if __name__ == "__main__":
    coarse()
    sys.exit(run.main(sys.argv[1:]))
