"""What does the program say of itself, without a command?"""

from __future__ import annotations

from jaxemerge.cli.options import COMMANDS
from jaxemerge.cli.studies import Front


def top_help(front: Front) -> str:
    """The program's help: what it is for, examples, commands."""
    examples = [
        ("run", "the default study: three depths, 16 seeds each"),
        ("plan count_fixed_depth", "the cost of a large study"),
        ("report results/count_quick", "the distributions in a results folder"),
    ]
    if not front.studies:
        examples = [
            ("status results/count_quick", "how far a study is"),
            ("report results/count_quick", "the distributions in a results folder"),
            ("analyze runs.csv --value acc --scale size", "the same report for any results"),
        ]
    if front.studies:
        default = f"Without a command, 'run {front.default}' is meant; '{front.name} STUDY' runs a study."
    else:
        default = "There are no studies here: those of the repository come with its experiments/run.py."
    widest = max(len(words) for words, _ in examples)
    lines = [
        f"usage: {front.name} COMMAND [options]",
        "",
        "Trains many small transformers that differ only in their random seed, in one compiled program, and",
        "reports what they learn as a distribution over seeds: which share succeeds, how well, and how both",
        "change with scale. A study is a list of cells; a cell is a model, a task and a training recipe.",
        "",
        *(f"  {front.name} {words:{widest}}  {about}" for words, about in examples),
        "",
        "commands:",
        *(f"  {f'{name} {each.takes}':25} {each.answers}" for name, each in COMMANDS.items()),
        "",
        f"'{front.name} COMMAND --help' lists the options of a command.",
        default,
        "A stopped or killed run resumes from its last checkpoint when the same command is given again.",
        "Exit codes: 0 done, 1 failed or damaged, 2 wrong usage, 128 + N stopped by signal N.",
    ]
    return "\n".join(lines) + "\n"
