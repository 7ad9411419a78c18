"""What is to be learnt, one example at a time."""

from .addition import Addition as Addition
from .base import EvaluationSet as EvaluationSet
from .base import Example as Example
from .base import Task as Task
from .check import check_task as check_task
from .composition import Composition as Composition
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

BUILT_IN: tuple[type[Task], ...] = (
    Addition,
    Composition,
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
