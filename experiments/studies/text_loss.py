"""Scaling of the loss on real text: sizes by training lengths, on source code that every Python has.

    python experiments/run.py text_loss --quick
    python experiments/run.py text_loss

Trains models of depth 2 at four widths, each for four numbers of steps, on the bytes of 28 files of Python's
library, 483,426 bytes. The last tenth of every file is held out. These files are the same in Python
3.11.2 to 3.13.0; the SHA-256 of all, one after the other, is ad8b5ea87031... (`SHA256`). Where a Python has
other files, cells have other ids. The loss is that of 512 held-out windows of 64 bytes, `answer_nll` in nats
per byte and `bits_per_byte`. N is without embeddings. The longest training reads its text 3.8 times, few
enough repetitions to count as fresh text (Muennighoff et al. 2023, arXiv 2305.16264).

Cost, quick version, measured: 7 min 30 s for four seeds of each of the 16 cells, compiling and report
included, on two cores that other programs used at the same time (515 s of training, 2026-11-28, AMD EPYC, 2
cores, jax 0.10.2); by formula 4 min 21 s on two free cores. The large version, on the source of the whole
library: by formula only (`--plan`), not run.

Finds, quick version, four seeds per cell; 95 % intervals: of means Student's, of the law from bootstraps of
seeds within cells, of the standard deviation from the chi-squared law:

    bits per byte, width 16, 204,800 tokens: 3.5 [3.43, 3.57]
    bits per byte, width 16, 1,638,400 tokens: 2.62 [2.56, 2.67]
    bits per byte, width 48, 204,800 tokens: 3.17 [3.1, 3.23]
    bits per byte, width 48, 1,638,400 tokens: 2.15 [2.09, 2.21]
    E of the parametric law: 0.943 [0.724, 1.11]
    alpha of the parametric law: 0.625 [0.458, 0.902]
    beta of the parametric law: 0.446 [0.36, 0.564]
    mean relative error of the law of shorter trainings at the longest: -0.0293
    standard deviation of seeds of a cell, nats, pooled over 16 cells: 0.0216 [0.018, 0.027]

The loss still falls steeply in both N and D. E (nats per byte) is an extrapolation from runs at 1.47 nats and
above, and its interval does not include the error of the form: the law of trainings of up to 800 steps
predicts a loss 2.9 % below the measured one at 1,600.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl
from scipy.stats import chi2

from jaxemerge import AdamW, Corpus, Experiment, charts, llama, paired
from jaxemerge.analysis import final, scaling_laws
from jaxemerge.runner import sweep
from jaxemerge.stats import fit_chinchilla, mean_interval
from studies.finding import Finding, finding

NAME = "text_loss"
LIBRARY = Path(os.__file__).parent
# Files that are the same in Python 3.11.2 to 3.13.0, so that the text is, too.
FILES = (
    *("difflib.py", "graphlib.py", "heapq.py", "optparse.py", "pyclbr.py", "string.py", "tracemalloc.py"),
    *("weakref.py", "_markupbase.py", "_py_abc.py", "_threading_local.py", "_weakrefset.py"),
    *("asyncio/protocols.py", "concurrent/futures/_base.py", "email/contentmanager.py"),
    *("email/headerregistry.py", "json/__init__.py", "multiprocessing/heap.py"),
    *("multiprocessing/reduction.py", "tomllib/_parser.py", "unittest/suite.py", "unittest/util.py"),
    *("wsgiref/headers.py", "xml/dom/pulldom.py", "xml/dom/xmlbuilder.py", "xml/etree/ElementPath.py"),
    *("xml/sax/handler.py", "xml/sax/saxutils.py"),
)
# Of these files end to end: the text of the kept results.
SHA256 = "ad8b5ea87031e7c54a8b9df35ca1e99e7cbffed59f8d93aa5bce36ba7f837ca8"
WIDTHS, STEPS = (16, 24, 32, 48), (200, 400, 800, 1600)
LARGE_WIDTHS, LARGE_STEPS = (64, 96, 128, 192, 256), (500, 1000, 2000, 4000)


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Every width with every number of steps, each cosine ending with its training."""
    if quick:
        task = Corpus(tuple(str(LIBRARY / name) for name in FILES), context=64, windows=512)
        base = _base(task, batch=16, seeds=4, rate=5e-3, warmup=50)
        return _grid(base, 2, WIDTHS, STEPS)
    task = Corpus(_all_files(), context=256, windows=512)
    base = _base(task, batch=64, seeds=8, rate=2e-3, warmup=100)
    return _grid(base, 4, LARGE_WIDTHS, LARGE_STEPS)


def same_text() -> bool:
    """Whether this Python's files are those of the kept results."""
    content = b"".join((LIBRARY / name).read_bytes() for name in FILES)
    return hashlib.sha256(content).hexdigest() == SHA256


@functools.cache
def _all_files() -> tuple[str, ...]:
    """The source of Python's whole library, tests and installed packages aside."""
    aside = {"site-packages", "dist-packages", "test", "tests", "idle_test"}
    found = [path for path in LIBRARY.rglob("*.py") if aside.isdisjoint(path.relative_to(LIBRARY).parts)]
    return tuple(str(path) for path in sorted(found))


def _base(task: Corpus, *, batch: int, seeds: int, rate: float, warmup: int) -> Experiment:
    return Experiment(
        task=task,
        model=llama(2, 16, 1),
        optimizer=AdamW(learning_rate=rate, warmup=warmup, weight_decay=0.0),
        batch=batch,
        context=task.context,
        seeds=paired(range(seeds)),
        evaluations=6,
        study=NAME,
    )


def _grid(
    base: Experiment, depth: int, widths: tuple[int, ...], steps: tuple[int, ...]
) -> tuple[Experiment, ...]:
    models = [llama(depth, width, width // 16) for width in widths]
    return sweep.cells(base, sweep.product({"model": models, "steps": steps}))


def kept(results: pl.DataFrame) -> pl.DataFrame:
    """The loss of the held-out text along the training, in nats, and in bits per byte at its end."""
    return pl.concat([results.filter(metric="answer_nll"), final(results.filter(metric="bits_per_byte"))])


def findings(losses: pl.DataFrame) -> list[Finding]:
    """The corners of the grid, the law, its prediction of the longest training, and the spread of seeds."""
    ends = final(losses)
    bits = ends.filter(metric="bits_per_byte")
    found = [_corner(bits, *corner) for corner in _corners(bits)]
    laws = scaling_laws(losses, "answer_nll")
    if laws.parametric is not None:
        names = ("E", "alpha", "beta")
        found += [finding(f"{name} of the parametric law", getattr(laws.parametric, name)) for name in names]
    nats = ends.filter(metric="answer_nll")
    return found + _predictions(nats) + _seeds(nats)


def figure(losses: pl.DataFrame) -> alt.LayerChart:
    """The runs and the law in the plane of size and data."""
    parametric = scaling_laws(losses, "answer_nll", bootstraps=100).parametric
    assert parametric is not None
    return charts.loss_contours(parametric)


def _corners(bits: pl.DataFrame) -> list[tuple[int, int]]:
    """Width and tokens of the cells at the grid's corners, the smallest model first."""
    widths, tokens = (bits[name].unique().sort().to_list() for name in ("width", "tokens"))
    ends = [dict.fromkeys((each[0], each[-1])) for each in (widths, tokens)]
    return list(itertools.product(*ends))


def _corner(bits: pl.DataFrame, width: int, tokens: int) -> Finding:
    value = bits.filter(width=width, tokens=tokens)["value"].to_numpy()
    return finding(f"bits per byte, width {width}, {tokens:,} tokens", mean_interval(value))


def _predictions(nats: pl.DataFrame) -> list[Finding]:
    """How far the law of the shorter trainings is off at the longest, and how many means it holds."""
    last = nats["tokens"].max()
    parts = nats.filter(tokens=last), nats.filter(pl.col("tokens") < last)
    long, short = (each.select("parameters", "tokens", "value").to_numpy().astype(float) for each in parts)
    if len(np.unique(short[:, 1])) < 3:
        return []
    law = fit_chinchilla(*short.T, bootstraps=0)
    off = np.asarray(law.predict(long[:, 0], long[:, 1]).value) / long[:, 2] - 1
    return [Finding("mean relative error of the law of shorter trainings at the longest", float(off.mean()))]


def _seeds(nats: pl.DataFrame) -> list[Finding]:
    """The standard deviation over seeds, pooled over cells; its interval is that of a normal law."""
    each = nats.group_by("cell").agg(variance=pl.col("value").var(), seeds=pl.len()).drop_nulls()
    if each.is_empty():
        return []
    free = int((each["seeds"] - 1).sum())
    squares = float(((each["seeds"] - 1) * each["variance"]).sum())
    low, high = (np.sqrt(squares / chi2.ppf(share, free)) for share in (0.975, 0.025))
    name = f"standard deviation of seeds of a cell, nats, pooled over {each.height} cells"
    return [Finding(name, float(np.sqrt(squares / free)), float(low), float(high))]
