"""The command line: ``jaxemerge``, ``python -m jaxemerge``, and ``experiments/run.py`` with its studies.

    from jaxemerge import cli

    code = cli.main(["status", "results/count_quick"])    # prints, and returns the exit code

    main                            runs the command that some words mean
    StudyModules, studies_beside    studies by name, each imported when it is used

``options`` lists the commands: what each may be asked, and the function ``(options, front, console)`` that
runs it. ``program`` finds the command in the words, ``parser`` says how values are written. The commands are
in ``run``, ``plan``, ``status`` (and ``list``, ``verify``), ``report`` (and ``analyze``, ``export``) and
``design``, whose questions are in ``questions``.
"""

from .program import main as main
from .studies import StudyModules as StudyModules
from .studies import studies_beside as studies_beside
