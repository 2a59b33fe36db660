"""The log of a worker is rotated by its size while the worker runs, and its end is kept for the sentence about it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from queue import SimpleQueue

import pytest

from studio.engine import worker_process
from studio.engine.worker_process import WorkerProcess

LOUD = """
import os
for number in range(2000):
    os.write(2, f"line {number:05} {'x' * 80}\\n".encode())
os.write(2, b"\\xff the end\\n")
os.close(1)
os._exit(3)
"""


def run_worker(code: str, log: Path) -> WorkerProcess:
    ended: SimpleQueue[int] = SimpleQueue()
    worker = WorkerProcess(
        [sys.executable, "-c", code],
        environment=os.environ,
        folder=log.parent.parent,
        log=log,
        on_message=lambda worker, message: None,
        on_exit=lambda worker, status: ended.put(status),
    )
    assert ended.get(timeout=30) == 3
    return worker


def test_a_log_is_rotated_while_the_worker_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "LOG_LIMIT", 100_000)
    log = tmp_path / "logs" / "worker.log"
    worker = run_worker(LOUD, log)
    files = sorted(log.parent.iterdir())
    assert [file.name for file in files] == ["worker.log", "worker.log.1"]
    assert all(file.stat().st_size <= 100_100 for file in files)
    assert files[0].read_text("utf-8").endswith("\ufffd the end\n")
    assert worker.log_tail(2).splitlines() == [f"line 01999 {'x' * 80}", "\ufffd the end"]


def test_a_log_that_cannot_be_written_does_not_stop_the_worker(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "worker.log"
    log.mkdir(parents=True)
    assert run_worker(LOUD, log).log_tail(1) == "\ufffd the end"
