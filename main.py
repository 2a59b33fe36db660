"""Starts the studio from a checkout. Needs only Python 3.11 or newer.

python3 main.py             opens the window
python3 main.py COMMAND     does what `studio COMMAND` does
python3 main.py repair      brings the packages of its environment back to those it was tested with
python3 main.py test        runs the test suite
python3 main.py bench       runs the benchmarks
"""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120 - must run on old Pythons up to the version check

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "The studio needs Python 3.11 or newer, but this is Python {}.{}. "
        "Get it from https://www.python.org/downloads/.".format(*sys.version_info)
    )

if __name__ == "__main__":
    if HERE not in sys.path:
        sys.path.insert(0, HERE)
    from studio.launcher.start import start

    sys.exit(start(HERE, sys.argv[1:]))
