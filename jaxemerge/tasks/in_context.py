"""Find a rule from examples in the context: the four unnatural tasks, as characters.

References:
    Rong (2021), "Extrapolating to unnatural language processing with GPT-3's in-context learning" (dates).
    Hu et al. (2023), "Unlock predictable scaling from emergent abilities", arXiv 2310.03262 (all four, with
    4 shots).
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.tasks.packing import Piece, different, evaluation_sets, joined
from jaxemerge.tasks.task import EvaluationSet, Example, Task, check_distinct, check_one_of, check_whole
from jaxemerge.types import Array, Int, Key

RULES = ("dates", "dates_reversed", "identity", "reversal")
ALPHABET = (*string.digits, *string.ascii_lowercase, "-", "!", ",", ">", ";")
_LETTER, _DASH, _MARK, _COMMA, _ARROW, _END = 10, 36, 37, 38, 39, 40
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class InContext(Task):
    """Shots, each a question and its answer by one rule, then a question that is to be answered by that rule.

    One token per character; ``>`` stands between question and answer, ``;`` after each shot.

    ``InContext("dates", shots=1)``:

        2015-10-22>!10!22!2015!;1984-08-24>!08!24!1984!;
        000000000001111111111111000000000001111111111111

    ``InContext("dates_reversed", shots=1)``:

        !10!22!2015!>2015-10-22;!08!24!1984!>1984-08-24;
        000000000000011111111111000000000000011111111111

    ``InContext("identity", shots=1)``:

        a,b,c>a,b,c;d,e>d,e;
        00000011111100001111

    ``InContext("reversal", shots=1)``:

        r,o,o,m,s>s,m,o,o,r;a,b>b,a;
        0000000000111111111100001111

    In training the answers of all shots are learnt, each with its ``;``. In evaluation only the last answer
    is scored, after as many shots as each set says. Words have U{2..longest} letters, uniform and
    independent; dates are uniform over months of ``years`` and over the days of the month (28 in February).
    All shots are fresh draws, in training and in evaluation, so that no prompt is seen twice but by chance.

    A model that is trained on one rule knows it without shots. ``TaskMixture`` of several rules, unmarked,
    makes it a matter of the shots which rule is meant: ``identity`` or ``reversal``, for example. The
    best possible loss of one rule alone is 0: a question has one answer.

    Attributes:
        rule: ``dates``, ``dates_reversed``, ``identity`` or ``reversal``.
        shots: shots before the last question in training.
        test_shots: numbers of shots that are scored; those above ``shots`` ask for generalisation.
        longest: most letters in a word.
        years: first and last year of dates.
        items: evaluation items per number of shots, at most.

    Raises:
        ValueError: a field is out of range.
    """

    rule: Literal["dates", "dates_reversed", "identity", "reversal"] = "dates"
    shots: int = 4
    test_shots: tuple[int, ...] = (0, 1, 2, 4)
    longest: int = 6
    years: tuple[int, ...] = (1950, 2049)
    items: int = 200

    def __post_init__(self) -> None:
        check_one_of(self, "rule", RULES)
        check_whole(self, 0, "shots")
        check_distinct(self, "test_shots", low=0)
        check_whole(self, 2, "longest")
        check_whole(self, 1, "items")
        object.__setattr__(self, "years", tuple(self.years))
        if len(self.years) != 2 or not 1000 <= self.years[0] <= self.years[1] <= 9999:
            raise ValueError(f"years={self.years}: give the first and the last, of 1000 to 9999")

    @property
    def name(self) -> str:
        return f"in_context_{self.rule}"

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The text of every token, in the order of their ids."""
        return ALPHABET

    @property
    def vocabulary(self) -> int:
        return len(ALPHABET)

    @property
    def min_length(self) -> int:
        return (self.shots + 1) * (24 if self._dates else 4 * 2)

    @property
    def max_length(self) -> int:
        return self._size(self.shots)

    @property
    def end(self) -> int:
        return _END

    @property
    def chance(self) -> float:
        """Of any date; of as many letters as the question has, drawn at random."""
        if self._dates:
            return 1 / (sum(_DAYS) * (self.years[1] - self.years[0] + 1))
        counts = range(2, self.longest + 1)
        return sum(26.0**-count for count in counts) / len(counts)

    @property
    def best_loss(self) -> float:
        return 0.0

    def sample(self, key: Key) -> Example:
        count_key, draw_key, day_key = jax.random.split(key, 3)
        lines = self.shots + 1
        if not self._dates:
            counts = jax.random.randint(count_key, (lines,), 2, self.longest + 1)
            letters = jax.random.randint(draw_key, (lines, self.longest), 0, 26)
            return self._write(letters, counts, jnp.asarray(0), all_learnt=True)
        first, last = self.years
        months = jax.random.randint(draw_key, (lines,), 12 * first, 12 * (last + 1))
        days = jax.random.randint(day_key, (lines,), 1, jnp.asarray(_DAYS)[months % 12] + 1)
        dates = jnp.stack([months // 12, months % 12 + 1, days], axis=1)
        return self._write(dates, jnp.zeros(lines, int), jnp.asarray(0), all_learnt=True)

    def evaluation_sets(self) -> tuple[EvaluationSet, ...]:
        return evaluation_sets("test", self._write, {n: self._prompts(n) for n in self.test_shots})

    def _prompts(self, shots: int) -> tuple[np.ndarray, ...]:
        """Shots and question of different items, after as many unwritten lines as make their number equal."""
        rng = np.random.default_rng(shots)

        def words(n: int) -> tuple[np.ndarray, np.ndarray]:
            counts = rng.integers(2, self.longest + 1, (n, shots + 1))
            letters = rng.integers(0, 26, (n, shots + 1, self.longest))
            return np.where(np.arange(self.longest) < counts[:, :, None], letters, 0), counts

        def dates(n: int) -> tuple[np.ndarray, np.ndarray]:
            years = rng.integers(self.years[0], self.years[1] + 1, (n, shots + 1))
            months = rng.integers(0, 12, (n, shots + 1))
            days = rng.integers(1, np.array(_DAYS)[months] + 1)
            return np.stack([years, months + 1, days], axis=2), np.zeros_like(years)

        drawn, counts = different(dates if self._dates else words, self.items)
        missing = max(self.test_shots) - shots
        drawn = np.pad(drawn, ((0, 0), (missing, 0), (0, 0)))
        return drawn, np.pad(counts, ((0, 0), (missing, 0))), np.full(len(drawn), missing)

    def _write(
        self,
        drawn: Int[Array, "lines P"],
        counts: Int[Array, " lines"],
        missing: Int[Array, ""],
        all_learnt: bool = False,
    ) -> Example:
        """The text of all lines but the first ``missing``; the last answer is learnt, or all are."""
        pieces = []
        for i in range(len(drawn)):
            there = (i >= missing).astype(int)
            learnt = all_learnt or i == len(drawn) - 1
            question, answer = self._line(drawn[i], counts[i])
            listed = 2 * counts[i] - 1  # letters and the commas between them
            pieces += [
                Piece(question, there * (len(question) if self._dates else listed)),
                Piece(_ARROW, there),
                Piece(answer, there * (len(answer) if self._dates else listed), learnt),
                Piece(_END, there, learnt),
            ]
        return joined(pieces, self._size(len(drawn) - 1))

    def _line(self, drawn: Int[Array, " P"], count: Int[Array, ""]) -> tuple[Array, Array]:
        """Tokens of a question and its answer."""
        if self.rule == "dates":
            return _dashed(drawn), _marked(drawn)
        if self.rule == "dates_reversed":
            return _marked(drawn), _dashed(drawn)
        back = drawn[jnp.maximum(count - 1 - jnp.arange(len(drawn)), 0)]
        return _listed(drawn), _listed(drawn if self.rule == "identity" else back)

    @property
    def _dates(self) -> bool:
        return self.rule.startswith("dates")

    def _size(self, shots: int) -> int:
        return (shots + 1) * (24 if self._dates else 4 * self.longest)


def _dashed(date: Int[Array, " 3"]) -> Int[Array, " P"]:
    """``2015-10-22``"""
    return _row([*_digits(date[0], 4), _DASH, *_digits(date[1], 2), _DASH, *_digits(date[2], 2)])


def _marked(date: Int[Array, " 3"]) -> Int[Array, " P"]:
    """``!10!22!2015!``"""
    month, day, year = _digits(date[1], 2), _digits(date[2], 2), _digits(date[0], 4)
    return _row([_MARK, *month, _MARK, *day, _MARK, *year, _MARK])


def _listed(word: Int[Array, " P"]) -> Int[Array, " Q"]:
    """``a,b,c,``"""
    return jnp.stack([_LETTER + word, jnp.full(len(word), _COMMA)], axis=1).ravel()


def _digits(number: Int[Array, ""], places: int) -> list[Int[Array, ""]]:
    return [number // 10**place % 10 for place in reversed(range(places))]


def _row(tokens: list[Int[Array, ""] | int]) -> Int[Array, " P"]:
    return jnp.stack([jnp.asarray(token) for token in tokens])
