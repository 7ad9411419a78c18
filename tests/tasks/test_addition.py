"""Is every sum right, in all four spellings? Checked against Python's own whole numbers."""

from __future__ import annotations

import collections
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxemerge.tasks import Addition, addition, check_task
from jaxemerge.tasks.addition import HINTS, carries
from spelling import check_evaluation, check_examples, documented, evaluated

VARIANTS = [
    Addition(train_digits=7, test_digits=(1, 3, 9)),
    Addition(hints=False, train_digits=7, test_digits=(1, 3, 9)),
    Addition(hints=False, carries=True, train_digits=7, test_digits=(1, 3, 9)),
    Addition(carries=True, train_digits=7, test_digits=(1, 3, 9)),
]


def numbers(task: Addition, prompt: list[str]) -> tuple[str, str, int]:
    """Both numbers, lowest digit first, and where the slice of hints begins."""
    assert prompt[-1] == "="
    left, right = "".join(prompt[:-1]).split("+")
    if not task.hints:
        return left, right, 0
    assert left[::2] == right[::2]
    return left[1::2], right[1::2], HINTS.index(left[0])


def oracle(task: Addition, prompt: list[str]) -> tuple[list[str], list[int]]:
    left, right, first = numbers(task, prompt)
    total = str(int(left[::-1]) + int(right[::-1]))[::-1]
    hints = HINTS[first : first + len(total)]
    carried, answer = 0, ""
    for i, digit in enumerate(total):
        answer += (hints[i] if task.hints else "") + digit
        if task.carries and i < len(left):
            carried = int(left[i]) + int(right[i]) + carried >= 10
            answer += "^" if carried else "~"
    operands = [
        "".join(hint + digit for hint, digit in zip(hints if task.hints else [""] * 99, number, strict=False))
        for number in (left, right)
    ]
    whole = f"{operands[0]}+{operands[1]}=" + answer + "."
    return list(whole), [0] * len(prompt) + [1] * (len(answer) + 1)


@pytest.mark.parametrize("task", VARIANTS, ids=str)
def test_sums_are_right(task: Addition) -> None:
    examples = check_examples(task, lambda prompt: oracle(task, prompt))
    seen = collections.Counter(len(numbers(task, words[: words.index("=") + 1])[0]) for words in examples)
    assert stats.chisquare([seen[n] for n in range(1, 8)]).pvalue > 1e-3
    for words in examples:
        left, right, _ = numbers(task, words[: words.index("=") + 1])
        assert len(left) == len(right)
        assert len(left) == 1 or "0" not in (left[-1], right[-1])


@pytest.mark.parametrize("task", VARIANTS, ids=str)
def test_evaluation_sums_are_right_and_differ(task: Addition) -> None:
    items = check_evaluation(task, lambda prompt: oracle(task, prompt))
    sums = [(length, *numbers(task, words[: words.index("=") + 1])[:2]) for _, length, words in items]
    assert all(length == len(left) == len(right) for length, left, right in sums)
    assert len(set(sums)) == len(sums)
    counted = collections.Counter(length for length, *_ in sums)
    assert (counted[1], counted[3], counted[9]) == (100, 200, 200)  # there are 100 sums of one digit


def test_the_oracle_sees_a_forgotten_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        addition, "carries", lambda sums: sums >= 10
    )  # right but after a 9 that passes one on
    with pytest.raises(AssertionError):
        check_examples(VARIANTS[1], lambda prompt: oracle(VARIANTS[1], prompt))


def test_worked_examples() -> None:
    for task, words, learnt in documented(Addition):
        assert (words, learnt) == oracle(task, words[: words.index("=") + 1])


def test_the_slice_of_hints_is_uniform_and_reaches_both_ends() -> None:
    task = Addition(train_digits=1, test_digits=(1,))
    first = collections.Counter(
        words[0] for words in check_examples(task, lambda prompt: oracle(task, prompt))
    )
    assert set(first) == set(HINTS[:101])  # one is left for a second digit of the sum
    assert stats.chisquare([first[hint] for hint in HINTS[:101]]).pvalue > 1e-3
    assert len(set(HINTS)) == len(HINTS) == 102


def test_carries_run_through_nines() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        digits = np.where(rng.random((2, 12)) < 0.5, [[9], [0]], rng.integers(0, 10, (2, 12)))
        expected, carried = [], 0
        for total in digits.sum(axis=0):
            carried = int(total + carried >= 10)
            expected.append(bool(carried))
        assert carries(jnp.asarray(digits.sum(axis=0))).tolist() == expected


def test_wrong_carries_are_accepted_and_wrong_digits_are_not() -> None:
    task = Addition(hints=False, carries=True)
    _, reference, learnt = documented(Addition)[-1]
    assert "".join(reference) == "79+85=5^5^1."

    def accepted(text: str) -> bool:
        ids = [jnp.asarray([task.alphabet.index(c) for c in words]) for words in (text, reference)]
        return bool(task.accepts(*ids, jnp.asarray(learnt) > 0))

    assert accepted("79+85=5^5^1.")
    assert accepted("79+85=5~5^1.")
    for wrong in ("79+85=5^6^1.", "79+85=5^551.", "79+85=^^5^1.", "79+85=5^5^1~"):
        assert not accepted(wrong)
    assert not bool(Addition(hints=False).accepts(jnp.asarray([14]), jnp.asarray([13]), jnp.asarray([True])))


def test_chance_is_that_of_any_digits() -> None:
    """A guesser who knows hints, carries, and whether there is a digit more, which then is 1."""
    task = VARIANTS[2]
    rng = np.random.default_rng(0)
    right = trials = 0
    for _, length, words, _ in evaluated(task, "test"):
        if length == 1:
            digit = int(words[words.index("=") + 1])
            right += int((rng.integers(0, 10, 500) == digit).sum())
            trials += 500
    assert trials == 50_000
    assert stats.binomtest(right, trials, task.chance).pvalue > 1e-3
    assert Addition(test_digits=(4, 7)).chance == pytest.approx(1e-4)


@pytest.mark.parametrize("task", [VARIANTS[3], Addition()], ids=str)
def test_keeps_the_contract(task: Addition) -> None:
    assert check_task(task) == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train_digits": 0}, "train_digits=0: must be a whole number of at least 1"),
        ({"train_digits": 102}, "train_digits=102: there are hints for at most 101"),
        ({"items": 1.5}, r"items=1\.5: must be a whole number of at least 1"),
        ({"test_digits": (5, 102)}, "test_digits: 102 is not a whole number of 1 to 101"),
        ({"test_digits": (5, 5)}, r"test_digits=\(5, 5\): give one or more different numbers"),
        ({"hints": False, "test_digits": (0,)}, "test_digits: 0 is not a whole number of at least 1"),
    ],
)
def test_errors(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Addition(**values)
    assert Addition(hints=False, train_digits=102).max_length == 2 * 102 + 3 + 103
