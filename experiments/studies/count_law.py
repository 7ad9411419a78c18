"""Does one law of depth and width predict the largest cells of both families of 250 seeds?

    python experiments/figures.py count_law

The law of the distribution (``jaxemerge.stats.fit_distribution_law``) is fitted to the scores at length 30
of all cells of count_depth and count_width but the largest of each, and predicts these two. The gain in log
score, in nats per seed, compares its prediction with simpler ones (``jaxemerge.stats.held_out_scores``).

Finds, success at an exact match of 0.2, 95 % intervals over seeds, those of P(success) as predicted also
over departures of single cells from the law:

    all cells, doubling depth, logit of P(success): 4.3 [3.64, 5.22]
    all cells, doubling depth, logit of the mean: 0.818 [0.523, 1.24]
    all cells, doubling width, logit of P(success): 6.27 [5.7, 7.44]
    all cells, doubling width, logit of the mean: 2.63 [2.27, 3.08]
    all cells, departures of cells from the law, in logits: 0.182 [0.144, 0.405]
    depth 3 width 48, P(success) as predicted: 0.83 [0.437, 0.985]
    depth 3 width 48, mean of successes as predicted: 0.812 [0.772, 0.842]
    depth 3 width 48, P(success) seen: 0.992 [0.971, 0.999]
    depth 5 width 32, P(success) as predicted: 0.968 [0.9, 0.996]
    depth 5 width 32, mean of successes as predicted: 0.611 [0.555, 0.678]
    depth 5 width 32, P(success) seen: 0.916 [0.875, 0.946]
    gain in nats per seed over nearest cell: 0.113 [0.062, 0.163]
    gain in nats per seed over all cells pooled: 0.744 [0.672, 0.811]
    gain in nats per seed over cells of the same depth: 0.799 [0.73, 0.863]
    gain in nats per seed over cells of the same width: 0.883 [0.804, 0.957]
    gain in nats per seed over one component: 0.155 [0.0849, 0.228]

The law predicts the seeds of the two largest cells better than every simpler prediction, the nearest cell
included. P(success) at depth 5 and both means of successes lie within their intervals; P(success) at width
48 lies above its interval.
"""

from __future__ import annotations

from collections.abc import Iterator

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray

from jaxemerge import charts
from jaxemerge.analysis.distribution_law import LawFit, Study, study
from jaxemerge.report.distribution_law import per_doubling
from jaxemerge.stats import DistributionLaw, fit_distribution_law, held_out_scores, success_interval
from studies.count_families import ends_of_both
from studies.finding import Finding, finding
from studies.populations import LENGTHS, THRESHOLD

SOURCES = ("count_depth", "count_width")
BOOTSTRAPS = 100


def findings_and_figure(depth: pl.DataFrame, width: pl.DataFrame) -> tuple[list[Finding], alt.FacetChart]:
    """The law's slopes, its prediction of the largest two cells and its gain; histograms of all cells."""
    found = study(ends_of_both(depth, width).filter(pl.col("length") == LENGTHS[-1]), "exact_match")
    assert found is not None
    law = _law(found, np.ones(len(found.scores), bool))
    held = np.any(law.seen.scale == law.seen.scale.max(axis=0), axis=1)
    without = _law(found, ~np.any(found.design == law.seen.scale.max(axis=0), axis=1))
    fit = LawFit(law, law.seen.scale[held], without, without.predict(law.seen.scale))
    findings = [*_slopes(law), *_predictions(fit, held), *_gains(law, held)]
    return findings, charts.predicted_histograms(fit)


def _law(found: Study, used: NDArray[np.bool_]) -> DistributionLaw:
    return fit_distribution_law(
        found.scores[used],
        found.trials,
        found.design[used],
        found.lengths,
        threshold=THRESHOLD,
        names=found.names,
        groups=found.groups[used],
        bootstraps=BOOTSTRAPS,
    )


def _slopes(law: DistributionLaw) -> Iterator[Finding]:
    for place, name in enumerate(law.names):
        for what, slopes in (("P(success)", law.weight_slopes), ("the mean", law.mean_slopes)):
            yield finding(f"all cells, doubling {name}, logit of {what}", per_doubling(slopes, place))
    yield finding("all cells, departures of cells from the law, in logits", law.cell_spread)


def _predictions(fit: LawFit, held: NDArray[np.bool_]) -> Iterator[Finding]:
    """P(success) and the mean of the successes as predicted, and the share of seeds that succeeded."""
    seen, predicted = fit.law.seen, fit.predicted
    for cell in np.flatnonzero(held):
        where = " ".join(f"{n} {x:g}" for n, x in zip(fit.law.names, seen.scale[cell], strict=True))
        for what, each in (("P(success)", predicted.success), ("mean of successes", predicted.mean)):
            ends = (np.asarray(part)[cell, 0] for part in (each.value, each.interval.low, each.interval.high))
            yield Finding(f"{where}, {what} as predicted", *map(float, ends))
        right = seen.counts[cell, :, 0] / seen.trials[0]
        successes, seeds = (
            float(seen.seeds[cell][which].sum()) for which in (right >= THRESHOLD, right >= 0)
        )
        share = success_interval(successes, seeds)
        yield Finding(f"{where}, P(success) seen", successes / seeds, float(share.low), float(share.high))


def _gains(law: DistributionLaw, held: NDArray[np.bool_]) -> Iterator[Finding]:
    """Log score of the law less that of each simpler prediction; larger is better."""
    scores = held_out_scores(law, by=np.flatnonzero(held).tolist())
    for name, (joint, *_) in zip(scores.names[1:], scores.differences, strict=True):
        yield finding(f"gain in nats per seed over {name}", joint)
