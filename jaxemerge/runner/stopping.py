"""When is a seed trained no further? Rules on its own scores, applied at every evaluation.

A plateau before a breakthrough looks like the end of learning: ``Patience`` hides late breakthroughs.
"""

from __future__ import annotations

import ast
import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from jaxemerge.types import Bool, Float


@dataclass(frozen=True)
class StopRule:
    """Stops seeds by one of their metrics; subclasses say when.

    Attributes:
        metric: of the results: ``exact_match``, ``answer_nll``, ``train_loss``, or one of your own.

    Raises:
        ValueError: a field is out of range.
    """

    metric: str

    def __new__(cls, metric: object = None, *_: Any, **__: Any) -> Self:
        """Checks the metric before Python counts the arguments, as those of ``Above(0.9)``."""
        if metric is not None and (not isinstance(metric, str) or not metric):
            raise ValueError(f"metric={metric!r}: must be the name of a metric")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name in ("in_a_row", "evaluations"):
            count = getattr(self, name, 1)
            if type(count) is not int or count < 1:
                raise ValueError(f"{name}={count!r}: must be a whole number of at least 1")
        for name in ("value", "min_delta"):
            number = getattr(self, name, 0.0)
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
                raise ValueError(f"{name}={number!r}: must be a finite number")
            if hasattr(self, name):
                object.__setattr__(self, name, float(number))  # 1 and 1.0 are one rule

    def __str__(self) -> str:
        """As the command line writes it, without fields that have their defaults."""
        given = [(each, getattr(self, each.name)) for each in dataclasses.fields(self)]
        parts = [
            repr(value) if each.default is dataclasses.MISSING else f"{each.name}={value!r}"
            for each, value in given
            if value != each.default
        ]
        return f"{type(self).__name__}({', '.join(parts)})"

    def stops(self, values: Float[np.ndarray, "E M S"]) -> Bool[np.ndarray, " S"]:
        """Which seeds stop at the last of E evaluations.

        Args:
            values: the metric on M tests at every evaluation so far.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Above(StopRule):
    """Stops a seed that scores ``value`` or more on all tests, several evaluations in a row.

    Attributes:
        metric: of the results.
        value: to reach.
        in_a_row: evaluations; not fewer than make a breakthrough in the analysis, which are 3 by default: a
            seed that is stopped earlier is never seen to break through.

    Raises:
        ValueError: a field is out of range.
    """

    value: float
    in_a_row: int = 3

    def stops(self, values: Float[np.ndarray, "E M S"]) -> Bool[np.ndarray, " S"]:
        """Seeds at or above the value."""
        return _lasting(values >= self.value, self.in_a_row)


@dataclass(frozen=True)
class Below(StopRule):
    """Stops a seed that scores ``value`` or less on all tests, several evaluations in a row.

    Attributes:
        metric: of the results.
        value: to reach, of a loss for example.
        in_a_row: evaluations.

    Raises:
        ValueError: a field is out of range.
    """

    value: float
    in_a_row: int = 3

    def stops(self, values: Float[np.ndarray, "E M S"]) -> Bool[np.ndarray, " S"]:
        """Seeds at or below the value."""
        return _lasting(values <= self.value, self.in_a_row)


@dataclass(frozen=True)
class Patience(StopRule):
    """Stops a seed whose last evaluations are no better than the best of those before.

    Attributes:
        metric: of the results.
        mode: whether the ``max`` or the ``min`` of the metric is best; it is averaged over all tests.
        evaluations: how many must bring no improvement.
        min_delta: improvement that counts must be larger than this; at least 0.

    Raises:
        ValueError: a field is out of range.
    """

    mode: Literal["min", "max"]
    evaluations: int = 5
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in ("min", "max"):
            raise ValueError(f"mode={self.mode!r}: must be min or max")
        if self.min_delta < 0:
            raise ValueError(f"min_delta={self.min_delta}: must be at least 0")

    def stops(self, values: Float[np.ndarray, "E M S"]) -> Bool[np.ndarray, " S"]:
        """Seeds without an improvement; NaN is none."""
        scores_ES = np.mean(values, axis=1) * (1 if self.mode == "max" else -1)
        if len(scores_ES) <= self.evaluations:
            return np.zeros(scores_ES.shape[1], bool)
        known_ES = np.where(np.isnan(scores_ES), -np.inf, scores_ES)
        before, recent = known_ES[: -self.evaluations], known_ES[-self.evaluations :]
        return np.asarray(recent.max(axis=0) <= before.max(axis=0) + self.min_delta)


def _lasting(met_EMS: Bool[np.ndarray, "E M S"], in_a_row: int) -> Bool[np.ndarray, " S"]:
    if len(met_EMS) < in_a_row:
        return np.zeros(met_EMS.shape[-1], bool)
    return np.asarray(met_EMS[-in_a_row:].all(axis=(0, 1)))


RULES: dict[str, type[StopRule]] = {kind.__name__: kind for kind in (Above, Below, Patience)}


def checked_rules(given: Any) -> tuple[StopRule, ...]:
    """One rule or several as a tuple.

    Raises:
        ValueError: something else is given.
    """
    rules = (given,) if isinstance(given, StopRule) or not isinstance(given, (tuple, list)) else tuple(given)
    for rule in rules:
        if type(rule) not in RULES.values():
            raise ValueError(f"stop_when={rule!r}: must be a rule, one of {', '.join(RULES)}")
    return rules


def read_rules(text: str) -> tuple[StopRule, ...]:
    """Rules as the command line writes them: ``Above(exact_match, 0.9), Patience(answer_nll, min)``.

    Raises:
        ValueError: the text is something else, or a field is out of range.
    """
    try:
        listed = ast.parse(f"[{text}]", mode="eval").body
        return tuple(_rule(call) for call in listed.elts)  # type: ignore[attr-defined]
    except (SyntaxError, TypeError, KeyError, AttributeError) as error:
        example = "Above(exact_match, 0.9), Below(answer_nll, 0.1) or Patience(answer_nll, min)"
        raise ValueError(f"stop_when={text}: write rules such as {example}") from error


def _rule(call: Any) -> StopRule:
    named = {each.arg: _argument(each.value) for each in call.keywords}
    return RULES[call.func.id](*map(_argument, call.args), **named)


def _argument(node: Any) -> Any:
    if isinstance(node, ast.Name):
        return node.id
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise TypeError(str(error)) from error
