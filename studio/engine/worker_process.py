"""One worker process, and the threads that read, write and wait for its end."""

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
"""Seconds to wait for the last messages of a dead worker. It only waits so long if a child of the worker still
holds the pipe open."""

logger = logging.getLogger(__name__)


class WorkerProcess:
    """Starts with the constructor. `on_message` and `on_exit` are called on its threads, `on_exit` once and last."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        on_message: Callable[[WorkerProcess, FromWorker], None],
        on_exit: Callable[[WorkerProcess, int], None],
    ) -> None:
        """Raises OSError where the process cannot be started."""
        self._log = log
        self._on_message = on_message
        self._on_exit = on_exit
        self._outbox: SimpleQueue[ToWorker | None] = SimpleQueue()
        with _open_log(log) as errors:
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
        """Send a message. Returns at once, also when the worker has stopped reading."""
        self._outbox.put(message)

    def end_input(self) -> None:
        """Close its standard input, which makes a worker end."""
        self._outbox.put(None)

    def kill(self) -> None:
        """Kill it and the processes that it started. `on_exit` follows."""
        if os.name == "nt":
            self._process.kill()
        else:
            self._kill_group()

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines that this worker, not those before it, wrote to standard error."""
        with suppress(OSError), self._log.open("rb") as file:
            file.seek(self._log_start)
            written = file.read()[-65536:].decode("utf-8", "replace")
            return "\n".join(written.splitlines()[-lines:])
        return ""

    def _read(self) -> None:
        stream = _require(self._process.stdout)
        try:
            while (message := messages.read_from_worker(stream)) is not None:
                self._on_message(self, message)
        except (msgspec.MsgspecError, ValueError, OSError) as error:
            logger.warning("Worker %d sent an invalid message and is ended: %s", self.pid, error)
            self.kill()

    def _write(self) -> None:
        stream = _require(self._process.stdin)
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
            _require(self._process.stdout).close()
        self._on_exit(self, status)

    def _kill_group(self) -> None:
        """Kill the worker's process group, which has the encoders and loaders that it started."""
        if sys.platform != "win32":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


def _open_log(log: Path) -> IO[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        if log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_suffix(".old.log"))
    return log.open("ab")


def _require(stream: IO[bytes] | None) -> BinaryIO:
    assert stream is not None
    return cast(BinaryIO, stream)
