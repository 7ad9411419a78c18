"""jaxemerge: train hundreds of small transformers at once and study what they learn as a distribution.

The parts that need Polars or Altair (``jaxemerge.analysis``, ``jaxemerge.charts``,
``jaxemerge.report``, ``jaxemerge.runner.store``) are imported by name; importing this package, and
training, need only JAX, Flax and Optax.
"""

from importlib.metadata import PackageNotFoundError as _PackageNotFoundError
from importlib.metadata import version as _version

from .devices import self_test as self_test
from .devices import use_host_cores as use_host_cores
from .evaluation import PassUntil as PassUntil
from .exports import Trained as Trained
from .exports import export as export
from .exports import load as load
from .models import Model as Model
from .models import Transformer as Transformer
from .models import check_model as check_model
from .models import families as families
from .models import flax_model as flax_model
from .models import llama as llama
from .models import neox as neox
from .runner.spec import Experiment as Experiment
from .runner.train import Population as Population
from .runner.train import train as train
from .tasks import Addition as Addition
from .tasks import Composition as Composition
from .tasks import Count as Count
from .tasks import EvaluationSet as EvaluationSet
from .tasks import Example as Example
from .tasks import InContext as InContext
from .tasks import Markov as Markov
from .tasks import Modular as Modular
from .tasks import Parity as Parity
from .tasks import Recall as Recall
from .tasks import Rewrite as Rewrite
from .tasks import SparseParity as SparseParity
from .tasks import Task as Task
from .tasks import TaskMixture as TaskMixture
from .tasks import check_task as check_task
from .training import AdamW as AdamW
from .training import Objective as Objective
from .training import check_objective as check_objective
from .training import crossed as crossed
from .training import pair as pair
from .training import paired as paired

try:
    __version__ = _version("jaxemerge")
except _PackageNotFoundError:  # used from a source folder that was not installed
    __version__ = "0+unknown"
