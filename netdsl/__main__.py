"""`python -m netdsl`."""

import sys

from netdsl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
