"""Could chance alone have done it? What all permutation tests have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .interval import Number

# Statistics this close, relative to their size, are ties: sums in another order differ by rounding alone.
TIE = 1e-9


@dataclass(frozen=True)
class PermutationTest:
    """A statistic and how often chance alone makes it as large.

    Attributes:
        statistic: the statistic of the data; NaN where it is undefined.
        p_value: in [1/(permutations + 1), 1]; NaN where the statistic is.
        permutations: number of random permutations, the data's own order not counted.
    """

    statistic: Number
    p_value: Number
    permutations: int


def permutation_p_value(observed: ArrayLike, permuted: ArrayLike) -> NDArray[np.float64]:
    """(1 + number of permuted statistics at least as large as the observed one) / (1 + permutations).

    The data's own order is one of the permutations: without the two ones, p would be too small, or even 0.

    Args:
        observed: [...] statistic, large values speak against chance; NaN where undefined.
        permuted: [R, ...] its value on R random permutations; an undefined one counts as no smaller.

    Returns:
        [...] p-values; NaN where `observed` is.

    References:
        Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, article 39.
    """
    seen, chance = np.asarray(observed, np.float64), np.asarray(permuted, np.float64)
    smaller = chance < seen - TIE * np.abs(seen)
    p_value = (1 + np.sum(~smaller, axis=0)) / (1 + len(chance))
    return np.where(np.isnan(seen), np.nan, p_value)
