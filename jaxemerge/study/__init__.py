"""A study from Python: experiments trained into a folder that is resumed, reported and read.

    study = run(sweep(base, {"model.depth": [1, 2]}), out="results/depth")
    study.frame()                     # one row per seed, evaluation step, split and metric
    study.population("depth 2")       # trained weights of one cell

Finished seeds are not trained again.

    run          trains what is missing, and writes the report
    Study        the folder: frame, report, populations
    report_of    writes the report of any results folder
"""

from .folder import Study as Study
from .folder import report_of as report_of
from .running import run as run
