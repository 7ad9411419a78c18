"""Running studies: what to run, running it, and keeping what came out.

The modules that need Polars (``table``, ``store``, ``study``) are imported by name, so that training
works where Polars is not installed.
"""

from .spec import Experiment as Experiment
from .train import Evaluation as Evaluation
from .train import Population as Population
from .train import train as train
