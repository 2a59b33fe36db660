"""Runs a fuzzing campaign: reading processes one after the other, each killed when an input takes too long."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

COMMAND = (sys.executable, "-m", "tests.fuzz.process")
BATCH = 3_000
"""Inputs for one process."""
PATIENCE = 20.0
"""Seconds without a word after which a process is killed. The process itself counts processor time."""


class Finding(Struct, frozen=True):
    """An input that a reader did not take as it should. `path` is a copy of it."""

    target: str
    number: int
    what: str
    path: str = ""
    details: str = ""

    def __str__(self) -> str:
        return f"{self.target} (number {self.number}): {self.what}\n{self.path}\n{self.details}"


class Outcome(Struct, frozen=True):
    inputs: int
    seconds: float
    findings: tuple[Finding, ...]


def run_campaign(seed: str, seconds: float, kept: Path | None = None, *, first: int = 0) -> Outcome:
    """Read inputs for some seconds. Inputs that show a fault are copied into the folder `kept`."""
    began, number, findings = time.monotonic(), first, list[Finding]()
    while time.monotonic() - began < seconds:
        with tempfile.TemporaryDirectory(prefix="studio-fuzz-", ignore_cleanup_errors=True) as scratch:
            number = _run_process(Path(scratch), seed, number, began + seconds, kept, findings)
    return Outcome(number - first, time.monotonic() - began, tuple(findings))


def _run_process(
    scratch: Path, seed: str, first: int, deadline: float, kept: Path | None, findings: list[Finding]
) -> int:
    """Let one process read inputs from a number on. Return the number with which the next one begins."""
    number, target = first, ""
    with _process(scratch, seed, first) as (process, watch):
        assert process.stdout
        for line in process.stdout:
            watch.touch()
            word, number, *rest = json.loads(line)
            if word == "begin":
                target = rest[0]
                if time.monotonic() > deadline:
                    return int(number)
            elif word == "fault":
                findings.append(_keep(scratch, Finding(target, number, rest[0], details=rest[1]), kept))
            else:
                return int(number)
        process.wait()
        if not target:
            raise RuntimeError(f"The reading process does not start: {watch.read_errors()}")
        if not findings or findings[-1].number != number:
            what = "no answer" if watch.expired else f"the process ended with status {process.returncode}"
            findings.append(_keep(scratch, Finding(target, number, what, details=watch.read_errors()), kept))
    return int(number) + 1


def _keep(scratch: Path, finding: Finding, kept: Path | None) -> Finding:
    if kept is None:
        return finding
    kept.mkdir(parents=True, exist_ok=True)
    copy = kept / f"{finding.number}-{finding.target.replace('/', '-')}"
    shutil.copy(scratch / "current", copy)
    return Finding(finding.target, finding.number, finding.what, str(copy), finding.details)


class _Watch:
    """Kills a process that says nothing for too long."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self.expired = False
        self._process, self._errors = process, errors
        self._heard, self._done = time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="fuzz watch", daemon=True)
        self._thread.start()

    def touch(self) -> None:
        self._heard = time.monotonic()

    def read_errors(self) -> str:
        return self._errors.read_text("utf-8", "replace")[-3_000:]

    def close(self) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(0.5):
            if time.monotonic() - self._heard > PATIENCE:
                self.expired = True
                self._process.kill()
                return


@contextmanager
def _process(scratch: Path, seed: str, first: int) -> Iterator[tuple[subprocess.Popen[str], _Watch]]:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [*COMMAND, str(scratch), seed, str(first), str(BATCH)]
    errors = scratch / "errors"
    with (
        errors.open("wb") as stream,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stream, text=True, env=environment, cwd=root
        ) as process,
    ):
        watch = _Watch(process, errors)
        try:
            yield process, watch
        finally:
            watch.close()
            process.kill()
            process.communicate()
