"""What a person sees while a study runs."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from jaxemerge import Count, Modular, Parity, TaskMixture
from jaxemerge.evaluation import SetScores
from jaxemerge.runner.groups import grouped
from jaxemerge.runner.jobs import jobs
from jaxemerge.runner.progress import Display
from jaxemerge.runner.scores import Evaluation, Progress


def seen(step, exact=None, loss=(0.5, 0.7, np.nan)):
    loss = np.array(loss)
    if exact is None:
        return Progress(step, loss, None)
    exact = np.array(exact)
    scores = SetScores(exact, exact, exact.astype(float))
    return Progress(step, loss, Evaluation(step, scores, loss, loss, np.isnan(loss)))


def shown(tiny, terminal, width=130):
    """Output of a chunk of three seeds, one of them diverged; 9 items of length 3, 7 of length 5."""
    [group] = grouped(jobs([tiny.with_seeds(tiny.seeds[:3])], None))
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width)
    with Display(console, [group], threshold=0.2) as display:
        display.start_chunk(group, 0, "cell 1/1, depth 1, width 24")
        display.update(seen(0, [[0, 0], [0, 0], [0, 0]]))
        display.update(seen(3))
        display.update(seen(7, [[9, 0], [2, 7], [1, 1]]))
        display.finish_chunk()
    return console.file.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_names_cell_step_loss_successes_and_time_left(tiny, terminal):
    text = shown(tiny, terminal)
    assert "cell 1/1, depth 1, width 24" in text
    assert "exact match >= 0.2 at length 3/5: 2/1 of 3 seeds" in text
    assert "100" in text
    if not terminal:
        assert "\x1b" not in text
        assert "step 7/7" in text
        assert "tokens/s" in text
        assert "0 s left" in text


@pytest.mark.parametrize("width", [40, 60])
def test_narrow_windows_show_numbers_whole_and_no_bars(tiny, width):
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown(tiny, terminal=True, width=width))
    assert "\u2501" not in text  # of which bars are drawn
    assert "\u2026" not in text  # nothing is cut off
    assert re.search(r"study +100 % 0 s left", text)


def test_a_diverged_seed_counts_as_an_infinite_loss(tiny):
    assert "loss 0.700 [0.500, inf]" in shown(tiny, terminal=False)


@pytest.mark.parametrize(
    ("task", "counts"),
    [
        (
            TaskMixture((Count(11, 5, (3, 7)), Parity(train_length=5, test_lengths=(3,)))),
            "count/test at length 3/7: 2/1; parity/test at length 3: 0 of 3 seeds",
        ),
        (Modular(modulus=5), "train: 2; held_out: 1 of 3 seeds"),
    ],
)
def test_successes_name_the_tests_where_there_are_several(tiny, task, counts):
    experiment = replace(tiny, task=task, context=17, seeds=tiny.seeds[:3])
    [group] = grouped(jobs([experiment], None))
    items = [len(one.tokens) for one in task.evaluation_sets()]
    reached = [2, 1, 0][: len(items)]
    console = Console(file=io.StringIO(), force_terminal=False, width=130)
    with Display(console, [group], threshold=0.2) as display:
        display.start_chunk(group, 0, "cell")
        exact = [[n if seed < r else 0 for n, r in zip(items, reached, strict=True)] for seed in range(3)]
        display.update(seen(7, exact, loss=(0.5, 0.6, 0.7)))
    assert f"exact match >= 0.2 in {counts}" in console.file.getvalue()
