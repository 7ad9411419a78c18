"""All studies, by the names that the command line knows them by.

A study is a module whose header gives the command, the cost and what it finds, with a function
``cells(quick)`` that returns its experiments; where success is not an exact match of 0.2, THRESHOLD says
what it is. A *measured* study has three functions more, with which ``experiments/figures.py`` works:
``kept`` takes from the results of the quick run the rows that are kept in this repository, ``findings``
works out from those what the header says, and ``figure`` draws them. What ``kept`` takes from are rows of
results; where SAMPLES says so, counts of sampling.
"""

from types import ModuleType

import polars as pl

from studies import (
    addition_hints,
    compute_optimal,
    count_fixed_depth,
    count_fixed_parameters,
    count_fixed_width,
    count_quick,
    depth_or_width,
    grokking_time,
    in_context_growth,
    induced_emergence,
    init_or_data,
    parity_width,
    pass_until_scaling,
    technique_emergence,
)

DEFAULT = "count_quick"
STUDIES: dict[str, ModuleType] = {
    "count_quick": count_quick,
    "count_fixed_depth": count_fixed_depth,
    "count_fixed_width": count_fixed_width,
    "count_fixed_parameters": count_fixed_parameters,
    "depth_or_width": depth_or_width,
    "init_or_data": init_or_data,
    "grokking_time": grokking_time,
    "parity_width": parity_width,
    "technique_emergence": technique_emergence,
    "in_context_growth": in_context_growth,
    "addition_hints": addition_hints,
    "induced_emergence": induced_emergence,
    "compute_optimal": compute_optimal,
    "pass_until_scaling": pass_until_scaling,
}
MEASURED = {name: study for name, study in STUDIES.items() if hasattr(study, "findings")}


def kept(name: str, results: pl.DataFrame, passes: pl.DataFrame | None) -> pl.DataFrame:
    """The rows that a measured study's findings rest on, of its results or of its counts of sampling."""
    study = MEASURED[name]
    return study.kept(passes if getattr(study, "SAMPLES", False) else results)
