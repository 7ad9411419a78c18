"""Is every shot an instance of the rule, spelt as strings, dates checked by the calendar?"""

from __future__ import annotations

import collections
import datetime
import re
from typing import Any

import numpy as np
import pytest
from scipy import stats

from jaxemerge.tasks import InContext, check_task
from spelling import documented, drawn, evaluated

RULES: tuple[Any, ...] = ("dates", "dates_reversed", "identity", "reversal")


def answered(rule: str, question: str) -> str:
    """The answer to a question, by the rule."""
    if rule == "dates":
        return datetime.date.fromisoformat(question).strftime("!%m!%d!%Y!")
    if rule == "dates_reversed":
        return datetime.datetime.strptime(question, "!%m!%d!%Y!").date().isoformat()
    assert re.fullmatch("[a-z](,[a-z])*", question)
    letters = question.split(",")
    return ",".join(letters if rule == "identity" else reversed(letters))


def oracle(rule: str, words: list[str], *, all_learnt: bool) -> tuple[list[str], list[int], list[str]]:
    """The text with every answer replaced by the right one, what is learnt, and the questions."""
    questions = [line.partition(">")[0] for line in "".join(words).split(";")[:-1]]
    text, learnt = "", ""
    for i, question in enumerate(questions):
        answer = answered(rule, question) + ";"
        text += f"{question}>{answer}"
        learnt += "0" * (len(question) + 1) + str(int(all_learnt or i == len(questions) - 1)) * len(answer)
    return list(text), list(map(int, learnt)), questions


@pytest.mark.parametrize("rule", RULES)
def test_training_examples_follow_the_rule(rule: Any) -> None:
    task = InContext(rule, shots=2, test_shots=(0,), longest=4, years=(1999, 2001))
    asked = []
    for words, weights in drawn(task):
        text, learnt, questions = oracle(rule, words, all_learnt=True)
        assert (words, weights) == (text, learnt)
        assert len(questions) == 3
        asked += questions
    if rule.startswith("dates"):
        assert len(set(asked)) == 3 * 365  # every day of three years, none else
        months = collections.Counter(answered(rule, q) if rule == "dates_reversed" else q for q in asked)
        by_month = collections.Counter(day[:7] for day in months.elements())
        assert stats.chisquare(list(by_month.values())).pvalue > 1e-3
    else:
        lengths = collections.Counter(len(question.split(",")) for question in asked)
        assert set(lengths) == {2, 3, 4}
        assert stats.chisquare(list(lengths.values())).pvalue > 1e-3


@pytest.mark.parametrize("rule", RULES)
def test_evaluation_has_the_shots_that_it_says(rule: Any) -> None:
    task = InContext(rule, test_shots=(5, 0, 2), items=100)
    seen = set()
    for split, length, words, scored in evaluated(task):
        text, learnt, questions = oracle(rule, words, all_learnt=False)
        assert (words, scored) == (text, learnt)
        assert (split, len(questions)) == ("test", length + 1)  # type: ignore[operator]
        seen.add(tuple(questions))
    assert len(seen) == 300


def test_worked_examples() -> None:
    examples = documented(InContext)
    assert tuple(task.rule for task, _, _ in examples) == RULES  # type: ignore[attr-defined]
    for task, words, learnt in examples:
        assert (words, learnt) == oracle(task.rule, words, all_learnt=True)[:2]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "task",
    [
        InContext("dates", test_shots=(0,), years=(2001, 2001)),
        InContext("identity", test_shots=(0,), longest=3),
    ],
    ids=str,
)
def test_chance_is_that_of_a_guesser_who_knows_all_but_the_answer(task: InContext) -> None:
    """Who draws a date of these years, or letters for those of the question."""
    rng = np.random.default_rng(0)
    right, guesses = 0, 20_000
    for _, _, words, scored in evaluated(task):
        answer = "".join(word for word, s in zip(words, scored, strict=True) if s)[:-1]
        if task.rule == "dates":
            days = np.datetime64("2001-01-01") + rng.integers(0, 365, guesses)
            right += int(
                (days == np.datetime64(datetime.datetime.strptime(answer, "!%m!%d!%Y!").date())).sum()
            )
        else:
            letters = np.array([ord(letter) - ord("a") for letter in answer.split(",")])
            right += int((rng.integers(0, 26, (guesses, len(letters))) == letters).all(axis=1).sum())
    expected = 200 * guesses * task.chance
    assert abs(right - expected) < 4 * (200 * guesses) ** 0.5 * task.chance**0.5 + 0.1 * expected
    assert right > 1_000


@pytest.mark.parametrize("rule", ["dates", "reversal"])
def test_names_and_contract(rule: Any) -> None:
    task = InContext(rule, shots=1, test_shots=(0, 1))
    assert task.name == f"in_context_{rule}"
    assert check_task(task) == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rule": "plurals"}, "rule='plurals': must be one of dates, dates_reversed, identity, reversal"),
        ({"shots": -1}, "shots=-1: must be a whole number of at least 0"),
        ({"test_shots": (-1,)}, "test_shots: -1 is not a whole number of at least 0"),
        ({"longest": 1}, "longest=1: must be a whole number of at least 2"),
        ({"years": (2000,)}, r"years=\(2000,\): give the first and the last, of 1000 to 9999"),
        ({"years": (2001, 2000)}, r"years=\(2001, 2000\): give the first and the last, of 1000 to 9999"),
    ],
)
def test_errors(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        InContext(**values)
