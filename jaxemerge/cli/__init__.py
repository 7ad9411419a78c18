"""The command line: ``jaxemerge``, ``python -m jaxemerge``, and ``experiments/run.py`` with its studies.

    from jaxemerge import cli

    code = cli.main(["status", "results/count_quick"])    # prints, and returns the exit code

    main                            runs the command that some words mean
    StudyModules, studies_beside    studies by name, each imported when it is used

Each command is a module with ``run(options, front, console)``: ``list``, ``plan``, ``run``, ``status``,
``report``, ``verify``, ``export``, ``analyze``. ``reading`` finds the command and its options in the words,
``options`` says what each may be asked, ``parser`` how values are written.
"""

from .program import main as main
from .studies import StudyModules as StudyModules
from .studies import studies_beside as studies_beside
