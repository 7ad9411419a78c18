"""What is a question that a study asks of its seeds?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Found = NDArray[np.bool_]


@dataclass(frozen=True)
class Question:
    """What a study asks of its seeds, and the effect that it hopes to see.

    A design has a size: the number of seeds in each cell, or of each of two crossed kinds of seeds.

    Attributes:
        asks: the question in words.
        answered: what counts as an answer in one study.
        least: smallest size that is tried.
        studies: studies to simulate around the answer, where the caller does not say.
    """

    asks: ClassVar[str] = ""
    answered: ClassVar[str] = ""
    least: ClassVar[int] = 4
    studies: ClassVar[int] = 8000

    @property
    def cells(self) -> int:
        """Number of cells that the question needs."""
        return 1

    def seeds(self, size: int) -> int:
        """Seeds per cell of a design of this size."""
        return size

    def crossed(self, size: int) -> tuple[int, int] | None:
        """Numbers of init seeds and data seeds, where the design crosses them."""
        return None

    def found(self, size: int, studies: int, confidence: float, rng: np.random.Generator) -> Found:
        """[R] whether each of `studies` simulated studies answers the question."""
        raise NotImplementedError


def check_inside(**given: float) -> None:
    """Raises ValueError for what is not in (0, 1)."""
    for name, value in given.items():
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name}={value} must lie in (0, 1)")


def check_share(**given: float) -> None:
    """Raises ValueError for what is not in (0, 1]."""
    for name, value in given.items():
        if not 0.0 < value <= 1.0:
            raise ValueError(f"{name}={value} must lie in (0, 1]")


def check_positive(**given: float) -> None:
    """Raises ValueError for what is not positive and finite."""
    for name, value in given.items():
        if not 0.0 < value < math.inf:
            raise ValueError(f"{name}={value} must be a positive number")


def check_shares(length: int, **given: tuple[float, ...]) -> None:
    """Raises ValueError for what is not so many numbers in [0, 1]."""
    for name, values in given.items():
        if len(values) != length or not all(0.0 <= value <= 1.0 for value in values):
            raise ValueError(f"{name}={values} must be {length} numbers in [0, 1]")
