"""Exports members of a population as files with configuration and model card, and loads them.

    export(train(experiment), "members")     # safetensors, config.json, and a model card
    trained = load("members")                # or one of its files
    trained.generate(), trained.evaluate()   # the same bits as before the export

Every file is checked against its digest, and reading one runs no code.

    export           writes the members of a population, their configuration, and a card with their scores
    load, Trained    reads them back; classes of your own are given: ``tasks=[...]``, ``models=[...]``
    load_series      members of a results folder at the steps whose weights were kept
    write_members    writes weights that are already arrays by name, such as those of a results folder
"""

from .members import Trained as Trained
from .members import export as export
from .members import load as load
from .members import load_series as load_series
from .members import write_members as write_members
