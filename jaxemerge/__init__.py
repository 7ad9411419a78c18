"""Train hundreds of small transformers at once and study what they learn as a distribution over seeds.

    import jaxemerge as je

    experiment = je.Experiment(je.Count(40, 10, (10, 15)), je.neox(depth=2, width=64, heads=1),
                               steps=600, batch=16, context=64, seeds=je.paired(range(16)))
    results = je.train(experiment).frame()  # one row per seed, evaluation step, split and metric

What is trained, and training it:

    Experiment, train, Population    one model on one task from many seeds; what comes out
    sweep, run, Study                cells from lists of values; a study with its results folder and report
    paired, crossed                  seeds: one for weights and data, or every pair of two
    AdamW, Adam, SGD, Lion, Muon     optimizers with their learning-rate schedules
    Optax                            any optax optimizer: a function of the number of steps that returns it
    Above, Below, Patience           rules that stop single seeds (`Experiment(stop_when=...)`)
    PassUntil                        sampling at the end of training until answers pass
    use_host_cores, self_test        devices: cores of the host as such; can their numbers be trusted?

What is learnt, and what learns:

    Task, Example, EvaluationSet, check_task             a task of your own; does it keep the contract?
    Count, Addition, Modular, InContext, Rewrite         built-in tasks: `help(je.Count)` has worked examples
    Parity, SparseParity, Recall, Composition, Markov    more of them
    Corpus                                               text of your own files, in bytes or tokens
    TaskMixture                                          several tasks in one run
    Transformer, neox, llama, families                   built-in models; the papers' scale families
    Model, flax_model, check_model                       a model of your own; does it keep the contract?
    Objective, pair, check_objective                     what is no language model: weights, loss, scores

Keeping what was trained:

    export, load, Trained    members as files for others, and members read back from them
    load_series              members of a results folder at the steps whose weights were kept

Units are steps, tokens and nats; shapes of arrays use the letters of `jaxemerge.types` (S seeds, L
positions, ...). The packages below say in their own help what they answer: `stats` (arrays in, records
out), `tasks`, `models`, `training`, `evaluation`, `runner`, `exports`. `analysis`, `charts` and `report`
(frames in; frames, charts or a page out) need Polars and Altair and are imported by name; this package,
and training, need only JAX, Flax and Optax.
"""

from importlib import import_module as _import_module
from importlib.metadata import PackageNotFoundError as _PackageNotFoundError
from importlib.metadata import version as _version
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

if _TYPE_CHECKING:
    from .devices import self_test as self_test
    from .devices import use_host_cores as use_host_cores
    from .evaluation import PassUntil as PassUntil
    from .exports import Trained as Trained
    from .exports import export as export
    from .exports import load as load
    from .exports import load_series as load_series
    from .models import Model as Model
    from .models import Transformer as Transformer
    from .models import check_model as check_model
    from .models import families as families
    from .models import flax_model as flax_model
    from .models import llama as llama
    from .models import neox as neox
    from .runner.experiment import Experiment as Experiment
    from .runner.outcome import Population as Population
    from .runner.stopping import Above as Above
    from .runner.stopping import Below as Below
    from .runner.stopping import Patience as Patience
    from .runner.sweep import sweep as sweep
    from .runner.train import train as train
    from .study import Study as Study
    from .study import run as run
    from .tasks import Addition as Addition
    from .tasks import Composition as Composition
    from .tasks import Corpus as Corpus
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
    from .training import SGD as SGD
    from .training import Adam as Adam
    from .training import AdamW as AdamW
    from .training import Lion as Lion
    from .training import Muon as Muon
    from .training import Objective as Objective
    from .training import Optax as Optax
    from .training import check_objective as check_objective
    from .training import crossed as crossed
    from .training import pair as pair
    from .training import paired as paired

# Names are imported when they are first used, so that importing the package is quick.
_HOMES = {
    "devices": "self_test use_host_cores",
    "evaluation": "PassUntil",
    "exports": "Trained export load load_series",
    "models": "Model Transformer check_model families flax_model llama neox",
    "runner.experiment": "Experiment",
    "runner.outcome": "Population",
    "runner.stopping": "Above Below Patience",
    "runner.sweep": "sweep",
    "runner.train": "train",
    "study": "Study run",
    "tasks": (
        "Addition Composition Corpus Count EvaluationSet Example InContext Markov Modular "
        "Parity Recall Rewrite SparseParity Task TaskMixture check_task"
    ),
    "training": "SGD Adam AdamW Lion Muon Objective Optax check_objective crossed pair paired",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}
_PARTS = {"types", "stats", *(module.partition(".")[0] for module in _HOMES)}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> _Any:
    if name in _HOME:
        return getattr(_import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in _PARTS:
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*_HOME, *_PARTS, *globals()})


try:
    __version__ = _version("jaxemerge")
except _PackageNotFoundError:  # used from a source folder that was not installed
    __version__ = "0+unknown"
