"""Time that `python3 main.py` adds to a start with a ready environment. The bound is 60 ms."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from studio.launcher import stamp, start
from tests.benchmarks.figure import Figure, Unavailable

ROOT = Path(__file__).resolve().parents[2]
RUNS = 20


def run() -> Iterator[Figure]:
    folder = ROOT / ".venv"
    if not stamp.is_fresh(str(ROOT), str(folder), "run"):
        raise Unavailable("the environment was not created by this main.py; run `python3 main.py tools` once.")
    # The Python on which the environment is based, as an artist would call it.
    base = str(Path(os.path.realpath(folder / start.PYTHON)))
    inside = str(folder / start.PYTHON)
    bare, direct, launched = [], [], []
    for _ in range(RUNS):
        bare.append(_time_command([base, "-c", "pass"]))
        direct.append(_time_command([inside, "-P", "-m", "studio.cli", "--version"]))
        launched.append(_time_command([base, str(ROOT / "main.py"), "--version"]))
    yield Figure(
        title="added by main.py",
        samples=tuple(more - less for more, less in zip(launched, direct, strict=True)),
        bound=60,
        statistic="median",
        baseline=sorted(bare)[RUNS // 2],
        baseline_title="a Python that does nothing",
    )


def _time_command(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr)
    return (time.perf_counter() - started) * 1000
