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
from logging.handlers import RotatingFileHandler
from pathlib import Path
from queue import SimpleQueue
from typing import IO, BinaryIO, cast

import msgspec

from studio.core import messages
from studio.core.messages import FromWorker, ToWorker

LOG_LIMIT = 4 * 2**20
"""Bytes of a log; a full one is kept as `NAME.log.1` beside it."""
TAIL_BYTES = 65_536
"""Bytes of the log that are kept for the sentence about a worker that ended."""
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
        self._tail = b""
        self._on_message = on_message
        self._on_exit = on_exit
        self._outbox: SimpleQueue[ToWorker | None] = SimpleQueue()
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        name = f"worker {self.pid}"
        self._reader = threading.Thread(target=self._read, name=f"{name} reader", daemon=True)
        self._writer = threading.Thread(target=self._write, name=f"{name} writer", daemon=True)
        self._waiter = threading.Thread(target=self._wait, name=f"{name} waiter", daemon=True)
        self._logger = threading.Thread(target=self._write_log, args=(log,), name=f"{name} log", daemon=True)
        for thread in (self._reader, self._writer, self._logger, self._waiter):
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
        return "\n".join(self._tail.decode("utf-8", "replace").splitlines()[-lines:])

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

    def _write_log(self, log: Path) -> None:
        """Write what the worker says on standard error to its log, which is rotated at `LOG_LIMIT` while it runs."""
        handler = RotatingFileHandler(
            log, maxBytes=LOG_LIMIT, backupCount=1, encoding="utf-8", errors="replace", delay=True
        )
        handler.terminator = ""
        stream = _require(self._process.stderr)
        try:
            while chunk := os.read(stream.fileno(), 65_536):
                self._tail = (self._tail + chunk)[-TAIL_BYTES:]
                with suppress(OSError):  # a full disk stops the log and not the worker
                    _write_chunk(handler, chunk.decode("utf-8", "replace"))
        except OSError as error:
            logger.info("The log of worker %d ended: %s", self.pid, error)
        finally:
            handler.close()

    def _wait(self) -> None:
        status = self._process.wait()
        if os.name != "nt":
            self._kill_group()
        self._outbox.put(None)
        self._writer.join()
        for thread, stream in ((self._reader, self._process.stdout), (self._logger, self._process.stderr)):
            thread.join(_DRAIN)
            if not thread.is_alive():
                _require(stream).close()
        self._on_exit(self, status)

    def _kill_group(self) -> None:
        """Kill the worker's process group, which has the encoders and loaders that it started."""
        if sys.platform != "win32":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


def _write_chunk(handler: RotatingFileHandler, text: str) -> None:
    record = logging.makeLogRecord({"msg": text})
    if handler.shouldRollover(record):
        handler.doRollover()
    if handler.stream is None:
        handler.stream = handler._open()
    handler.stream.write(text)
    handler.stream.flush()


def _require(stream: IO[bytes] | None) -> BinaryIO:
    assert stream is not None
    return cast(BinaryIO, stream)
