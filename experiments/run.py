"""The command line with the studies of this folder: ``python experiments/run.py --help``."""

import sys
from functools import partial

from jaxemerge import cli

main = partial(cli.main, studies=cli.studies_beside(__file__), file=__file__)

if __name__ == "__main__":
    sys.exit(main())
