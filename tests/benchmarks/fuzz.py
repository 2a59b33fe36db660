"""Reads mutated files for some minutes, and keeps those that a reader does not take as it should."""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figure import Figure
from tests.fuzz.campaign import run_campaign


def run(minutes: float = 5) -> Iterator[Figure]:
    seed = secrets.token_hex(4)
    kept = Path(tempfile.gettempdir()) / f"studio-fuzz-{seed}"
    sys.stderr.write(f"The seed is {seed}; inputs that show a fault are kept in {kept}.\n")
    outcome = run_campaign(seed, minutes * 60, kept)
    for finding in outcome.findings:
        sys.stderr.write(f"{finding}\n")
    yield Figure(title="inputs read", unit="", samples=(outcome.inputs,))
    yield Figure(title="inputs a second", unit="1/s", samples=(outcome.inputs / outcome.seconds,))
    yield Figure(title="exceptions, hangs, and too much memory", unit="", samples=(len(outcome.findings),), bound=0)
