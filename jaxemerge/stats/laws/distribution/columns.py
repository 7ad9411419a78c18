"""Which columns does a scale give to each part of the law?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .likelihood import Design
from .population import Populations

Floats = NDArray[np.float64]


class Columns(NamedTuple):
    """Standardised logarithms of scale and of length, and what the weights are a function of.

    Attributes:
        centre: [K] mean ln scale of the cells.
        unit: [K] standard deviation of ln scale over the cells.
        length_centre: mean ln length.
        length_unit: standard deviation of ln length.
        interaction: whether the product of the first two coordinates also moves the weights.
        step: a coordinate and its value from which on the weights are others, in place of its slope; None
            for a law that is smooth.
    """

    centre: Floats
    unit: Floats
    length_centre: float
    length_unit: float
    interaction: bool = False
    step: tuple[int, float] | None = None

    def of(self, scale: Floats, lengths: Floats) -> Design:
        """The columns of scales [G, K] and lengths [L]."""
        z_GK = (np.log(scale) - self.centre) / self.unit
        weights = z_GK.copy()
        if self.step is not None:
            place, cut = self.step
            weights[:, place] = np.where(scale[:, place] >= cut * (1 - 1e-9), 1.0, -1.0)
        if self.interaction:
            weights = np.column_stack([weights, weights[:, 0] * weights[:, 1]])
        length = (np.log(lengths) - self.length_centre) / self.length_unit
        return Design(weights, z_GK, z_GK, z_GK, length)


def columns(seen: Populations, interaction: bool = False) -> Columns:
    """The columns for the cells of a study.

    Raises:
        ValueError: if a coordinate is the same in all cells, or an interaction is asked of one coordinate.
    """
    logs, lengths = np.log(seen.scale), np.log(seen.lengths)
    constant = np.flatnonzero(np.ptp(logs, axis=0) == 0)
    if len(constant):
        place = constant[0]
        raise ValueError(
            f"column {place} of design is {seen.scale[0, place]:g} in every cell: leave it out of the law"
        )
    if interaction and logs.shape[1] < 2:
        raise ValueError("interaction=True needs two columns of design")
    unit = lengths.std() if len(lengths) > 1 else 1.0
    return Columns(logs.mean(axis=0), logs.std(axis=0), float(lengths.mean()), float(unit), interaction)
