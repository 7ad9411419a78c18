"""The command line with this repository's studies: ``python experiments/run.py --help``."""

import sys
from functools import partial

from jaxemerge.cli import main as command_line
from studies import STUDIES

main = partial(command_line.main, studies=STUDIES, program=(__file__,))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
