"""Runs `python3 main.py bench [NAME…] [--json]`. Each benchmark runs in a process of its own."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys

import msgspec

from tests.benchmarks.figure import Figure, Unavailable, format_table

NAMES = {
    "launcher": "time that main.py adds to a start",
    "start": "from the command to a responsive window",
    "gap": "unresponsive times of the window while a worker works",
    "paint_latency": "from an array in the worker, and from a click, to the screen",
    "brush": "painting a mask on a large image",
    "death": "a worker that dies, and a worker whose studio dies",
    "overhead": "a job in the studio, compared with the bare library",
    "diffusion": "an image with the diffusion plugin, compared with the bare pipeline",
    "writer": "a text with the writer plugin, compared with bare generate, and with the KV cache",
    "style": "a photo in each bundled style: time, seams and memory",
    "gan": "images and training steps with the GAN plugin, compared with the bare networks",
    "faces": "recall, landmark error and time of the face detection",
    "training": "a training, compared with a bare loop over the same network",
    "history": "a history of 100,000 creations",
}
ENDURANCE = {
    "fuzz": "mutated files of every input format",
    "soak": "jobs of all tools, kills and library operations",
}
"""Benchmarks that run for `--minutes`, and only if they are named."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="main.py bench", description="Measures the studio. Do not use the machine meanwhile."
    )
    names = ", ".join(f"{name} ({what})" for name, what in (NAMES | ENDURANCE).items())
    longer = " and ".join(ENDURANCE)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all but {longer}. {names}")
    parser.add_argument("--minutes", type=float, default=5, metavar="N", help=f"duration of {longer} (default: 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per figure")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in options.names:
        if name not in NAMES | ENDURANCE:
            parser.error(f"there is no benchmark {name}; choose from: {', '.join(NAMES | ENDURANCE)}")
    if options.here:
        return _run_here(options.names[0], options.minutes)
    return max([_run_in_child(name, options.json, options.minutes) for name in options.names or NAMES])


def _run_here(name: str, minutes: float) -> int:
    """Run one benchmark in this process, and print its figures as JSON lines."""
    try:
        limits = {"minutes": minutes} if name in ENDURANCE else {}
        for figure in importlib.import_module(f"tests.benchmarks.{name}").run(**limits):
            figure = msgspec.structs.replace(figure, bench=name)
            sys.stdout.write(msgspec.json.encode(figure).decode() + "\n")
            sys.stdout.flush()
    except Unavailable as reason:
        sys.stderr.write(f"{name} is skipped: {reason}\n")
    return 0


def _run_in_child(name: str, json: bool, minutes: float) -> int:
    # Offscreen windows have no window manager, and Qt warns about it for each of them.
    quiet = {"QT_LOGGING_RULES": "default.warning=false"}
    environ = {"QT_QPA_PLATFORM": "offscreen", **quiet, **os.environ}
    command = [sys.executable, "-m", "tests.benchmarks", "--here", name, "--minutes", str(minutes)]
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=False)
    lines = done.stdout.splitlines()
    if json:
        sys.stdout.writelines(f"{line}\n" for line in lines)
    elif lines:
        figures = [msgspec.json.decode(line, type=Figure) for line in lines]
        sys.stdout.write(f"\n{name}: {(NAMES | ENDURANCE)[name]}\n{format_table(figures)}\n")
    sys.stdout.flush()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
