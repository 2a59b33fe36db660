"""What `python3 main.py` adds to a start when everything is made: the bound is 60 ms."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from studio.launcher import stamp, start
from tests.benchmarks.measure import Figure, Unavailable

ROOT = Path(__file__).resolve().parents[2]
RUNS = 20


def figures() -> Iterator[Figure]:
    folder = ROOT / ".venv"
    if not stamp.is_fresh(str(ROOT), str(folder), "run"):
        raise Unavailable("the environment was not made by this main.py; start `python3 main.py tools` once.")
    # The same Python that the environment stands on, as an artist would call it.
    base = str(Path(os.path.realpath(folder / start.PYTHON)))
    inside = str(folder / start.PYTHON)
    bare, direct, launched = [], [], []
    for _ in range(RUNS):
        bare.append(_milliseconds([base, "-c", "pass"]))
        direct.append(_milliseconds([inside, "-P", "-m", "studio.cli", "--version"]))
        launched.append(_milliseconds([base, str(ROOT / "main.py"), "--version"]))
    yield Figure(
        what="added by main.py",
        samples=tuple(more - less for more, less in zip(launched, direct, strict=True)),
        bound=60,
        judged="median",
        idle=sorted(bare)[RUNS // 2],
        of_idle="a Python that does nothing",
    )


def _milliseconds(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr)
    return (time.perf_counter() - began) * 1000
