"""``python -m jaxemerge``: the command line."""

import sys

from jaxemerge.cli import main

if __name__ == "__main__":
    sys.exit(main())
