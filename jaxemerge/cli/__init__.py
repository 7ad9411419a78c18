"""The command line: one program whose commands run studies and look at results folders.

``main.main(arguments, studies, program)`` runs one command. ``experiments/run.py`` is this program with the
studies of this repository.
"""
