"""`python3 main.py bench [NAME…] [--json]`. Each benchmark runs in a process of its own."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys

import msgspec

from tests.benchmarks.measure import Figure, Unavailable, table

NAMES = {
    "launcher": "what main.py adds to a start",
    "start": "from the command to a window that answers",
    "gap": "how long the window is deaf while a worker works",
    "painted": "from an array in the worker, and from a click, to the screen",
    "brush": "a brush on a large image",
    "death": "a worker that dies, and one whose studio died",
    "overhead": "a job through the studio, against the bare library",
    "diffusion": "an image through the diffusion plugin, against the bare pipeline",
    "writer": "a text through the writer plugin, against bare generate, and a page that was read before",
    "style": "a photo in each style that comes with the studio: time, seams and memory",
    "history": "a history of 100,000 creations",
}
ENDURANCE = {
    "fuzz": "mutated files of every format that is read",
    "soak": "jobs of all tools, kills and library operations",
}
"""Those that run for `--minutes`, and only when they are named."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="main.py bench", description="Measures the studio. Leave the machine alone.")
    names = ", ".join(f"{name} ({what})" for name, what in (NAMES | ENDURANCE).items())
    longer = " and ".join(ENDURANCE)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all but {longer} when left out: {names}")
    parser.add_argument("--minutes", type=float, default=5, metavar="N", help=f"of {longer} (5)")
    parser.add_argument("--json", action="store_true", help="one JSON object per figure")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in options.names:
        if name not in NAMES | ENDURANCE:
            parser.error(f"there is no benchmark {name}; there are: {', '.join(NAMES | ENDURANCE)}")
    if options.here:
        return _here(options.names[0], options.minutes)
    return max([_one(name, options.json, options.minutes) for name in options.names or NAMES])


def _here(name: str, minutes: float) -> int:
    """Runs one benchmark in this process, and prints its figures as JSON lines."""
    try:
        limits = {"minutes": minutes} if name in ENDURANCE else {}
        for figure in importlib.import_module(f"tests.benchmarks.{name}").figures(**limits):
            figure = msgspec.structs.replace(figure, bench=name)
            sys.stdout.write(msgspec.json.encode(figure).decode() + "\n")
            sys.stdout.flush()
    except Unavailable as reason:
        sys.stderr.write(f"{name} is left out: {reason}\n")
    return 0


def _one(name: str, json: bool, minutes: float) -> int:
    # Offscreen windows have no manager to take hints about their size, and Qt says so for each.
    quiet = {"QT_LOGGING_RULES": "default.warning=false"}
    environ = {"QT_QPA_PLATFORM": "offscreen", **quiet, **os.environ}
    command = [sys.executable, "-m", "tests.benchmarks", "--here", name, "--minutes", str(minutes)]
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=False)
    lines = done.stdout.splitlines()
    if json:
        sys.stdout.writelines(f"{line}\n" for line in lines)
    elif lines:
        figures = [msgspec.json.decode(line, type=Figure) for line in lines]
        sys.stdout.write(f"\n{name}: {(NAMES | ENDURANCE)[name]}\n{table(figures)}\n")
    sys.stdout.flush()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
