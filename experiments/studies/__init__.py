"""All studies, by the names that the command line knows them by.

A study is a module whose header gives the command, the cost and what it finds, with a function
``cells(quick)`` that returns its experiments.
"""

from types import ModuleType

from studies import compute_optimal, count_fixed_depth, count_fixed_parameters, count_fixed_width, count_quick

DEFAULT = "count_quick"
STUDIES: dict[str, ModuleType] = {
    "count_quick": count_quick,
    "count_fixed_depth": count_fixed_depth,
    "count_fixed_width": count_fixed_width,
    "count_fixed_parameters": count_fixed_parameters,
    "compute_optimal": compute_optimal,
}
