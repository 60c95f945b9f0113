"""`python -m headstart`: the commands, for an environment that is not on the path."""

import sys

from headstart.cli.app import main

if __name__ == "__main__":  # worker processes import this file too
    sys.exit(main())
