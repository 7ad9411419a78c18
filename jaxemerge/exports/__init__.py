"""Members of a population as files for others: written with all that must be known of them, and read back.

    export(train(experiment), "members")     # safetensors, config.json, and a model card
    trained = load("members")                # or one of its files
    trained.generate(), trained.evaluate()   # as before, to the bit

Every file is checked against its digest, and nothing that stands in one is run.

    export           writes the members of a population, their configuration, and a card with their scores
    load, Trained    reads them back; classes of your own are given: ``tasks=[...]``, ``models=[...]``
    write_members    writes weights that are already arrays by name, such as those of a results folder
"""

from .members import export as export
from .members import write_members as write_members
from .trained import Trained as Trained
from .trained import load as load
