"""Curves of F = ln(-ln P(pass)) against the logarithm of scale."""

from __future__ import annotations

import abc
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HIGHEST, LOWEST = 6.5, -35.0  # of F: P = exp(-e^6.5) is 1e-289, and 1 - P at e^-35 is rounding
STEEPEST = 10.0  # of F between two neighbouring scales: from here on a curve is a step


class Curve(abc.ABC):
    """F as a function of parameters theta [..., P] and of standardised log scales z [N]."""

    size: int

    @abc.abstractmethod
    def value(self, theta: Array, z: Array) -> Array:
        """F [..., N]."""

    @abc.abstractmethod
    def slopes(self, theta: Array, z: Array) -> Array:
        """Derivatives of F by theta [..., N, P]."""

    @abc.abstractmethod
    def box(self, steepest: float) -> tuple[Array, Array]:
        """Lower and upper bounds [P] of theta."""

    @abc.abstractmethod
    def starts(self, line: Array) -> Array:
        """Starts of the search [..., Q, P], given the best line [..., 2]."""


class Polynomial(Curve):
    """F = a - s z, the task scaling law of Hu et al. (2023), and with a third parameter + b z².

    With z from -1 to 1 the bend b is how far the middle lies below the chord through the two ends.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def _columns(self, z: Array) -> Array:
        return np.stack([np.ones_like(z), -z, z**2], axis=-1)[..., : self.size]

    def value(self, theta: Array, z: Array) -> Array:
        return np.einsum("...np,...p->...n", self._columns(z), theta)

    def slopes(self, theta: Array, z: Array) -> Array:
        return np.broadcast_to(self._columns(z), (*theta.shape[:-1], z.shape[-1], self.size))

    def box(self, steepest: float) -> tuple[Array, Array]:
        most = np.array([40.0 + steepest, steepest, 40.0 + steepest])[: self.size]
        return -most, most

    def starts(self, line: Array) -> Array:
        return np.concatenate([line, np.zeros((*line.shape[:-1], self.size - 2))], axis=-1)[..., None, :]


class _Pair(Curve):
    """Two lines a_i - s_i z with s_i >= 0, theta = (a_1, s_1, a_2, s_2)."""

    size = 4

    def _lines(self, theta: Array, z: Array) -> Array:
        """[..., N, 2]"""
        return theta[..., None, ::2] - theta[..., None, 1::2] * z[..., None]

    @abc.abstractmethod
    def _of_lines(self, lines: Array) -> tuple[Array, Array]:
        """F [..., N] and its derivatives by the two lines [..., N, 2]."""

    def value(self, theta: Array, z: Array) -> Array:
        return self._of_lines(self._lines(theta, z))[0]

    def slopes(self, theta: Array, z: Array) -> Array:
        by_line = self._of_lines(self._lines(theta, z))[1]
        return np.stack(
            [by_line[..., 0], -z * by_line[..., 0], by_line[..., 1], -z * by_line[..., 1]], axis=-1
        )

    def box(self, steepest: float) -> tuple[Array, Array]:
        most = np.array([40.0 + steepest, steepest] * 2)
        return most * [-1, 0, -1, 0], most

    def starts(self, line: Array) -> Array:
        """Pairs of lines, one flatter and one steeper than the best line, that cross it at several places."""
        a, s = line[..., 0], np.abs(line[..., 1]) + 0.1
        found = []
        for crossing in (-0.6, 0.0, 0.6):
            level = a - line[..., 1] * crossing
            for flat, steep in ((0.0, 1.3), (0.5, 2.0), (0.7, 5.0)):
                found.append(
                    np.stack(
                        [level + flat * s * crossing, flat * s, level + steep * s * crossing, steep * s],
                        axis=-1,
                    )
                )
        return np.stack(found, axis=-2)


class Chain(_Pair):
    """Two steps that must both succeed, each with its own law: F = ln(e^F1 + e^F2), which is convex."""

    def _of_lines(self, lines: Array) -> tuple[Array, Array]:
        total = np.logaddexp(lines[..., 0], lines[..., 1])
        return total, np.exp(lines - total[..., None])


class Circuits(_Pair):
    """The better of two circuits: F = w1 F1 + w2 F2 with w the softmax of -F.

    A smooth form of min(F1, F2), which is concave.
    """

    def _of_lines(self, lines: Array) -> tuple[Array, Array]:
        weights = np.exp(-(lines - lines.min(axis=-1, keepdims=True)))
        weights /= weights.sum(axis=-1, keepdims=True)
        value = (weights * lines).sum(axis=-1)
        return value, weights * (1 - lines + value[..., None])


LAW, BENT, CHAIN, CIRCUITS = Polynomial(2), Polynomial(3), Chain(), Circuits()


class Axis(NamedTuple):
    """The logarithms of N scales, brought to -1 ... 1.

    Attributes:
        z: [N].
        centre, unit: ln(scale) = centre + unit z.
    """

    z: Array
    centre: float
    unit: float

    def place(self, scale: Array) -> Array:
        """z of other scales."""
        return (np.log(scale) - self.centre) / self.unit

    @property
    def steepest(self) -> float:
        """The slope in z from which on a curve is a step."""
        return STEEPEST / float(np.diff(np.unique(self.z)).min())


def axis_of(parameters: Array) -> Axis:
    """The axis of scales [N].

    Raises:
        ValueError: if the scales are not positive numbers, two of them different.
    """
    good = parameters.ndim == 1 and np.all(np.isfinite(parameters) & (parameters > 0))
    if not good or np.ptp(parameters) == 0:
        raise ValueError(f"parameters={parameters.tolist()} must be positive numbers, two or more different")
    logs = np.log(parameters)
    centre, unit = (logs.max() + logs.min()) / 2, (logs.max() - logs.min()) / 2
    return Axis((logs - centre) / unit, float(centre), float(unit))
