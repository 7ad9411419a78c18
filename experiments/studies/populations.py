"""What do hundreds of seeds per cell say of a family of cells that grow along one scale?

At each length of `LENGTHS`: P(success) and the mean of the successes; in which cells the scores have two
sides (a single mode is rejected); whether P(success) changes at one step; how many seeds had the ability and
lost it; breakthroughness and linearity of single seeds; and how often studies of 16 seeds per cell, drawn
from the hundreds, would have said otherwise. Across lengths: whether the training losses of the same seeds
have two sides. P-values are corrected by Holm's method for the tests of their kind in the family.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray

from jaxemerge import charts
from jaxemerge.analysis import (
    cell_labels,
    final,
    final_scores,
    learning_curves,
    rank_curves,
    scale_column,
    success_fit,
    summarise,
)
from jaxemerge.analysis.results import MEMBER
from jaxemerge.stats import bootstrap, generator, holm, step_test, success_interval, unimodality_test
from studies.finding import Finding, final_matches, finding, success_findings

LENGTHS = (20, 30)  # twice and three times the longest answer of the training
THRESHOLD = 0.2
LEVEL = 0.05
FEW, DRAWS = 16, 1000  # seeds per cell of a small study, and how many such studies are drawn
TESTED = 20  # of these studies, how many are tested as the large one is, at the longest length
FLAT = 1e-9  # a slope of equal shares, but for rounding

Floats = NDArray[np.float64]


def kept(results: pl.DataFrame) -> pl.DataFrame:
    """Exact matches at the end, those at `LENGTHS` at every evaluation, and the last training losses."""
    last = pl.col("step") == pl.col("step").max().over("cell")
    matches = (pl.col("metric") == "exact_match") & (last | pl.col("length").is_in(LENGTHS))
    return results.filter(matches | ((pl.col("metric") == "train_loss") & last))


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Everything that is said of one family, in the order of the module's first lines."""
    ends = final_matches(rows).filter(pl.col("length").is_in(LENGTHS))
    sides = _single_modes(final_scores(ends), ("test", "label"))
    fits = [success_fit(ends, threshold=THRESHOLD, length=length) for length in LENGTHS]
    steps = holm([fit.step.p_value for fit in fits])
    found = [*success_findings(ends, THRESHOLD), *_named(sides, "scores")]
    for length, fit, step in zip(LENGTHS, fits, steps, strict=True):
        cells = _cells(ends, length)
        of_length = [
            finding(f"{fit.column} at which half of the ceiling is reached", fit.curve.midpoint),
            Finding("P(success) changes at one step only", p_value=float(step)),
            *_lost(learning_curves(rows, length=length)),
            *_single_seeds(rank_curves(ends, length=length, top=ends.height)),
            *_small_studies(cells),
        ]
        if length == LENGTHS[-1]:
            two_sided = [sides.get((f"length {length}", label), 1.0) <= LEVEL for label in cells["label"]]
            of_length += _small_tests(cells, np.array(two_sided), float(step))
        found += [replace(each, name=f"length {length}, {each.name}") for each in of_length]
    losses = final(rows.filter(pl.col("metric") == "train_loss")).join(cell_labels(rows), on="cell")
    return [*found, *_named(_single_modes(losses, ("label",)), "training losses")]


def _single_modes(ends: pl.DataFrame, by: tuple[str, ...]) -> dict[tuple[str, ...], float]:
    """P-value of a single mode of every population whose seeds differ, by Holm for their number."""
    tests = {}
    for name, seeds in ends.sort("length", "scale").group_by(by, maintain_order=True):
        values, trials = seeds["value"].to_numpy(), seeds["trials"]
        if np.ptp(values) > 0:
            items = None if trials.null_count() else trials.to_numpy().astype(np.float64)
            tests[name] = unimodality_test(values, items).p_value
    return dict(zip(tests, holm(list(tests.values())).tolist(), strict=True))


def _named(tests: dict[tuple[str, ...], float], what: str) -> Iterator[Finding]:
    for where, p_value in tests.items():
        yield Finding(f"{', '.join(where)}, {what} have a single mode", p_value=p_value)


def _lost(curves: pl.DataFrame) -> Iterator[Finding]:
    """Share of seeds that reached the threshold at some evaluation and ended below it."""
    last = pl.col("value").sort_by("step").last()
    seeds = curves.group_by(MEMBER, maintain_order=True).agg(
        pl.col("label").first(), lost=(pl.col("value").max() >= THRESHOLD) & (last < THRESHOLD)
    )
    for (label,), cell in seeds.group_by("label", maintain_order=True):
        lost = int(cell["lost"].sum())
        ends = success_interval(lost, cell.height)
        name = f"{label}, share of seeds that had the ability and lost it"
        yield Finding(name, lost / cell.height, float(ends.low), float(ends.high))


def _single_seeds(curves: pl.DataFrame) -> Iterator[Finding]:
    """Medians over seeds of breakthroughness and linearity; flat curves, which have neither, left out."""
    seeds = curves.filter(pl.col("ranking") == "linearity").unique(MEMBER[1:], maintain_order=True)
    for name in ("breakthroughness", "linearity"):
        values = seeds[name].drop_nulls().drop_nans().to_numpy()
        yield finding(f"median {name} of single seeds", bootstrap(values, partial(np.median, axis=1)))


def _cells(ends: pl.DataFrame, length: int) -> pl.DataFrame:
    """label, scale, trials and value (a list over seeds) of every cell."""
    scores = final_scores(ends.filter(pl.col("length") == length)).sort("scale")
    return scores.group_by("label", "scale", maintain_order=True).agg("value", pl.col("trials").first())


def _small_studies(cells: pl.DataFrame) -> Iterator[Finding]:
    """How often P(success) of 16 seeds per cell, drawn from all seeds, says otherwise than that of all."""
    scale = cells["scale"].to_numpy()
    means = _shares(_values(cells))
    shares = np.stack([_shares(study) for study in _drawn(cells, DRAWS)])
    for what, said in (
        ("whose trend with scale turns around", partial(_trends, scale)),
        ("whose order of neighbouring cells is another", _ranks),
    ):
        whole = said(means)
        yield _share(what, np.any((said(shares) != whole) & (whole != 0), axis=-1))


def _small_tests(cells: pl.DataFrame, two_sided: NDArray[np.bool_], p_step: float) -> Iterator[Finding]:
    """How often tests of 16 seeds per cell decide otherwise than those of all seeds.

    Args:
        cells: [C] of one length.
        two_sided: [C] which are, by all seeds.
        p_step: of the test of a step, with all seeds.
    """
    scale, trials, studies = cells["scale"].to_numpy(), cells["trials"].to_numpy(), _drawn(cells, TESTED)
    sides = [not np.array_equal(_two_sided(study, trials), two_sided) for study in studies]
    other = (
        "that find other cells with two modes, or none"
        if two_sided.any()
        else "that find cells with two modes"
    )
    yield _share(other, sides)
    steps = [step_test(scale, _shares(study) * FEW, [FEW] * len(scale), resamples=19) for study in studies]
    decided = [(step.p_value <= LEVEL) != (p_step <= LEVEL) for step in steps]
    yield _share("that do not reject a step" if p_step <= LEVEL else "that reject a step", decided)


def _values(cells: pl.DataFrame) -> Floats:
    """[C, S] scores."""
    return np.stack([np.asarray(cell) for cell in cells["value"]])


def _drawn(cells: pl.DataFrame, studies: int) -> list[Floats]:
    """Scores [C, 16] of some seeds of every cell, for each study."""
    rng, values = generator(0), _values(cells)
    return [np.stack([rng.choice(cell, FEW, replace=False) for cell in values]) for _ in range(studies)]


def _shares(values: Floats) -> Floats:
    return np.mean(values >= THRESHOLD, axis=-1)


def _trends(scale: Floats, shares: Floats) -> Floats:
    """Sign of the slope of P(success) in ln(scale)."""
    slope = np.polyfit(np.log(scale), shares.T, 1)[0]
    return np.sign(np.where(np.abs(slope) < FLAT, 0, slope))[..., None]


def _ranks(shares: Floats) -> Floats:
    """Signs of the differences between neighbouring cells."""
    return np.sign(np.diff(shares, axis=-1))


def _two_sided(values: Floats, trials: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[C] whether a single mode is rejected in each cell, by Holm over the cells whose seeds differ."""
    p_values = [
        unimodality_test(v, n, resamples=199).p_value if np.ptp(v) > 0 else np.nan
        for v, n in zip(values, trials, strict=True)
    ]
    return holm(p_values) <= LEVEL


def _share(what: str, differ: Any) -> Finding:
    ends = success_interval(int(np.sum(differ)), len(differ))
    name = f"share of studies of {FEW} seeds {what}"
    return Finding(name, float(np.mean(differ)), float(ends.low), float(ends.high))


def figure(rows: pl.DataFrame) -> alt.ConcatChart:
    """The distribution over seeds of every cell at every length (figure 2 of the paper)."""
    return charts.violins(final_matches(rows))


def more_figures(rows: pl.DataFrame) -> dict[str, Any]:
    """Curves of single seeds (figure 1), success against scale (3) and histograms (4 to 6)."""
    ends = final_matches(rows)
    scale, table = scale_column(ends), summarise(ends, threshold=THRESHOLD)
    return {
        "seeds": charts.rank_curves(rank_curves(ends, length=LENGTHS[-1]), scale),
        "success": charts.success_against_scale(table, scale),
        "histograms": charts.histogram_grid(ends),
    }
