"""Reads foreign files in a child process, so that no file can take the studio's memory or time.

One process serves all callers, one request after the other. It is started by the first request, and again after one
that was ended because it took too long or too much memory; such a file costs one sentence.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, TypeVar

import msgspec
from msgspec import Raw, Struct

from studio.core import paths
from studio.core.errors import BadInput, StudioError
from studio.core.paths import Home
from studio.core.untrusted_files import name_for_display
from studio.library.index.extraction import IndexEntry
from studio.library.index.found_settings import FoundSettings

TIME_LIMIT = 15.0
"""Seconds for one file."""
START_LIMIT = 60.0
"""Seconds for the start of the process, on a machine that is busy."""
READY = b"ready"
LENGTH_BYTES = 4
ENVIRONMENT = {"PYTHONUTF8": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_COMMAND = (sys.executable, "-P", "-m", "studio.library.index.file_reader_process")
_MAX_REFUSED = 256

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Request(Struct, frozen=True, kw_only=True):
    """What to do with a file. `path` and `home` are bytes, since names need not be UTF-8."""

    action: str
    path: bytes
    home: bytes = b""
    digest: str = ""
    side: int = 0


class Reply(Struct, frozen=True, kw_only=True):
    """The result, or the sentence of the error; `errno` is that of the system, where it refused the file."""

    content: Raw = Raw(b"\xc0")
    sentence: str = ""
    hint: str = ""
    errno: int = 0


class Tile(Struct, frozen=True):
    """A small image as rows of 8-bit RGBA, and the size of the whole one in pixels."""

    pixels: bytes
    width: int
    height: int
    full_width: int
    full_height: int


class FileReader:
    """Safe to call from any thread. Every method but `close` may start the process, and raises BadInput for a file
    that cannot be read."""

    def __init__(self, *, time_limit: float = TIME_LIMIT) -> None:
        self._time_limit = time_limit
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._closed = False
        self._refused: OrderedDict[tuple[str, int, int], BadInput] = OrderedDict()
        """Files that ended the process, by path, size and time: none is tried again."""

    def extract(self, home: Home, path: Path, digest: str) -> IndexEntry:
        """Read the index row of a creation, as `extraction.extract` does."""
        request = Request(action="extract", path=os.fsencode(path), home=os.fsencode(home.root), digest=digest)
        return self._ask(path, request, IndexEntry)

    def find_settings(self, path: Path) -> FoundSettings:
        """Find what a file from outside carries for a form, as `found_settings.find_settings` does."""
        return self._ask(path, Request(action="settings", path=os.fsencode(path)), FoundSettings)

    def render_thumbnail(self, path: Path) -> bytes | None:
        """Render an image or a video as a JPEG. Return None for another file."""
        return self._ask(path, Request(action="thumbnail", path=os.fsencode(path)), bytes | None)  # type: ignore[arg-type]

    def render_tile(self, path: Path, side: int) -> Tile:
        """Render an image so that it fits into a square of `side` pixels."""
        return self._ask(path, Request(action="tile", path=os.fsencode(path), side=side), Tile)

    def close(self) -> None:
        """End the process, also in the middle of a request, which then fails."""
        self._closed = True
        if process := self._process:
            process.kill()
        with self._lock:
            self._end_process()

    def _ask(self, path: Path, request: Request, type: type[_T]) -> _T:
        with self._lock:
            key = _stamp(path)
            if key in self._refused:
                raise self._refused[key]
            reply = self._send(path, request, key)
        if reply.sentence:
            cause = OSError(reply.errno, os.strerror(reply.errno)) if reply.errno else None
            raise BadInput(reply.sentence, reply.hint) from cause
        return msgspec.msgpack.decode(reply.content, type=type)

    def _send(self, path: Path, request: Request, key: tuple[str, int, int]) -> Reply:
        process = self._start()
        answer = process.ask(msgspec.msgpack.encode(request), self._time_limit)
        if answer:
            return msgspec.msgpack.decode(answer, type=Reply)
        self._end_process()
        if self._closed:
            raise BadInput(f"{name_for_display(path)} was not read, because the studio is being closed.")
        if answer is None:
            error = BadInput(f"{name_for_display(path)} takes too long to read, so it is left out.")
        else:
            error = BadInput(f"{name_for_display(path)} cannot be read: it ended the program that reads it.")
        _log.info("%s", error)
        self._refused[key] = error
        if len(self._refused) > _MAX_REFUSED:
            self._refused.popitem(last=False)
        raise error

    def _start(self) -> _Process:
        if self._closed:
            raise StudioError("The library is closed.")
        if self._process is None:
            process = self._process = _Process()
            if not self._closed and process.wait(START_LIMIT) != READY:
                self._end_process()
                raise StudioError("The program that reads files cannot be started.", "Run `studio doctor`.")
        return self._process

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process:
            process.close()


class _Process:
    """The child, and a thread that reads its answers."""

    def __init__(self) -> None:
        path = os.pathsep.join(filter(None, [str(paths.PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
        try:
            self._child = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT, "PYTHONPATH": path},
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise StudioError(f"The program that reads files cannot be started: {error.strerror or error}.") from error
        self._answers: SimpleQueue[bytes] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="file reader", daemon=True)
        self._reader.start()

    def ask(self, request: bytes, seconds: float) -> bytes | None:
        """Return the answer, None if it takes longer, or no bytes if the process has ended."""
        assert self._child.stdin is not None
        with suppress(OSError):  # a process that has ended is noticed below
            write_packet(self._child.stdin, request)
        return self.wait(seconds)

    def wait(self, seconds: float) -> bytes | None:
        try:
            return self._answers.get(timeout=seconds)
        except Empty:
            return None

    def kill(self) -> None:
        """Kill it and what it has started, such as a decoder of videos."""
        if sys.platform == "win32":
            self._child.kill()
        else:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self._child.wait()
        self._reader.join()
        for stream in (self._child.stdin, self._child.stdout):
            assert stream is not None
            with suppress(OSError):
                stream.close()

    def _read(self) -> None:
        assert self._child.stdout is not None
        with suppress(OSError, ValueError):
            while answer := read_packet(self._child.stdout):
                self._answers.put(answer)
        self._answers.put(b"")


def write_packet(stream: IO[bytes], content: bytes) -> None:
    stream.write(len(content).to_bytes(LENGTH_BYTES, "little") + content)
    stream.flush()


def read_packet(stream: IO[bytes]) -> bytes:
    """Return the next packet, or no bytes at the end."""
    head = stream.read(LENGTH_BYTES)
    return stream.read(int.from_bytes(head, "little")) if len(head) == LENGTH_BYTES else b""


def _stamp(path: Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), status.st_size, status.st_mtime_ns
