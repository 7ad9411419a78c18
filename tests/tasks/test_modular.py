"""Is every entry of the table right, and is no held-out entry ever trained on?"""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest
from scipy import stats

from jaxemerge.tasks import Modular, check_task, modular
from spelling import check_evaluation, check_examples, documented

OPERATIONS = ("add", "subtract", "multiply", "divide", "quadratic")


def oracle(modulus: int, prompt: list[str]) -> tuple[list[str], list[int]]:
    a, sign, b, equals = prompt
    assert equals == "="
    x, y = int(a), int(b)
    if sign == "/":
        (result,) = [z for z in range(modulus) if z * y % modulus == x]
    else:
        result = {"+": x + y, "-": x - y, "*": x * y, "o": x**2 + x * y + y**2}[sign] % modulus
    return [*prompt, str(result)], [0, 0, 0, 0, 1]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_entry_is_right_and_in_one_part(operation: Any) -> None:
    task = Modular(13, operation, train_share=0.3)
    items = check_evaluation(task, lambda prompt: oracle(13, prompt))
    parts = {split: {tuple(w) for s, _, w in items if s == split} for split in ("train", "held_out")}
    assert not parts["train"] & parts["held_out"]
    entries = 13 * 12 if operation == "divide" else 13 * 13
    assert len(parts["train"] | parts["held_out"]) == len(items) == entries  # the whole table, once
    assert len(parts["train"]) == round(0.3 * entries)
    seen = collections.Counter(map(tuple, check_examples(task, lambda prompt: oracle(13, prompt))))
    assert set(seen) == parts["train"]  # every one, and no held-out one in 10,000 examples
    assert stats.chisquare(list(seen.values())).pvalue > 1e-3


def test_a_held_out_entry_in_training_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    train, held_out = modular.table(Modular(13, train_share=0.3))
    leaked = np.concatenate([train, held_out[:1]])
    monkeypatch.setattr(modular, "table", lambda task: (leaked, held_out))
    with pytest.raises(AssertionError):
        test_every_entry_is_right_and_in_one_part("add")


def test_parts_of_the_paper_are_disjoint_and_fixed() -> None:
    train, held_out = Modular().evaluation_sets()
    rows = {tuple(row) for row in train.tokens.tolist()}, {tuple(row) for row in held_out.tokens.tolist()}
    assert [len(part) for part in rows] == [4704, 4705]
    assert not rows[0] & rows[1]
    assert all(
        np.array_equal(a.tokens, b.tokens)
        for a, b in zip(Modular().evaluation_sets(), (train, held_out), strict=True)
    )
    other, _ = Modular(source=1).evaluation_sets()
    shared = len(rows[0] & {tuple(row) for row in other.tokens.tolist()})
    assert stats.hypergeom(9409, 4704, 4704).cdf(shared) == pytest.approx(
        0.5, abs=0.499
    )  # independent choices


def test_parts_look_alike() -> None:
    """The choice is at random: results and operands are as frequent among the held-out entries."""
    train, held_out = Modular().evaluation_sets()
    for column in (0, 2, 4):
        counts = [np.bincount(part.tokens[:, column], minlength=97) for part in (train, held_out)]
        assert stats.chi2_contingency(counts).pvalue > 1e-3


def test_worked_examples() -> None:
    examples = documented(Modular)
    assert {task.operation for task, _, _ in examples} == set(OPERATIONS)  # type: ignore[attr-defined]
    for task, words, learnt in examples:
        assert (words, learnt) == oracle(task.modulus, words[:4])  # type: ignore[attr-defined]


def test_keeps_the_contract() -> None:
    assert check_task(Modular(5, "divide")) == ()
    assert Modular(5).chance == 0.2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modulus": 1}, "modulus=1: must be a whole number of at least 2"),
        (
            {"operation": "power"},
            "operation='power': must be one of add, subtract, multiply, divide, quadratic",
        ),
        ({"modulus": 9, "operation": "divide"}, "modulus=9: must be prime for operation='divide'"),
        (
            {"train_share": 1.0},
            r"train_share=1\.0: must leave at least one of 9409 entries for training and one held out",
        ),
        (
            {"modulus": 3, "train_share": 0.01},
            r"train_share=0\.01: must leave at least one of 9 entries for .*",
        ),
        ({"source": -1}, "source=-1: must be a whole number of at least 0"),
    ],
)
def test_errors(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Modular(**values)
