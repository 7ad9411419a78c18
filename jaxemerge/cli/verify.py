"""Are all files of a results folder intact?"""

from __future__ import annotations

import argparse

from rich.console import Console

from jaxemerge.cli.studies import Front
from jaxemerge.cli.terminal import say
from jaxemerge.report import report_damage
from jaxemerge.runner.opening import open_store

DAMAGED = 1  # exit code


def run(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Checks every file of a results folder."""
    store = open_store(options.folder)
    damage, spoilt = store.damage(), report_damage(store.folder)
    for line in (*damage, *spoilt):
        say(console, line)
    if damage:
        say(console, "Run the study's command again: damaged parts are set aside and retrained.")
    elif spoilt:
        say(console, f"Write the report again: {front.name} report {store.folder}")
    if damage or spoilt:
        return DAMAGED
    say(console, f"{store.folder}: all {len(store.records())} finished chunks are whole.")
    return 0
