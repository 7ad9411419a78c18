"""What may ``design`` be asked? Its questions, the parts of their effects, and its options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jaxemerge.cli.parser import Parser, inside, one_of, positive, whole
from jaxemerge.cli.studies import Front
from jaxemerge.cli.training_options import no_selection

QUESTIONS = ("two-sided", "rates", "midpoint", "init", "success-mean", "outcomes")  # of stats.plan_seeds

DESIGN = """\
Says how many seeds a question needs. Studies are simulated and analysed with the tests and
intervals of this library. The questions, with the parts of their effects and the defaults:

  two-sided     Does a population have two sides? weight: share of seeds on the upper side
                weight=0.3 means=0.1,0.7 concentration=20 items=100
  rates         Do two cells differ in P(success)?  rates=0.2,0.5
  midpoint      At which scale do half of the seeds succeed? precision: of ln(scale)
                precision=0.5 scales=1,2,4,8,16 midpoint=4 slope=2 ceiling=0.8 free_ceiling=True
  init          Does the initialisation matter besides the data order? Shares of the variance,
                data orders (0: as many as initialisations), P(success) (0: outcomes are scores)
                init=0.3 data=0.2 data_seeds=0 rate=0
  success-mean  How good are the successful seeds? width: of the interval of their mean
                width=0.1 rate=0.5 mean=0.6 concentration=10 items=100 threshold=0.2
  outcomes      Is every kind of outcome seen so many times?  share=0.1 times=3

  {name} design --question rates --effect rates=0.1,0.4 --power 0.9
  {name} design {default} --question two-sided     (and its cost)"""


def add_design(parser: Parser, front: Front) -> None:
    """The options of ``design``."""
    parser.add_argument("words", nargs="*", metavar="STUDY", help=argparse.SUPPRESS)
    add = parser.add_argument_group("options").add_argument
    add("--question", type=one_of(*QUESTIONS), metavar="NAME", help="one of the above")
    add("--effect", **_several("PART=VALUE"), help="a part of the effect, as above; repeatable")
    power = "share of studies that must answer (default: 0.8)"
    add("--power", type=inside, default=0.8, metavar="SHARE", help=power)
    confidence = "of intervals; tests have level 1 - SHARE (default: 0.95)"
    add("--confidence", type=inside, default=0.95, metavar="SHARE", help=confidence)
    add("--most", type=whole(1), default=2000, metavar="N", help="most seeds per cell (default: 2000)")
    add("--studies", type=whole(40), metavar="N", help="simulated studies (default: for about a minute)")
    add("--key", type=whole(0), default=0, metavar="N", help="seed of the simulation (default: 0)")
    add("--chart", type=Path, metavar="FILE", help="write a chart of the power: .svg, .png or .html")
    add = parser.add_argument_group("cost of STUDY").add_argument
    add("--quick", action="store_true", help="its small version")
    add("--cells", metavar="WHICH", help="only these cells: numbers in plan (1,3:5) or names (*depth2*)")
    add("--set", **_several("FIELD=VALUE"), dest="changes", help="change a field of every cell; repeatable")
    speed = "FLOP/s to assume, such as 3e14 (default: measured here)"
    add("--flops-per-second", type=positive, metavar="F", help=speed)
    parser.set_defaults(**no_selection())


def _several(metavar: str) -> dict[str, Any]:
    return {"action": "append", "default": [], "metavar": metavar}


def check_design(options: argparse.Namespace, front: Front) -> None:
    """Finds the study among the words, if there is one.

    Raises:
        ValueError: a word is no study, there is no question, or an option of costs has no study.
    """
    if options.question is None:
        raise ValueError(f"design: add --question, one of {', '.join(QUESTIONS)}")
    options.study, *others = options.words or [""]
    if others:
        raise ValueError(f"{others[0]}: design takes one study")
    if options.study.endswith(".py"):
        options.study_file = Path(options.study)
        options.study = options.study_file.stem
        return
    if options.study:
        front.check(options.study)
        return
    given = {"--quick": options.quick, "--cells": options.cells, "--set": options.changes}
    given["--flops-per-second"] = options.flops_per_second
    if used := [name for name, value in given.items() if value]:
        raise ValueError(f"{used[0]}: name the study whose cost is to be estimated")
