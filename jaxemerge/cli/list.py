"""Which studies are there?"""

from __future__ import annotations

import argparse

from rich.console import Console

from jaxemerge.cli.studies import ELSEWHERE, Front
from jaxemerge.cli.terminal import say


def run(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Prints every study with the first line of its header."""
    for name in front.studies:
        say(console, f"{name:24} {front.headline(name)}")
    if not front.studies:
        say(console, f"{ELSEWHERE[0].upper()}{ELSEWHERE[1:]}.")
    return 0
