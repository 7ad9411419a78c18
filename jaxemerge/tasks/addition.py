"""Add two numbers, lowest digit first: with index hints, without, and with the carry written out.

References:
    Zhou, Alon, Chen, Wang, Agarwal, Zhou (2024), "Transformers can achieve length generalization but not
    robustly", arXiv 2402.09371 (reversed format, index hints).
    Nye et al. (2021), "Show your work: scratchpads for intermediate computation with language models", arXiv
    2112.00114 (carries written out).
    Zhao, Qin, Alvarez-Melis, Kakade, Saphra (2025), "Random scaling of emergent capabilities", arXiv
    2502.17356.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.tasks.packing import Piece, different, evaluation_sets, joined
from jaxemerge.tasks.task import EvaluationSet, Example, Task, check_distinct, check_whole
from jaxemerge.types import Array, Bool, Int, Key

HINTS = (*string.ascii_letters, *map(chr, range(0xC0, 0xC0 + 50)))  # the ordered set of 102 symbols
_PLUS, _EQUALS, _END, _NO_CARRY, _CARRY = range(10, 15)


@dataclass(frozen=True)
class Addition(Task):
    """Given two numbers of equally many digits, write their sum; all numbers lowest digit first.

    One token per digit, ``+``, ``=`` and ``.`` (end). With hints, each digit follows the symbol of its place;
    the symbols are a random consecutive slice of an ordered set of 102, drawn for every example. With
    carries, each digit of the sum is followed by what is carried from it: ``~`` nothing, ``^`` one. The
    answer and its end are learnt and scored, hints and carries too: an exact answer has them all. An
    answer that a model writes (``accepts``) may be wrong about carries as long as the sum is right.

    576 + 361 = 937 and 97 + 58 = 155 are

    ``Addition()``:

        a6b7c5+a1b6c3=a7b3c9.
        000000000000001111111

        x7y9+x8y5=x5y5z1.
        00000000001111111

    ``Addition(hints=False)``:

        675+163=739.
        000000001111

    ``Addition(hints=False, carries=True)``:

        675+163=7~3^9~.
        000000001111111

        79+85=5^5^1.
        000000111111

    Training: n ~ U{1..train_digits} digits; both numbers uniform among those of n digits (0 to 9 for n = 1).
    Evaluation: for each test length ``items`` different sums drawn from the same law (fewer where there are
    few); they are not held out, so short ones are seen in training. The best possible loss is 0: a prompt
    has one answer.

    Attributes:
        hints: whether every digit follows the symbol of its place.
        carries: whether carries are written out (a scratchpad).
        train_digits: longest numbers seen in training.
        test_digits: numbers of digits that are scored; those above ``train_digits`` ask for length
            generalisation.
        items: evaluation items per number of digits, at most.

    Raises:
        ValueError: a field is out of range.
    """

    hints: bool = True
    carries: bool = False
    train_digits: int = 10
    test_digits: tuple[int, ...] = (5, 10, 15, 20)
    items: int = 200

    def __post_init__(self) -> None:
        places = len(HINTS) - 1 if self.hints else None  # the sum may have one digit more
        check_whole(self, 1, "train_digits", "items")
        check_distinct(self, "test_digits", high=places)
        if places and self.train_digits > places:
            raise ValueError(f"train_digits={self.train_digits}: there are hints for at most {places}")

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The text of every token, in the order of their ids."""
        marks = ("~", "^") if self.carries else ()
        return (*string.digits, "+", "=", ".", *marks, *(HINTS if self.hints else ()))

    @property
    def vocabulary(self) -> int:
        return len(self.alphabet)

    @property
    def min_length(self) -> int:
        return self._size(1) - self._answer_width + self.carries  # a sum without a digit more

    @property
    def max_length(self) -> int:
        return self._size(self.train_digits)

    @property
    def end(self) -> int:
        return _END

    @property
    def chance(self) -> float:
        """Of the fewest test digits, digits drawn at random and all else known."""
        return 0.1 ** min(self.test_digits)

    @property
    def best_loss(self) -> float:
        return 0.0

    def sample(self, key: Key) -> Example:
        count_key, digits_key, hint_key = jax.random.split(key, 3)
        count = jax.random.randint(count_key, (), 1, self.train_digits + 1)
        place = jnp.arange(self.train_digits)
        lowest = (place == count - 1) & (count > 1)  # the highest digit is no 0, but of one-digit numbers
        numbers = jax.random.randint(digits_key, (2, len(place)), jnp.stack([lowest] * 2).astype(int), 10)
        first = jax.random.randint(hint_key, (), 0, len(HINTS) - count)
        return self._write(numbers, count, first)

    def accepts(
        self, text: Int[Array, " L"], reference: Int[Array, " L"], scored: Bool[Array, " L"]
    ) -> Bool[Array, ""]:
        """Texts with all digits and hints right; what is written of carries is the model's own affair."""
        marks = [(tokens == _NO_CARRY) | (tokens == _CARRY) for tokens in (text, reference)]
        own = marks[0] & marks[1] if self.carries else False
        return jnp.all((text == reference) | ~scored | own)

    def evaluation_sets(self) -> tuple[EvaluationSet, ...]:
        return evaluation_sets("test", self._write, {n: self._sums(n) for n in self.test_digits})

    def _sums(self, count: int) -> tuple[np.ndarray, ...]:
        """Different pairs of numbers of so many digits, padded to the most digits, with their first hints."""
        rng = np.random.default_rng(count)
        low = np.zeros(count, int)
        low[-1] = count > 1
        (numbers,) = different(lambda n: (rng.integers(low, 10, (n, 2, count)),), self.items)
        first = rng.integers(0, max(1, len(HINTS) - count), len(numbers))
        padded = np.pad(numbers, ((0, 0), (0, 0), (0, max(self.test_digits) - count)))
        return padded, np.full(len(numbers), count), first

    def _write(self, numbers: Int[Array, "2 P"], count: Int[Array, ""], first: Int[Array, ""]) -> Example:
        """The text of two numbers, of which the first ``count`` digits count."""
        place = jnp.arange(numbers.shape[1] + 1)
        digits = jnp.where(place < count, jnp.pad(numbers, ((0, 0), (0, 1))), 0)
        carried = carries(digits[0] + digits[1])
        into = jnp.concatenate([jnp.zeros(1, bool), carried[:-1]])
        total = (digits[0] + digits[1] + into) % 10
        more = into[count].astype(int)  # one digit more
        hint = [len(self.alphabet) - len(HINTS) + first + place] if self.hints else []
        mark = [jnp.where(carried, _CARRY, _NO_CARRY)] if self.carries else []
        columns = [*hint, total, *mark]
        answer = jnp.stack(columns, axis=1).ravel()
        written = (count + more) * len(columns) - more * self.carries
        left, right = (jnp.stack([*hint, number], axis=1).ravel() for number in digits)
        pieces = (
            Piece(left, count * (1 + self.hints)),
            Piece(_PLUS),
            Piece(right, count * (1 + self.hints)),
            Piece(_EQUALS),
            Piece(answer, written, learnt=True),
            Piece(_END, learnt=True),
        )
        return joined(pieces, self._size(numbers.shape[1]))

    @property
    def _answer_width(self) -> int:
        return 1 + self.hints + self.carries

    def _size(self, digits: int) -> int:
        """Tokens of an example whose sum has one digit more than its numbers."""
        operands = 2 * digits * (1 + self.hints)
        return operands + 3 + (digits + 1) * self._answer_width - self.carries


def carries(sums: Int[Array, " P"]) -> Bool[Array, " P"]:
    """Whether one is carried from each place, given the sums of its two digits without carries.

    A 9 passes on what comes into it; of any other sum it is known without looking to the right: the last
    place at or before this one that is no 9 decides. No loop over places is needed.
    """
    place = jnp.arange(len(sums))
    deciding = jax.lax.cummax(jnp.where(sums == 9, -1, place))
    return (deciding >= 0) & (sums[jnp.maximum(deciding, 0)] >= 10)
