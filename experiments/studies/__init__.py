"""All studies, by the names that the command line knows them by; each is imported when it is used.

A study is a module whose header gives the command, the cost and what it finds, with a function
``cells(quick)`` that returns its experiments; where success is not an exact match of 0.2, THRESHOLD says
what it is. A *measured* study has three functions more, with which ``experiments/figures.py`` works:
``kept`` takes from the results of the quick run the rows that are kept in this repository, ``findings``
works out from those what the header says, and ``figure`` draws them; ``more_figures``, where there is one,
returns further charts by name. What ``kept`` takes from are rows of results; where SAMPLES says so, counts of
sampling; where WHOLE says so, those of the full run. A *combined* study has SOURCES, measured studies, and
``findings_and_figure`` of their kept rows.
"""

from jaxemerge.cli import StudyModules

STUDIES = StudyModules(
    __name__,
    (
        "count_quick",
        "count_fixed_depth",
        "count_fixed_width",
        "count_fixed_parameters",
        "count_depth",
        "count_width",
        "depth_or_width",
        "init_or_data",
        "precision",
        "positions",
        "grokking_time",
        "parity_width",
        "technique_emergence",
        "in_context_growth",
        "addition_hints",
        "induced_emergence",
        "compute_optimal",
        "text_loss",
        "pass_until_scaling",
    ),
)

COMBINED = StudyModules(__name__, ("distribution_law", "count_families", "count_law"))
