"""Is an ability that emerges made by the metric? All of k and thresholds, on a task and on autoencoders.

    python experiments/run.py induced_emergence --quick
    python experiments/run.py induced_emergence

Schaeffer, Miranda and Koyejo (2023, arXiv 2304.15004, figures 7 and 8) make abilities emerge by scoring
smooth improvement sharply. The same is done here with two families of growing width. Models that sort words
of 6 symbols are scored by the tokens that are right, by the answers all of whose 7 tokens (the end is one)
are, by k answers that all are, and by the seeds that get 0.9 of their tokens right. Autoencoders of 8 x 8
digits are scored by the error of 500 images that were not trained on (as a share of the images' variance), by
the images whose error is below a threshold, and by those that are below one together with the k - 1 that
follow them. Nothing but the metric differs within a family.

A metric's emergence score is that of its mean over seeds: the range over the root of the median squared
increment, no increment counting as less than one item of the test (of the error: 0.001 of its range; of
seeds: one seed). Even steps score the number of widths less one, 7 and 10 here; the more of the rise comes at
once the more it is.

Cost, quick version, measured: 2 min 7 s on 2 cores, compilation and report included
(82 s of training, 2026-11-25, AMD EPYC, 2 cores, jax 0.10.2).
The large version: by formula only (`--plan`), not run.

Finds, quick version, 12 seeds per width that sort and 16 that code; 95 % intervals are bootstraps of seeds:

    sort, tokens right, emergence score: 9.99 [5.91, 12.5]
    sort, all of 7 tokens right, emergence score: 6.12 [4.86, 12.1]
    sort, all of 2 answers right, emergence score: 8.14 [5.73, 13.1]
    sort, all of 4 answers right, emergence score: 8.74 [4.74, 24.5]
    sort, all of 8 answers right, emergence score: 32.2 [11.4, 159]
    sort, seeds with 0.9 of tokens right, emergence score: 12
    digits, error, emergence score: 12.4 [12.1, 12.7]
    digits, images with error below 0.3, emergence score: 12.7 [11.3, 13.7]
    digits, images with error below 0.15, emergence score: 14.2 [13.6, 14.9]
    digits, images with error below 0.075, emergence score: 21.1 [19.9, 22.5]
    digits, all of 2 images below 0.15, emergence score: 30.9 [27.8, 34.1]
    digits, all of 4 images below 0.15, emergence score: 42.5 [33.9, 54.9]
    digits, all of 8 images below 0.15, emergence score: 146 [110, 222]
    sort, all of 7 tokens, less the power 7, mean of all widths: -0.0161 [-0.0188, -0.0134]
    sort, all of 7 tokens, measured at width 8, where they differ most: 0.0927 [0.0731, 0.115]
    sort, all of 7 tokens, power 7 at width 8, where they differ most: 0.144 [0.126, 0.164]
    digits, all of 2 images, less the power 2, mean of all widths: 0.000967 [0.000351, 0.00155]
    digits, all of 2 images, measured at width 6, where they differ most: 0.0156 [0.0138, 0.0173]
    digits, all of 2 images, power 2 at width 6, where they differ most: 0.0099 [0.009, 0.0109]
    digits, all of 4 images, less the power 4, mean of all widths: 0.00094 [-9.45e-05, 0.00188]
    digits, all of 4 images, measured at width 24, where they differ most: 0.739 [0.723, 0.754]
    digits, all of 4 images, power 4 at width 24, where they differ most: 0.729 [0.712, 0.743]
    digits, all of 8 images, less the power 8, mean of all widths: 0.00257 [0.00141, 0.00375]
    digits, all of 8 images, measured at width 24, where they differ most: 0.553 [0.53, 0.574]
    digits, all of 8 images, power 8 at width 24, where they differ most: 0.531 [0.508, 0.552]

No width stands out by the error of the digits, which falls at every one. All of 8 images below the threshold
makes an emergent ability of the same outputs: below 0.001 up to width 8, 0.049 at width 16, 0.918 at 32. The
more must be right together, the higher the score, and the power of k is nearly all there is to it: all of k
images differs from it by less than 0.025 at every width. A threshold on single images does less, the more so
the milder it is, for images differ in how hard they are.

A sorted answer of 7 tokens is too short for this: the score of its exact match is no higher than that of the
tokens, though the intervals are wide; token accuracy is 0.453 at the least width already. It takes 8 answers
that are all right, and the interval of that score is wide. At small widths exact match is below the power, as
it must be where tokens of an answer differ in how hard they are. Seeds with 0.9 of their tokens right are
none up to width 12 and 8 of 12 at width 16; the score of these is the largest that 12 seeds can have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import hypergeom

from jaxemerge import AdamW, Experiment, Rewrite, charts, llama, paired
from jaxemerge.analysis import final
from jaxemerge.stats import Estimate, bootstrap, emergence_score
from studies.autoencoder import CLEAR, LIMITS, TOGETHER, Autoencoder
from studies.finding import Finding, finding

NAME = "induced_emergence"
DIGITS, SORT = "digits", "sort"
SURE = 0.9  # token accuracy that a seed must have
DRAWN = {SORT: (0, 1, 4), DIGITS: (0, 2, 6)}  # of their versions, from smooth to sharp
SMALLEST = 1e-3  # least step of a metric that is no share, as a share of its range


@dataclass(frozen=True)
class Version:
    """One metric of the same outputs.

    Attributes:
        name: in words.
        curves: [S, W] of every seed, in order of width; better when more.
        step: least increment that counts: one item of the test.
        sign: -1 where a loss was turned about.
    """

    name: str
    curves: NDArray[np.float64]
    step: float
    sign: float = 1.0

    def score(self) -> Estimate:
        """Emergence score of the mean over seeds; whole seeds are resampled."""
        return bootstrap(self.curves, lambda runs: emergence_score(runs.mean(axis=1), resolution=self.step))


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Sorting by models of width 8 to 256 and digits through 1 to 56 numbers, 100 seeds each.

    Quick: sorting at width 4 to 48, 12 seeds each; digits through 1 to 48 numbers, 16 seeds each.
    """
    sort = Experiment(
        task=Rewrite("sort", symbols=10, train_length=6, test_lengths=(6,), items=500),
        model=llama(2, 8, 1),
        optimizer=AdamW(learning_rate=3e-3, warmup=30, final=0.1, weight_decay=0.1),
        steps=400,
        batch=32,
        context=14,
        seeds=paired(range(12)),
        evaluations=4,
        study=NAME,
        family=SORT,
    )
    digits = Experiment(
        task=Autoencoder(),
        optimizer=AdamW(learning_rate=5e-3, warmup=30, weight_decay=0.0),
        steps=1_000,
        seeds=paired(range(16)),
        evaluations=4,
        study=NAME,
        family=DIGITS,
    )
    if quick:
        return _sorting(sort, (4, 6, 8, 12, 16, 24, 32, 48)) + _coding(
            digits, Autoencoder(), (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
        )
    task = Rewrite("sort", symbols=32, train_length=16, test_lengths=(16,), items=1_000)
    sort = replace(sort, task=task, context=34, batch=128, steps=5_000, seeds=paired(range(100)))
    digits = replace(digits, steps=20_000, seeds=paired(range(100)))
    return _sorting(sort, (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)) + _coding(
        digits, Autoencoder(hidden=256, batch=256), (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 48, 56)
    )


def _sorting(base: Experiment, widths: tuple[int, ...]) -> tuple[Experiment, ...]:
    return tuple(replace(base, model=llama(2, w, max(1, w // 8), init_std=0.1)) for w in widths)


def _coding(base: Experiment, coder: Autoencoder, widths: tuple[int, ...]) -> tuple[Experiment, ...]:
    return tuple(replace(base, task=replace(coder, width=width)) for width in widths)


def kept(results: pl.DataFrame) -> pl.DataFrame:
    """The final scores of both tests."""
    return final(results.filter(pl.col("split") == "test"))


def findings(ends: pl.DataFrame) -> list[Finding]:
    """Emergence scores of every metric of the same outputs, and whether all of k go as the k-th power."""
    found = []
    for family, versions in ((SORT, sorting(ends)), (DIGITS, digits(ends))):
        found += [finding(f"{family}, {each.name}, emergence score", each.score()) for each in versions]
    for name, k, widths, single, joint in _powers(ends):
        excess = joint - single**k
        found.append(
            finding(f"{name}, less the power {k}, mean of all widths", bootstrap(excess.mean(axis=1), _mean))
        )
        place = int(np.argmax(np.abs(excess.mean(axis=0))))
        for what, values in (("measured", joint), (f"power {k}", single**k)):
            label = f"{name}, {what} at width {widths[place]}, where they differ most"
            found.append(finding(label, bootstrap(values[:, place], _mean)))
    return found


def figure(ends: pl.DataFrame) -> alt.ConcatChart:
    """Each metric of the same outputs against width, with its emergence score."""
    rows, scores = [], []
    for family, versions in ((SORT, sorting(ends)), (DIGITS, digits(ends))):
        widths = _widths(ends, family)
        for each in (versions[place] for place in DRAWN[family]):
            name = f"{family}: {each.name}"
            scores.append((name, each.score().value))
            means = bootstrap(each.sign * each.curves, lambda runs: runs.mean(axis=1))
            numbers = (means.value, means.interval.low, means.interval.high)
            values = zip(widths, *map(np.atleast_1d, numbers), strict=True)
            rows += [(name, f"width {w}", float(w), len(each.curves), *of_width) for w, *of_width in values]
    columns = ["metric", "label", "scale", "seeds", "value", "low", "high"]
    return charts.metric_panel(
        pl.DataFrame(rows, schema=columns, orient="row"),
        pl.DataFrame(scores, schema=["metric", "score"], orient="row"),
        "width",
    )


def sorting(ends: pl.DataFrame) -> list[Version]:
    """The share of tokens that are right, of answers that are as a whole, and of seeds that mostly are."""
    tokens, items = (_share(ends, SORT, metric) for metric in ("token_accuracy", "exact_match"))
    sure = (tokens.curves >= SURE).astype(np.float64)
    together = [replace(items, name=f"all of {k} answers right", curves=_all_of(items, k)) for k in TOGETHER]
    return [
        replace(tokens, name="tokens right"),
        replace(items, name=f"all of {_tokens(ends)} tokens right"),
        *together,
        Version(f"seeds with {SURE:g} of tokens right", sure, 1 / len(sure)),
    ]


def digits(ends: pl.DataFrame) -> list[Version]:
    """The error, the share of images below each limit, and of those all of which are below one."""
    error = _curves(ends, DIGITS, "error")
    step = SMALLEST * float(np.ptp(error.mean(axis=0)))
    below = [
        replace(_share(ends, DIGITS, f"below_{limit:g}"), name=f"images with error below {limit:g}")
        for limit in LIMITS
    ]
    together = [
        replace(_share(ends, DIGITS, f"all_of_{k}"), name=f"all of {k} images below {CLEAR:g}")
        for k in TOGETHER
    ]
    return [Version("error", -error, step, sign=-1.0), *below, *together]


def _all_of(items: Version, k: int) -> NDArray[np.float64]:
    """The share of all groups of k different items in which all are right, of every seed."""
    n = round(1 / items.step)
    return hypergeom.pmf(k, n, np.rint(items.curves * n), k)


def _powers(ends: pl.DataFrame) -> Iterator[tuple[str, int, list[int], NDArray, NDArray]]:
    """What is all of k of what: name, k, widths, share of single ones and of all k, both [S, W]."""
    k = _tokens(ends)
    singles, joints = (_curves(ends, SORT, metric) for metric in ("token_accuracy", "exact_match"))
    yield f"{SORT}, all of {k} tokens", k, _widths(ends, SORT), singles, joints
    clear = _curves(ends, DIGITS, f"below_{CLEAR:g}")
    for k in TOGETHER:
        joint = _curves(ends, DIGITS, f"all_of_{k}")
        yield f"{DIGITS}, all of {k} images", k, _widths(ends, DIGITS), clear, joint


def _of(ends: pl.DataFrame, family: str, metric: str) -> pl.DataFrame:
    return ends.filter(pl.col("family") == family, pl.col("metric") == metric)


def _curves(ends: pl.DataFrame, family: str, metric: str) -> NDArray[np.float64]:
    """[S, W]; a diverged seed has failed: its shares are 0, its error is that of the mean image."""
    rows = _of(ends, family, metric).with_columns(pl.col("value").fill_null(1.0)).sort("init_seed", "width")
    return rows["value"].to_numpy().reshape(rows["init_seed"].n_unique(), -1)


def _share(ends: pl.DataFrame, family: str, metric: str) -> Version:
    trials = _of(ends, family, metric)["trials"].to_numpy()
    return Version(metric, _curves(ends, family, metric), 1 / float(trials.min()))


def _widths(ends: pl.DataFrame, family: str) -> list[int]:
    return sorted(ends.filter(pl.col("family") == family)["width"].unique())


def _tokens(ends: pl.DataFrame) -> int:
    """Of an answer, with its end."""
    tokens, items = (_of(ends, SORT, m)["trials"].to_numpy()[0] for m in ("token_accuracy", "exact_match"))
    return int(tokens // items)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.mean(axis=-1)
