"""The command line as a program that notes what it does in a file, for tests that kill it.

python tests/traced_run.py NOTES STOP ARGUMENTS...      STOP: a step after which it sends itself SIGTERM, or 0

Every line is a JSON object: the state after a dispatch, a checkpoint that was gone on from, a part committed.
It also knows a study of twelve cells that share one compiled program.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from coarse_run import coarse
from jaxemerge import AdamW, Count, Experiment, cli, neox, paired
from jaxemerge.runner import chunk
from jaxemerge.runner.store import Store
from jaxemerge.runner.sweep import cells, product

train_chunk, write = chunk.train_chunk, Store.write


def digest(state: Any, n: int) -> str:
    """Of all arrays of the first n seeds: weights, optimizer, flags."""
    leaves = [np.ascontiguousarray(np.asarray(leaf)[:n]) for leaf in jax.tree.leaves(state)]
    return hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest()


def main(notes: str, stop: int, arguments: list[str]) -> int:
    def note(**fields: Any) -> None:
        with open(notes, "a") as file:
            file.write(json.dumps({"pid": os.getpid(), **fields}) + "\n")

    def noting(experiment: Any, plan: Any, who: Any, *, resume: Any, **options: Any) -> Any:
        seeds = np.stack([who.init_seed, who.data_seed], axis=1).tolist()

        def gone_on(built: Any, population: Any) -> Any:
            resumed = resume(built, population)
            note(kind="begun", seeds=seeds, step=resumed.step, digest=digest(resumed.state, len(seeds)))
            return resumed

        running = train_chunk(experiment, plan, who, resume=gone_on if resume else None, **options)
        for progress, snapshot in running:
            if snapshot is not None:
                seen = digest(snapshot.state, len(seeds))
                note(kind="done", seeds=seeds, step=progress.step, digest=seen)
            if progress.step == stop > 0:
                os.kill(os.getpid(), signal.SIGTERM)
            yield progress, snapshot

    def committing(self: Store, cell: str, *rest: Any) -> None:
        write(self, cell, *rest)
        note(kind="committed", cell=cell)

    chunk.train_chunk = noting
    Store.write = committing  # type: ignore[method-assign]
    coarse()
    front = Path(__file__).parents[1] / "experiments" / "run.py"
    known = cli.studies_beside(str(front))
    studies = {
        **{name: known[name] for name in ("count_quick", "count_fixed_depth")},
        "twelve": SimpleNamespace(cells=twelve),
    }
    return cli.main(arguments, studies, str(front))


def twelve(quick: bool) -> tuple[Experiment, ...]:
    """Twelve learning rates."""
    base = Experiment(
        task=Count(11, 3, (3, 5)),
        model=neox(1, 24, 3),
        optimizer=AdamW(warmup=2),
        steps=20,
        batch=2,
        context=13,
        seeds=paired(range(2)),
        evaluations=4,
        study="twelve",
    )
    return cells(base, product({"optimizer.learning_rate": [1e-3 * (i + 1) for i in range(12)]}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
