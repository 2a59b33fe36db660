"""The worker's two pipes: out of the reach of plugins, and written without blocking a tool."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, TextIO

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
    os.dup2(2, 1)
    _spares[:] = nothing, os.dup(2), os.dup(2)
    sys.stdin, sys.stdout, sys.stderr = (_open_stream(number) for number in range(3))
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _disconnect(reader.fileno(), writer.fileno()))
    return reader, writer


def open_log() -> TextIO:
    """Open a stream to standard error that stays when a plugin closes `sys.stderr`."""
    return os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace", buffering=1)


def read_streams() -> tuple[Any, ...]:
    """Return the standard streams, which of them are open, and the files behind their descriptors."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    files = tuple(_identify_file(number) for number in range(len(_spares)))
    return streams, tuple(not getattr(stream, "closed", True) for stream in streams), files


def write_streams(wanted: tuple[Any, ...]) -> None:
    """Set back what `read_streams` returned. A stream that was closed is opened anew."""
    streams, _, files = wanted
    for number, file in enumerate(files):
        if _identify_file(number) != file:
            os.dup2(_spares[number], number)
    sys.stdin, sys.stdout, sys.stderr = (
        _open_stream(number) if getattr(stream, "closed", False) and files else stream
        for number, stream in enumerate(streams)
    )


_spares: list[int] = []
"""Copies of the descriptors 0, 1 and 2, since a plugin may close them."""


def _open_stream(number: int) -> TextIO:
    if number == 0:
        return open(0, encoding="utf-8", closefd=False)
    return open(number, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def _identify_file(number: int) -> tuple[int, int] | None:
    with suppress(OSError):
        state = os.fstat(number)
        return state.st_dev, state.st_ino
    return None


def _disconnect(*descriptors: int) -> None:
    """Let a forked copy of the worker hold neither pipe, so that it can neither speak for the worker nor outlive it."""
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in descriptors:
            os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)


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
