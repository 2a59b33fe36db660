"""The worker's two pipes: out of the reach of plugins, and written without blocking a tool."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

from studio.core import messages
from studio.core.messages import FromWorker, JobCancelled, JobFailed, JobFinished, JobPaused, JobProgress, PreviewFrame

PREVIEW_SECONDS = 1 / 12
"""Seconds between two pictures of a job; those in between are not even converted."""
ROUND_SECONDS = 1 / 30
"""Seconds between two rounds of offered messages."""


def take_over() -> tuple[BinaryIO, BinaryIO]:
    """Move the pipes away from the descriptors 0 and 1, and return the reader and the writer.

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
    """Sends messages to the studio, from any thread, and is the only place that limits how many.

    `send` returns when the message is in the pipe. `offer` returns at once: of previews and
    of progress only the latest is kept until the studio has read the one before. `offer_picture`
    also limits how many pictures are made.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._writing = threading.Lock()
        self._offers: dict[type, JobProgress | PreviewFrame] = {}
        self._offers_lock = threading.Lock()
        self._has_offers = threading.Event()
        self._picture_job = ""
        self._picture_time = 0.0
        self._closed = False
        self._sender = threading.Thread(target=self._send_offers, name="outbox", daemon=True)
        self._sender.start()

    def send(self, message: FromWorker) -> None:
        """Write a message and, unless it ends a job, what was offered before it."""
        with self._writing:
            offers = self._take_offers()
            if not isinstance(message, JobFinished | JobFailed | JobCancelled | JobPaused):
                for offer in offers:
                    self._write(offer)
            self._write(message)

    def offer(self, message: JobProgress | PreviewFrame) -> None:
        """Send a message soon, unless a newer one of its type comes first."""
        with self._offers_lock:
            self._offers[type(message)] = message
        self._has_offers.set()

    def offer_picture(self, job: str, make_frame: Callable[[], PreviewFrame]) -> None:
        """Offer a picture of a job. `make_frame` is not called if it had one less than `PREVIEW_SECONDS` ago."""
        now = time.monotonic()
        if job != self._picture_job or now - self._picture_time >= PREVIEW_SECONDS:
            self._picture_job, self._picture_time = job, now
            self.offer(make_frame())

    def close(self) -> None:
        """End the thread that sends offers."""
        self._closed = True
        self._has_offers.set()
        self._sender.join()

    def _take_offers(self) -> list[JobProgress | PreviewFrame]:
        with self._offers_lock:
            offers = list(self._offers.values())
            self._offers.clear()
            self._has_offers.clear()
        return offers

    def _send_offers(self) -> None:
        while True:
            self._has_offers.wait()
            if self._closed:
                return
            with self._writing:
                for offer in self._take_offers():
                    self._write(offer)
            time.sleep(ROUND_SECONDS)

    def _write(self, message: FromWorker) -> None:
        try:
            messages.write(self._stream, message)
        except OSError:
            os._exit(0)  # the studio is gone
