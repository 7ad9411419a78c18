"""How fast does a population write, and does sampling until r passes cost what its samples cost?

python benchmarks/generation.py                         tokens per second, then the cost of sampling
python benchmarks/generation.py --seeds 4 --rounds 3 --json out.jsonl

All variants draw from the same untrained weights to the same 128 prompts of two tokens, 62 tokens each. A
forward pass over the whole text per token, of which every seed costs the same, is timed with one seed on
each device; it must write the same texts.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import timing
from jaxemerge.devices import Layout, over_seeds, use_host_cores
from jaxemerge.evaluation import Prompts, Sampling, estimate, generate, prompts
from jaxemerge.evaluation.decoding import pick
from jaxemerge.models import Transformer, apply, init, neox
from jaxemerge.tasks import Count, Markov, Task
from jaxemerge.training import paired

POPULATION, ONE, FULL = "population", "one seed at a time", "full forward pass per token"
CAPS = (16, 256, 4096)


@dataclasses.dataclass(frozen=True)
class Workload:
    """Seeds that write, and what they are asked.

    Attributes:
        task, model: of the cell.
        params: weights on the host, leading axis S.
        items: the prompts.
    """

    task: Task
    model: Transformer
    params: Any
    items: Prompts

    @property
    def seeds(self) -> int:
        """S, how many there are."""
        return int(jax.tree.leaves(self.params)[0].shape[0])

    @property
    def tokens(self) -> int:
        """Tokens that one seed writes."""
        return int(self.items.writes.sum())

    def first(self, n: int) -> Workload:
        """The same with the first n seeds."""
        return dataclasses.replace(self, params=jax.tree.map(lambda leaf: leaf[:n], self.params))

    def texts(self, layout: Layout | None, which: Sequence[int], rows: int) -> np.ndarray:
        """What seeds write, [S, E, L]."""
        params = jax.tree.map(lambda leaf: leaf[np.asarray(which)], self.params)
        options: dict[str, Any] = {"key": jax.random.key(0), "sampling": Sampling()}
        work = (self.task, self.model, params, paired(which), self.items)
        done = generate(*work, layout=layout, rows=rows, **options)
        return done.tokens[:, :, 0]


def workload(task: Task, model: Transformer, seeds: int) -> Workload:
    """Untrained seeds on all items of a task."""
    keys = jax.random.split(jax.random.key(1), seeds)
    drawn = jax.jit(jax.vmap(lambda key: init(model, task.vocabulary, key)))(keys)
    return Workload(task, model, jax.tree.map(np.asarray, drawn), prompts(task.evaluation_sets()))


def without_cache(work: Workload, layout: Layout) -> Callable[[], np.ndarray]:
    """Every token from a forward pass over the whole text, all seeds in one program."""
    tokens, start = jnp.asarray(work.items.tokens), work.items.start

    def one(params: Any, seed: Any) -> Any:
        def step(t: Any, text: Any) -> Any:
            logits = apply(work.model, work.task.vocabulary, params, text)[:, t - 1]
            return text.at[:, t].set(pick(logits, _uniform(seed, len(tokens), t), Sampling()))

        return jax.lax.fori_loop(start, tokens.shape[1], step, tokens)

    program = over_seeds(one, layout, mapped=2)
    placed = jax.device_put((work.params, np.arange(work.seeds, dtype=np.uint32)), layout.sharding)
    return lambda: np.asarray(program(*placed))


def _uniform(seed: Any, items: int, t: Any) -> Any:
    """The numbers that ``generate`` draws with, derived once more: both seeds, item, sample 0, place."""
    root = functools.reduce(jax.random.fold_in, (seed, seed), jax.random.key(0))
    parts = (0, t)

    def of(item: Any) -> Any:
        return jax.random.uniform(functools.reduce(jax.random.fold_in, parts, jax.random.fold_in(root, item)))

    return jax.vmap(of)(jnp.arange(items))


def variants(work: Workload, rows: int) -> Mapping[str, tuple[Callable[[], np.ndarray], int]]:
    """What is timed, and how many seeds each writes for."""
    devices = tuple(jax.local_devices())
    alone = Layout(devices[:1], 1)
    few = work.first(min(len(devices), work.seeds))

    def one_by_one() -> np.ndarray:
        return np.concatenate([work.texts(alone, [seed], rows) for seed in range(work.seeds)])

    return {
        POPULATION: (lambda: work.texts(None, range(work.seeds), rows), work.seeds),
        ONE: (one_by_one, work.seeds),
        FULL: (without_cache(few, Layout(devices[: few.seeds], 1)), few.seeds),
    }


def check_same(found: Mapping[str, np.ndarray]) -> float:
    """The smallest share of tokens in which a variant agrees with the population.

    Raises:
        ValueError: it is below 99 %; rounding moves a draw to the next token once in some 1e5.
    """
    whole = found[POPULATION]
    worst = min(float(np.mean(texts == whole[: len(texts)])) for texts in found.values())
    if worst < 0.99:
        raise ValueError(f"only {worst:.1%} of the tokens agree: the variants write different texts")
    return worst


def speed(work: Workload, options: argparse.Namespace) -> list[timing.Result]:
    """Tokens per second of every variant."""
    runs = variants(work, options.rows)
    same = check_same({name: write() for name, (write, _) in runs.items()})
    timed = {name: _times(write) for name, (write, _) in runs.items()}
    seen = timing.interleaved(timed, rounds=options.rounds, seconds=options.seconds)
    per_token = {name: [t / (work.tokens * runs[name][1]) for t in times] for name, times in seen.items()}
    return [
        timing.Result(
            *("generation", _device(), _cell(work), name, runs[name][1]),
            1 / statistics.median(times),
            "tokens/s",
            {
                "population_is_times": timing.median_ratio(times, per_token[POPULATION]),
                "spread": timing.spread(times),
                "rounds": options.rounds,
                "same_tokens": same,
            },
        )
        for name, times in per_token.items()
    ]


def _times(write: Callable[[], np.ndarray]) -> timing.Run:
    def run(n: int) -> None:
        for _ in range(n):
            write()

    return run


def cost(seeds: int, options: argparse.Namespace) -> list[timing.Result]:
    """Seconds and texts of sampling until two passes, against the samples that count.

    Untrained seeds count to 1 to 5 numbers of 6: they pass about every 10, 100, ... 100,000 samples.
    """
    work = workload(Count(numbers=6, train_length=5, test_lengths=(1, 2, 3, 4, 5)), neox(2, 64, 2), seeds)
    found = []
    for cap in CAPS:
        for _ in range(2):  # the first compiles
            began = time.perf_counter()
            counts = estimate(
                *(work.task, work.model, work.params, paired(range(seeds)), work.items),
                **{"key": jax.random.key(0), "cap": cap, "rows": options.rows},
            )
            seconds = time.perf_counter() - began
        needed = int(counts.samples.sum())
        more = {
            "cap": cap,
            "samples": needed,
            "texts_per_sample": counts.computed / needed,
            "censored": float(counts.censored.mean()),
        }
        name = f"two passes, at most {cap} samples"
        value = 1e6 * seconds / needed
        found.append(
            timing.Result("generation", _device(), _cell(work), name, seeds, value, "us per sample", more)
        )
    return found


def _device() -> str:
    here = jax.local_devices()
    return timing.device_name(here[0].platform, here[0].device_kind, len(here))


def _cell(work: Workload) -> str:
    return f"{work.model.depth}x{work.model.width}, {len(work.items)} items of {work.items.tokens.shape[1]}"


def report(fast: Sequence[timing.Result], costs: Sequence[timing.Result]) -> str:
    """Two tables."""
    rows = [(r.variant, r.seeds, r.value, r.more["population_is_times"], r.more["spread"]) for r in fast]
    first = timing.table(("variant", "seeds", "tokens/s", "population is x", "+-"), rows)
    keys = ("samples", "texts_per_sample", "censored")
    more = [(r.variant, r.seeds, *(r.more[key] for key in keys), r.value) for r in costs]
    header = ("sampling until", "seeds", "samples", "texts/sample", "censored", "us/sample")
    return f"{first}\n\n{timing.table(header, more)}"


def parser() -> timing.Parser:
    """The command line."""
    made = timing.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seeds", type=int, default=16)
    made.add_argument("--items", type=int, default=128, help="texts that are asked for, default 128")
    made.add_argument("--rows", type=int, default=0, help="texts of a seed written together; default chosen")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=float, default=1.0, help="of one measurement")
    made.add_argument("--json", type=Path, metavar="FILE", help="write results there, print none")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures speed, then cost."""
    made = parser()
    options = made.parse_args(arguments)
    use_host_cores()
    try:
        for name in ("seeds", "items", "rounds", "seconds"):
            if getattr(options, name) <= 0:
                raise ValueError(f"--{name} {getattr(options, name)}: must be positive")
        fast = speed(workload(Markov(texts=options.items), neox(2, 64, 2), options.seeds), options)
        costs = cost(options.seeds, options)
    except ValueError as error:
        made.error(str(error))
    timing.write([*fast, *costs], options.json)
    print(report(fast, costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
