"""What is to be run, running it, and keeping what came out.

    experiment = Experiment(task, model, steps=600, seeds=paired(range(16)))
    population = train(experiment)     # in memory; every seed is scored along the way
    population.frame()                 # needs Polars: one row per seed, step, split and metric

    Experiment               everything that decides a run's numbers; a *cell* when seeds are set aside
    train, Population        trains all its seeds on the local devices; their weights and scores
    Evaluation               all scores of S seeds at one step

The modules that need Polars are imported by name, so that training works where Polars is not installed:
``study`` runs many cells into a results folder and goes on after an interruption, ``store`` keeps and reads
it, ``table`` says what its rows are; ``sweep`` makes lists of cells.
"""

from .experiment import Experiment as Experiment
from .scores import Evaluation as Evaluation
from .train import Population as Population
from .train import train as train
