"""The command line as a program whose first training waits for a signal once it has begun.

python tests/waiting_run.py ARGUMENTS...

On slow and on fast machines alike a time limit comes when there is something to lose.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
from jaxemerge import cli
from jaxemerge.cli import run as training
from jaxemerge.runner import chunk
from studies import STUDIES

asked, noted, train_chunk = threading.Event(), training.noted, chunk.train_chunk


def noting(number: int) -> str:
    """What is printed when a signal comes."""
    asked.set()
    return noted(number)


def waiting(*arguments: Any, resume: Any, **options: Any) -> Iterator[Any]:
    """Trains; from the beginning, waits after the first dispatch."""
    for progress, snapshot in train_chunk(*arguments, resume=resume, **options):
        if progress.step and not resume:
            asked.wait(600)
        yield progress, snapshot


if __name__ == "__main__":
    training.noted = noting
    chunk.train_chunk = waiting  # type: ignore[assignment]
    sys.exit(cli.main(sys.argv[1:], STUDIES, __file__))
