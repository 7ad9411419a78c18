"""What is to be learnt, one example at a time."""

from .base import EvaluationSet as EvaluationSet
from .base import Example as Example
from .base import Task as Task
from .check import check_task as check_task
from .count import Count as Count
from .markov import Markov as Markov
from .packing import Batch as Batch
from .packing import pack_batch as pack_batch
from .packing import pack_window as pack_window

BUILT_IN: tuple[type[Task], ...] = (Count, Markov)
