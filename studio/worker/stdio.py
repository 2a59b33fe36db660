"""The worker's two pipes: taken out of the reach of plugins, and written without blocking a tool."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import BinaryIO

from studio.core import messages
from studio.core.messages import FromWorker, JobCancelled, JobFailed, JobFinished, JobPaused, JobProgress, PreviewFrame

PACE = 1 / 30
"""Seconds between two rounds of previews and progress."""


def take_over() -> tuple[BinaryIO, BinaryIO]:
    """Moves the pipes away from the descriptors 0 and 1.

    From here on `print`, native code and child processes write to standard error, and who
    reads standard input finds it empty. The copies are not inherited by child processes.
    """
    reader = os.fdopen(os.dup(0), "rb")
    writer = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    sys.stdout = sys.stderr
    return reader, writer


class Outbox:
    """Sends messages to the studio, from any thread.

    `send` returns when the message is in the pipe. `offer` returns at once: of previews and
    of progress only the latest is kept until the studio has read the one before.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._writing = threading.Lock()
        self._latest: dict[type, JobProgress | PreviewFrame] = {}
        self._choosing = threading.Lock()
        self._offered = threading.Event()
        self._closed = False
        self._sender = threading.Thread(target=self._send_offers, name="outbox", daemon=True)
        self._sender.start()

    def send(self, message: FromWorker) -> None:
        with self._writing:
            offers = self._take()
            if not isinstance(message, JobFinished | JobFailed | JobCancelled | JobPaused):
                for offer in offers:
                    self._write(offer)
            self._write(message)

    def offer(self, message: JobProgress | PreviewFrame) -> None:
        with self._choosing:
            self._latest[type(message)] = message
        self._offered.set()

    def close(self) -> None:
        """Ends the thread that sends what was offered."""
        self._closed = True
        self._offered.set()
        self._sender.join()

    def _take(self) -> list[JobProgress | PreviewFrame]:
        with self._choosing:
            offers = list(self._latest.values())
            self._latest.clear()
            self._offered.clear()
        return offers

    def _send_offers(self) -> None:
        while True:
            self._offered.wait()
            if self._closed:
                return
            with self._writing:
                for offer in self._take():
                    self._write(offer)
            time.sleep(PACE)

    def _write(self, message: FromWorker) -> None:
        try:
            messages.write(self._stream, message)
        except OSError:
            os._exit(0)  # the studio is gone
