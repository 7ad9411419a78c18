"""How good are the same outputs under another metric? A value per item, and the properties of each metric.

A metric that asks for many things at once turns smooth progress into a jump: with per-token accuracy p, exact
match of L tokens is about p^L and token edit distance about L (1 - p).

References:
    Schaeffer, Miranda, Koyejo (2023), "Are Emergent Abilities of Large Language Models a Mirage?".
    Srivastava et al. (2022), "Beyond the Imitation Game", for multiple-choice grade and Brier score.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jaxemerge.brief import brief
from jaxemerge.types import Array, Bool, Float, Int

INFINITY = math.inf


@dataclass(frozen=True)
class Guess:
    """What determines the score of a guess on an item.

    Attributes:
        exact: probability of an exact answer, the task's ``chance``.
        vocabulary: number of token ids.
        choices: answers to choose from, the right one included; 0 without multiple choice.
    """

    exact: float
    vocabulary: int
    choices: int = 0


def success_threshold(chance: float = 0.0, given: float | None = None) -> float:
    """The score that counts as a success: by default a fifth of the way from chance to 1.

    Args:
        chance: what guessing scores, in [0, 1].
        given: the threshold that was asked for; None for the default, with three decimals.

    Raises:
        ValueError: the threshold is no more than chance: guessing would be a success.
    """
    if given is None:
        return round(chance + 0.2 * (1.0 - chance), 3)
    if chance and given <= chance:
        raise ValueError(f"threshold {given:g}: must be above {chance:.3g}, which guessing scores by chance")
    return given


@brief
@dataclass(frozen=True, eq=False)
class Items:
    """A population's answers, in enough detail to score them under any metric.

    Arrays may have any leading axes: seeds, or none where rows of a table are scored.

    Attributes:
        answers: scored tokens of each item.
        exact: whether all of them were predicted.
        right: how many were.
        nll: their negative log-likelihood, summed, in nats.
        brier: squared distance between the predicted distribution and the token, summed over scored tokens.
        edits: token edit distance between the answer that greedy decoding writes and the reference; None
            where nothing was written.
        choices: log-probability in nats of the right answer (first) and of each distractor, minus infinity
            beyond an item's last; None without multiple choice.
        log_probabilities: of each scored token in its order, in nats, NaN beyond the last; None unless
            they were asked for.
    """

    answers: Int[np.ndarray, "*S E"]
    exact: Bool[np.ndarray, "*S E"]
    right: Int[np.ndarray, "*S E"]
    nll: Float[np.ndarray, "*S E"]
    brier: Float[np.ndarray, "*S E"]
    edits: Int[np.ndarray, "*S E"] | None = None
    choices: Float[np.ndarray, "*S E C"] | None = None
    log_probabilities: Float[np.ndarray, "*S E A"] | None = None


@dataclass(frozen=True)
class Metric:
    """A way of scoring.

    Attributes:
        name: in the results schema.
        of: items -> a value for each.
        low, high: between which values lie.
        chance: what guessing gets on average; NaN where that is not known.
        linear: whether the expected value is linear in the probability of a right token, tokens being right
            independently of each other and with the same probability.
        better: whether more or less is better.
        proportion: whether values are 0 or 1, so that their mean is a proportion of items.
        group: how many different items must all be right; the mean is then that over all such groups.
    """

    name: str
    of: Callable[[Items], npt.NDArray[np.float64]]
    low: float
    high: float
    chance: Callable[[Guess], float]
    linear: bool
    better: Literal["more", "less"] = "more"
    proportion: bool = False
    group: int = 1

    def mean(self, values: Float[np.ndarray, "*S E"]) -> Float[np.ndarray, "*S"]:
        """Over the items; with ``group`` k the share of groups of k items whose values are all 1.

        All groups are counted, C(right, k) / C(n, k): an unbiased estimate of the probability of k right
        answers in a row.

        Raises:
            ValueError: there are fewer items than a group holds.
        """
        if self.group == 1:
            return np.mean(values, axis=-1)
        n = values.shape[-1]
        if n < self.group:
            raise ValueError(f"{self.name}: {n} items are fewer than the {self.group} of a group")
        right = np.sum(values, axis=-1)
        factors = [(right - i) / (n - i) for i in range(self.group)]
        return np.prod(np.clip(factors, 0.0, 1.0), axis=0)


def _unknown(guess: Guess) -> float:
    return math.nan


def _one_in_choices(guess: Guess) -> float:
    return 1 / guess.choices if guess.choices else math.nan


def token_accuracy(right: npt.ArrayLike, answers: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Share of scored tokens that were predicted; of one item, or of sums over a set."""
    return np.asarray(np.asarray(right) / np.asarray(answers))


def answer_nll(nll: npt.ArrayLike, answers: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Negative log-likelihood per scored token, in nats; of one item, or of sums over a set."""
    return np.asarray(nll, np.float64) / np.asarray(answers)


def bits_per_byte(nll: npt.ArrayLike, n_bytes: int) -> npt.NDArray[np.float64]:
    """Bits that encode a byte of text: ``nll`` nats of all its tokens, over ln 2 and over its bytes.

    References:
        Gao et al. (2020), "The Pile", arXiv 2101.00027, section 3.1.
    """
    return np.asarray(nll, np.float64) / (math.log(2) * n_bytes)


def _exact_match(items: Items) -> npt.NDArray[np.float64]:
    return items.exact.astype(np.float64)


def _token_accuracy(items: Items) -> npt.NDArray[np.float64]:
    return token_accuracy(items.right, items.answers)


def _edit_distance(items: Items) -> npt.NDArray[np.float64]:
    return _there(items.edits, "edits", "written answers").astype(np.float64)


def _answer_nll(items: Items) -> npt.NDArray[np.float64]:
    return answer_nll(items.nll, items.answers)


def _brier(items: Items) -> npt.NDArray[np.float64]:
    return items.brier.astype(np.float64) / items.answers


def _multiple_choice(items: Items) -> npt.NDArray[np.float64]:
    choices = _there(items.choices, "choices", "distractors")
    best = choices[..., 0] > choices[..., 1:].max(axis=-1)  # a tie is no choice, and neither is NaN
    return np.where(_no_choice(choices), math.nan, best)


def _normalised_log_probability(items: Items) -> npt.NDArray[np.float64]:
    choices = _there(items.choices, "choices", "distractors").astype(np.float64)
    shares = choices[..., 0] - np.logaddexp.reduce(choices, axis=-1)
    return np.where(_no_choice(choices), math.nan, shares)


def _no_choice(choices: Float[np.ndarray, "*S E C"]) -> Bool[np.ndarray, "*S E"]:
    return np.asarray(np.isneginf(choices[..., 1:]).all(axis=-1))


def _there(values: np.ndarray | None, field: str, what: str) -> np.ndarray:
    if values is None:
        raise ValueError(f"{field}: these items were saved without {what}")
    return values


EXACT_MATCH = Metric(
    "exact_match", _exact_match, 0, 1, lambda guess: guess.exact, linear=False, proportion=True
)
TOKEN_ACCURACY = Metric(
    "token_accuracy", _token_accuracy, 0, 1, lambda guess: 1 / guess.vocabulary, linear=True
)
EDIT_DISTANCE = Metric("edit_distance", _edit_distance, 0, INFINITY, _unknown, linear=True, better="less")
ANSWER_NLL = Metric(
    "answer_nll",
    _answer_nll,
    0,
    INFINITY,
    lambda guess: math.log(guess.vocabulary),
    linear=False,
    better="less",
)
BRIER = Metric("brier", _brier, 0, 2, lambda guess: 1 - 1 / guess.vocabulary, linear=False, better="less")
MULTIPLE_CHOICE = Metric(
    "multiple_choice_grade", _multiple_choice, 0, 1, _one_in_choices, linear=False, proportion=True
)
NORMALISED_LOG_PROBABILITY = Metric(
    "normalised_log_probability",
    _normalised_log_probability,
    -INFINITY,
    0,
    lambda guess: math.log(_one_in_choices(guess)),
    linear=False,
)

METRICS = (
    EXACT_MATCH,
    TOKEN_ACCURACY,
    EDIT_DISTANCE,
    ANSWER_NLL,
    BRIER,
    MULTIPLE_CHOICE,
    NORMALISED_LOG_PROBABILITY,
)


def thresholded(metric: Metric, threshold: float) -> Metric:
    """1 where an item's value is at least as good as the threshold, else 0: a jump made from any metric.

    Raises:
        ValueError: the threshold lies outside the metric's range, or the metric is one of groups.
    """
    if not metric.low <= threshold <= metric.high:
        raise ValueError(
            f"threshold={threshold:g}: {metric.name} lies between {metric.low:g} and {metric.high:g}"
        )
    if metric.group > 1:
        raise ValueError(
            f"{metric.name}: of items in groups there is no value to compare; take the groups last"
        )
    more = metric.better == "more"

    def of(items: Items) -> npt.NDArray[np.float64]:
        values = metric.of(items)
        return (values >= threshold if more else values <= threshold).astype(np.float64)

    name = f"{metric.name}_{'from' if more else 'to'}_{threshold:g}"
    return Metric(name, of, 0, 1, _unknown, linear=False, proportion=True)


def all_of(metric: Metric, k: int) -> Metric:
    """1 where all of k different items are right, else 0: ever harder as k grows.

    Raises:
        ValueError: k is below 1, or the metric's values are not 0 or 1.
    """
    if k < 1:
        raise ValueError(f"k={k}: must be at least 1")
    if not metric.proportion or metric.group > 1:
        raise ValueError(f"{metric.name}: only values that are 0 or 1 can all be 1; use thresholded first")
    return dataclasses.replace(
        metric,
        name=f"{metric.name}_all_of_{k}",
        chance=lambda guess: metric.chance(guess) ** k,
        linear=False,
        proportion=False,
        group=k,
    )


def edit_distance(
    left: Int[Array, " A"],
    right: Int[Array, " B"],
    left_length: Int[Array, ""] | int,
    right_length: Int[Array, ""] | int,
) -> Int[Array, ""]:
    """Edit distance of two padded sequences; traceable, to be mapped over pairs.

    Row i of the table is the distance of the first i tokens on the left to every beginning of the right.
    Insertions along a row are a running minimum, so a row is a few operations on whole vectors.

    Args:
        left, right: tokens; what stands beyond the lengths is ignored.
        left_length, right_length: tokens that count, from 0 to A and B.

    References:
        Levenshtein (1966); the table is that of Wagner and Fischer (1974).
    """
    column = jnp.arange(right.shape[0] + 1)

    def row(before: Array, token_and_place: tuple[Array, Array]) -> tuple[Array, None]:
        token, i = token_and_place
        replaced = before[:-1] + (right != token)
        reached = jnp.concatenate([i[None], jnp.minimum(before[1:] + 1, replaced)])
        inserted = jax.lax.cummin(reached - column) + column
        return jnp.where(i <= left_length, inserted, before), None

    places = jnp.arange(1, left.shape[0] + 1)
    last, _ = jax.lax.scan(row, column, (left, places))
    return last[right_length]
