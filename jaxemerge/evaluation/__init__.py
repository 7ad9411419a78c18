"""How well does a population know its task? Scores of its answers, what it writes, how often it must try.

    kept = evaluate(task, model, population.params)          # every seed on every item
    for metric in METRICS:
        metric.mean(metric.of(kept.items))                   # [S]
    items = prompts(task.evaluation_sets())
    generate(task, model, population.params, seeds, items)   # greedy texts; sampling=Sampling(...) draws

Arrays are [S seeds, E items, ...]; negative log-likelihoods (`nll`) are sums in nats; proportions lie in
[0, 1].

Scores of given texts, by one forward pass:

    evaluate, Evaluated, Items               all items, kept so that any metric can be worked out later
    METRICS, Metric, Guess                   exact match, edit distance, ... and what guessing gets
    all_of, thresholded                      sharper metrics made from others
    edit_distance                            of two sequences of tokens
    sheet, Sheet, scores, SetScores          the sums of whole evaluation sets, as training looks at them
    item_scores, ItemScores                  of single items, from logits

What is written:

    prompts, Prompts                         the beginnings of items, to be answered
    generate, Written                        answers of all seeds in one program, with a cache
    Sampling, GREEDY                         how tokens are drawn

What stands inside:

    hidden                                   residual stream and attention weights of all seeds

How often they must try:

    estimate, PassCounts                     samples until r pass; for `jaxemerge.stats.pass_rate`
    PassUntil, sampled, Passed               the same as a part of an experiment, and what came of it
"""

from .decoding import GREEDY as GREEDY
from .decoding import Sampling as Sampling
from .generate import Prompts as Prompts
from .generate import Written as Written
from .generate import generate as generate
from .generate import prompts as prompts
from .hidden import hidden as hidden
from .metrics import METRICS as METRICS
from .metrics import Guess as Guess
from .metrics import Items as Items
from .metrics import Metric as Metric
from .metrics import all_of as all_of
from .metrics import edit_distance as edit_distance
from .metrics import thresholded as thresholded
from .pass_until import PassCounts as PassCounts
from .pass_until import Passed as Passed
from .pass_until import PassUntil as PassUntil
from .pass_until import estimate as estimate
from .pass_until import sampled as sampled
from .score import Evaluated as Evaluated
from .score import ItemScores as ItemScores
from .score import SetScores as SetScores
from .score import Sheet as Sheet
from .score import evaluate as evaluate
from .score import item_scores as item_scores
from .score import scores as scores
from .score import sheet as sheet
