"""One worker process, and the threads that listen, speak and wait for its end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, BinaryIO, cast

import msgspec

from studio.core import messages
from studio.core.messages import FromWorker, ToWorker

LOG_LIMIT = 4 * 2**20
_DRAIN = 1.0
"""Seconds to wait for the last messages of a dead worker. Only a process that it left behind,
and that holds the pipe open, makes this wait last."""

logger = logging.getLogger(__name__)


class WorkerProcess:
    """Started when it is made. `heard` and `died` are called on its threads, `died` once and last."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        heard: Callable[[WorkerProcess, FromWorker], None],
        died: Callable[[WorkerProcess, int], None],
    ) -> None:
        """Raises OSError where the process cannot be started."""
        self._log = log
        self._heard = heard
        self._died = died
        self._outbox: SimpleQueue[ToWorker | None] = SimpleQueue()
        with _opened_log(log) as errors:
            self._log_start = errors.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=dict(environment),
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        name = f"worker {self.pid}"
        self._reader = threading.Thread(target=self._read, name=f"{name} reader", daemon=True)
        self._writer = threading.Thread(target=self._write, name=f"{name} writer", daemon=True)
        self._waiter = threading.Thread(target=self._wait, name=f"{name} waiter", daemon=True)
        for thread in (self._reader, self._writer, self._waiter):
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: ToWorker) -> None:
        """Returns at once, also when the worker has stopped reading."""
        self._outbox.put(message)

    def end_input(self) -> None:
        """Closes its standard input, which a worker takes as the order to end."""
        self._outbox.put(None)

    def kill(self) -> None:
        """Ends it and what it has started. `died` follows."""
        if os.name == "nt":
            self._process.kill()
        else:
            self._kill_group()

    def log_tail(self, lines: int = 40) -> str:
        """The end of what this worker, not those before it, wrote to standard error."""
        with suppress(OSError), self._log.open("rb") as file:
            file.seek(self._log_start)
            written = file.read()[-65536:].decode("utf-8", "replace")
            return "\n".join(written.splitlines()[-lines:])
        return ""

    def _read(self) -> None:
        stream = _of(self._process.stdout)
        try:
            while (message := messages.read_from_worker(stream)) is not None:
                self._heard(self, message)
        except (msgspec.MsgspecError, ValueError, OSError) as error:
            logger.warning("Worker %d spoke nonsense and is ended: %s", self.pid, error)
            self.kill()

    def _write(self) -> None:
        stream = _of(self._process.stdin)
        with suppress(OSError):
            while (message := self._outbox.get()) is not None:
                messages.write(stream, message)
        with suppress(OSError):
            stream.close()

    def _wait(self) -> None:
        status = self._process.wait()
        if os.name != "nt":
            self._kill_group()
        self._outbox.put(None)
        self._writer.join()
        self._reader.join(_DRAIN)
        if not self._reader.is_alive():
            _of(self._process.stdout).close()
        self._died(self, status)

    def _kill_group(self) -> None:
        """The worker leads a group of its own, which holds encoders and loaders it started."""
        if sys.platform != "win32":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


def _opened_log(log: Path) -> IO[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        if log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_suffix(".old.log"))
    return log.open("ab")


def _of(stream: IO[bytes] | None) -> BinaryIO:
    assert stream is not None
    return cast(BinaryIO, stream)
