"""How probably does a study of so many seeds answer its question? The table of experiments/README.md.

python benchmarks/seeds_needed.py            all rows (about 10 minutes on one core)
python benchmarks/seeds_needed.py rates      those of one question
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

from jaxemerge.stats import plan_seeds
from jaxemerge.stats.design.questions import question_of

SEEDS = (16, 30, 60, 120, 250)
ROWS: list[tuple[str, str, dict[str, Any]]] = [
    ("two_sided", "two sides: means 0.1 and 0.7, 30 % above", {}),
    ("two_sided", "two sides: zeros and 0.7, 30 % above", {"means": (0.0, 0.7)}),
    ("rates", "P(success) 0.2 against 0.5", {}),
    ("rates", "P(success) 0.5 against 0.6", {"rates": (0.5, 0.6)}),
    ("midpoint", "midpoint within ±0.5 of ln(scale), ceiling 0.8 fitted", {}),
    ("midpoint", "the same, ceiling known", {"free_ceiling": False}),
    ("init", "initialisation 30 % of the variance, data order 20 % (runs)", {}),
    ("success_mean", "mean of the successes (half of the seeds) within ±0.05", {}),
    ("outcomes", "an outcome of 10 % of seeds seen three times", {}),
]


def power(question: str, effect: dict[str, Any], seeds: int, studies: int) -> float:
    """Share of simulated studies that answer; crossed designs have at most so many runs."""
    asked = question_of(question, effect)
    size = next(size for size in range(seeds, 0, -1) if asked.seeds(size) <= seeds)
    return float(asked.found(size, studies, 0.95, np.random.default_rng(seeds)).mean())


def main() -> None:
    """Prints rows of Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("question", nargs="?", choices=sorted({row[0] for row in ROWS}))
    only = parser.parse_args().question
    for question, words, effect in ROWS:
        if only in (None, question):
            studies = min(question_of(question, effect).studies, 4000) // 2
            shares = [f"{power(question, effect, seeds, studies):.0%}" for seeds in SEEDS]
            needed = plan_seeds(question, effect).seeds.value
            shares.append(f"{needed:.0f}" if math.isfinite(float(needed)) else "> 2000")
            print(f"| {words} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
