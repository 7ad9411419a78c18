"""What is trained, how it is trained, and where the results are stored.

    experiment = Experiment(task, model, steps=600, seeds=paired(range(16)))
    population = train(experiment)     # in memory; every seed is scored along the way
    population.frame()                 # needs Polars: one row per seed, step, split and metric

    Experiment               everything that decides a run's numbers; without its seeds, a *cell*
    train, Population        trains all seeds on the local devices; their weights and scores
    Evaluation               all scores of S seeds at one step

Modules that need Polars are imported by name, so that training works without Polars: ``sweep`` makes lists of
cells, ``jobs`` and ``study`` train them into a results folder and resume after an interruption, ``store``
reads and writes that folder, ``tables`` makes its rows.
"""

from .experiment import Experiment as Experiment
from .scores import Evaluation as Evaluation
from .train import Population as Population
from .train import train as train
