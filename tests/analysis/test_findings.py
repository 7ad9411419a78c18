"""The report's sentences state the numbers that are in the frame."""

import polars as pl
import pytest

from jaxemerge.analysis import findings, learning_curves, summarise, two_sided
from synthetic import population_frame


def planted(scores, steps=(0, 7), metric="exact_match"):
    """Cells of depth 1, 2, ... whose seeds end with these scores, and start at 0 (or at a loss of 9)."""
    frame = population_frame(
        [(d + 1, 64) for d in range(len(scores))], len(scores[0]), (30,), steps, diverged=0
    )
    rows = frame.filter(pl.col("metric") == metric).sort("depth", "init_seed", "step", maintain_order=True)
    start = 0.0 if metric == "exact_match" else 9.0
    values = [v for cell in scores for last in cell for v in [start] * (len(steps) - 1) + [last]]
    return rows.with_columns(value=pl.Series(values, dtype=pl.Float64))


HALF = [0, 0, 0, 0, 0], [0, 0.05, 0.6, 0.7, 0.8], [0.9, 0.9, 1, 1, 1]


def test_population():
    frame = population_frame([(1, 64), (2, 64)], 3, (30,), (0, 1200), diverged=1)
    assert findings.population_sentences(frame) == [
        "3 seeds of each of 2 cells, depth 1 and depth 2, were trained for 1,200 steps.",
        "1 of 6 runs diverged. First seen: seed 2 of depth 2 at step 0.",
    ]
    uneven = frame.filter((pl.col("depth") == 1) | (pl.col("init_seed") < 2))
    assert findings.population_sentences(uneven)[0].startswith("2 to 3 seeds of each of 2 cells")
    one = population_frame([(2, 64)], 1, (30,), (0, 1), diverged=0)
    assert findings.population_sentences(one) == [
        "1 seed of depth 2, width 64 was trained for 1 step.",
        "No run diverged.",
    ]
    with pytest.raises(ValueError, match="the frame lacks columns diverged; it has study, cell"):
        findings.population_sentences(frame.drop("diverged"))


def test_focus_is_the_most_two_sided_population():
    found = findings.focus(planted(HALF))
    assert (found["label"], found["test"]) == ("depth 2", "length 30")
    assert findings.both_ends_sentence(found) == (
        "At length 30 seeds differ most in depth 2: of its 5 seeds, 2 score below 0.1 and 3 above 0.3."
    )


def test_focus_without_two_sides_is_where_scores_spread_most():
    found = findings.focus(planted(([0] * 3, [0.4, 0.6, 1], [0.9] * 3)))
    assert found["label"] == "depth 2"
    assert findings.both_ends_sentence(found).startswith("At length 30 there is no cell in which some seeds")


def test_what_success_means():
    assert findings.success_means("exact_match", 0.75) == "0.75 or more"
    assert findings.success_means("val_loss at most 3.28", 0.2) == "val loss at most 3.28"


def test_what_a_constant_answer_scores_is_named():
    frame = planted(HALF)
    cells = dict(zip([1, 2, 3], frame.sort("depth")["cell"].unique(maintain_order=True), strict=True))
    known = [(cells[2], "test", 30, 0.6), (cells[3], "test", 30, 0.9), (cells[3], "test", 30, 0.1)]
    assert findings.constant_sentences(frame, known) == [
        "At length 30, 1 of 5 seeds of depth 2 score what always giving the same answer scores, such as the "
        "majority class: 0.6.",
        "At length 30, 2 of 5 seeds of depth 3 score what always giving the same answer scores, such as the "
        "majority class: 0.9.",
    ]
    assert findings.constant_sentences(frame, []) == []
    assert findings.constant_sentences(frame, [(cells[1], "test", 31, 0.0)]) == []


def test_many_cells_are_told_by_the_ends_and_the_middle():
    table = summarise(planted([[0.1 * d] * 2 for d in range(7)]))
    sentence = findings.centre_sentence(table, "length 30")
    assert [f"depth {d}" in sentence for d in range(1, 8)] == [d in (1, 4, 7) for d in range(1, 8)]


def test_panels_and_modes():
    frame = planted(HALF)
    table = summarise(frame)
    assert findings.split_sentence(two_sided(frame)) == (
        "In 1 of 3 panels some seeds score below 0.1 while others score above 0.3. "
        "Of the 15 final scores, 6 (40%) are exactly 0."
    )
    assert findings.centre_sentence(table, "length 30") == (
        "At length 30 the most populated score (mode) and the mean are 0.00 and 0.00 for depth 1; "
        f"{table['mode'][1]:.2f} and 0.43 for depth 2; and 1.00 and 0.96 for depth 3."
    )


def test_arrivals():
    curves = learning_curves(planted(HALF, steps=(0, 7, 1100)))
    say = findings.arrival_sentence
    assert say(curves, "depth 1", 0.2) == "Of the 5 seeds of depth 1, none ever reaches 0.2."
    assert say(curves, "depth 2", 0.8) == (
        "Of the 5 seeds of depth 2, 1 reaches 0.8 at some evaluation, first at step 1,100; "
        "1 of them is there at the end."
    )
    assert "2 reach 0.65 at some evaluation, all first at step 1,100; 2 of them" in say(
        curves, "depth 2", 0.65
    )
    early = curves.with_columns(
        value=pl.when(pl.col("init_seed") == 4, pl.col("step") == 7).then(1).otherwise("value")
    )
    assert say(early, "depth 2", 0.65) == (
        "Of the 5 seeds of depth 2, 2 reach 0.65 at some evaluation, "
        "the first at step 7 and the last at step 1,100; 2 of them are there at the end."
    )


def test_losses():
    losses = [[2.0, 1.0, 0.5], [None, 0.03, 0.02]]
    assert findings.loss_sentence(learning_curves(planted(losses, metric="train_loss"), "train_loss")) == (
        "At the last step the median seed and the middle 80% of the seeds are at 1.00 [0.50, 2.00] "
        "for depth 1; and 0.0300 [0.0200, infinite] for depth 2."
    )


def test_what_a_shorter_training_would_have_shown():
    curves = pl.DataFrame(
        {
            "label": ["a"] * 4 + ["b"],
            "step": [0.0, 30.0, 60.0, 100.0, 0.0],
            "survival": [1.0, 0.9, 0.5, 0.25, 1.0],
            "low": [0.8, 0.7, 0.3, 0.1, 0.0],
            "high": [1.0, 1.0, 0.6, 0.4, 1.0],
        }
    )
    assert findings.length_sentence(curves, "a") == (
        "Of the seeds of a, 0% [0%, 20%] by a quarter, 10% [0%, 30%] by half and 75% [60%, 90%] by all "
        "of the training had broken through."
    )


def test_diverged_seeds_are_named_with_the_step_at_which_it_was_seen():
    frame = population_frame([(1, 64), (2, 64)], 9, (30,), (0, 7, 11), diverged=0)
    assert findings.divergences(frame) == ""
    lost = (pl.col("depth") == 2) & (pl.col("init_seed") >= 2)
    late = pl.when(pl.col("init_seed") == 2).then(11).otherwise(7)
    torn = frame.with_columns(diverged=lost & (pl.col("step") >= late))
    assert findings.divergences(torn) == (
        " First seen: seed 2 of depth 2 at step 11; seed 3 of depth 2 at step 7; "
        "seed 4 of depth 2 at step 7; seed 5 of depth 2 at step 7; seed 6 of depth 2 at step 7; and 2 more."
    )
    assert findings.population_sentences(torn)[1].startswith("7 of 18 runs diverged. First seen: seed 2")


def test_seeds_that_lose_the_ability_are_named():
    rows = [("a", 0, [0.0, 0.4, 0.1]), ("a", 1, [0.0, 0.3, 0.3]), ("b", 0, [0.0, 0.1, 0.1])]
    names = ("cell", "label", "init_seed", "data_seed", "step", "value")
    long = [(c, f"cell {c}", seed, seed, step, y) for c, seed, ys in rows for step, y in enumerate(ys)]
    curves = pl.DataFrame(long, schema=names, orient="row")
    said = "At length 30 some seeds reached 0.2 while training and ended below it: 1 of 2 seeds of cell a."
    assert findings.lost_sentence(curves, "length 30", 0.2) == said
    assert findings.lost_sentence(curves, "length 30", 0.5) == ""


def test_long_numbers_have_an_exponent():
    assert findings.supported(-1.234567e30, -1.25e30, -1.22e30) == ("-1.235e+30", "-1.25e+30", "-1.22e+30")
    assert findings.supported(2.5e7, 2.4e7, 2.6e7, sign="+") == ("+2.5e+07", "+2.4e+07", "+2.6e+07")
    assert findings.supported(3.2791, 3.278, 3.2802) == ("3.2791", "3.2780", "3.2802")


def test_no_panel_and_no_zero_are_words():
    sides = pl.DataFrame({"failed": [0, 3], "succeeded": [3, 0], "seeds": [3, 3], "zeros": [0, 0]})
    assert findings.split_sentence(sides) == (
        "In no panel do some seeds score below 0.1 while others score above 0.3. "
        "Of the 6 final scores, none is exactly 0."
    )
