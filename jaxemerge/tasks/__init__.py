"""What is learnt? A task draws one example at a time; the library packs them and makes batches.

    task = Count(numbers=40, train_length=10, test_lengths=(10, 15))
    example = task.sample(jax.random.key(0))  # token ids, a loss weight per token, the length
    check_task(task)                          # () where it fulfils the contract, else what to fix

Tokens are int32 ids in [0, task.vocabulary), loss weights float32; ``chance`` is a probability, ``best_loss``
is in nats per weighted token. Evaluation sets are NumPy arrays that never depend on a seed.

The contract:

    Task, Example, EvaluationSet    what your own task subclasses, draws, and is scored on
    check_task                      every breach of it, with the fix

The tasks (each one's help has worked examples):

    Count                   count from one number to another; tested on longer answers
    Addition                add, lowest digit first, with or without index hints and written carries
    Modular                 arithmetic modulo a prime, a part of the table held out
    InContext               follow the rule of k shots
    Rewrite                 copy, reverse or sort a word
    Parity, SparseParity    is the number of ones odd, among all bits or a few secret ones?
    Recall                  look up the values of keys given before
    Composition             apply a chain of fixed functions, with or without the results between
    Markov                  predict a random source whose entropy is known
    Corpus                  predict text of one's own files, in bytes or in the tokens of a tokenizer
    TaskMixture             several tasks at once
    BUILT_IN                all of these classes, which the command line knows by name

What the same answer to all items scores, such as the majority class:

    constant_scores, ConstantScore    of every evaluation set

From examples to context windows:

    pack_window, pack_batch, Batch    examples end to end, [L] or [B, L], with no padding
"""

from .addition import Addition as Addition
from .answers import ConstantScore as ConstantScore
from .answers import constant_scores as constant_scores
from .composition import Composition as Composition
from .corpus import Corpus as Corpus
from .count import Count as Count
from .in_context import InContext as InContext
from .markov import Markov as Markov
from .mixture import TaskMixture as TaskMixture
from .modular import Modular as Modular
from .packing import Batch as Batch
from .packing import pack_batch as pack_batch
from .packing import pack_window as pack_window
from .parity import Parity as Parity
from .parity import SparseParity as SparseParity
from .recall import Recall as Recall
from .rewrite import Rewrite as Rewrite
from .task import EvaluationSet as EvaluationSet
from .task import Example as Example
from .task import Task as Task
from .task_contract import check_task as check_task

BUILT_IN: tuple[type[Task], ...] = (
    Addition,
    Composition,
    Corpus,
    Count,
    InContext,
    Markov,
    Modular,
    Parity,
    Recall,
    Rewrite,
    SparseParity,
    TaskMixture,
)
