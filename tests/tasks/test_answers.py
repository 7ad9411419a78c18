"""What does always giving one answer score?"""

import numpy as np

from jaxemerge import Count, EvaluationSet, Parity
from jaxemerge.tasks.answers import constant_scores


def test_the_classes_of_a_choice_are_counted():
    task = Parity(5, (4, 11), items=101)
    odd = task.evaluation_sets()[1].tokens[:, :11].sum(axis=1) % 2
    shares = sorted({int(odd.sum()) / 101, int((1 - odd).sum()) / 101}, reverse=True)
    found = constant_scores(task)
    assert [tuple(one) for one in found] == [("test", 4, 0.5), *(("test", 11, share) for share in shares)]


def test_rare_answers_are_no_strategy():
    assert constant_scores(Count(11, 3, (3, 5))) == ()

    class Some(Count):
        def evaluation_sets(self):
            tokens = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 2], [0, 1, 4]])
            return (EvaluationSet("test", None, tokens, np.tile([False, False, True], (4, 1))),)

    assert constant_scores(Some(11, 3, (3, 5))) == (("test", None, 0.5),)
