"""``python -m studio.library.index.file_reader_process``: reads files for `file_reader` within a limit of memory."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from studio.core import parent_watchdog
from studio.core.errors import StudioError
from studio.core.images import open_picture, open_undecoded, read_orientation
from studio.core.paths import Home
from studio.core.untrusted_files import damage_as_bad_input
from studio.library.index import extraction
from studio.library.index.file_reader import READY, Reply, Request, Tile, read_packet, write_packet
from studio.library.index.found_settings import find_settings
from studio.library.storage import thumbnails

MEMORY_LIMIT = 2 * 2**30
"""Bytes of address space beside those that the process has at its start."""


def main() -> None:
    reader, writer = _take_pipes()
    parent_watchdog.start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C on a terminal is the studio's to handle
    _limit_memory()
    write_packet(writer, READY)
    while packet := read_packet(reader):
        write_packet(writer, msgspec.msgpack.encode(answer(msgspec.msgpack.decode(packet, type=Request))))


def answer(request: Request) -> Reply:
    """Do what a request says. An error becomes its sentence."""
    path = Path(os.fsdecode(request.path))
    try:
        with damage_as_bad_input(path):
            content = _read(request, path)
    except StudioError as error:
        cause = error.__cause__
        number = cause.errno if isinstance(cause, OSError) else None
        return Reply(sentence=str(error.args[0]), hint=error.hint, errno=number or 0)
    return Reply(content=msgspec.Raw(msgspec.msgpack.encode(content)))


def _read(request: Request, path: Path) -> Any:
    match request.action:
        case "extract":
            return extraction.extract(Home(Path(os.fsdecode(request.home))), path, request.digest)
        case "settings":
            return find_settings(path)
        case "thumbnail":
            return thumbnails.render(path)
        case "tile":
            return _render_tile(path, request.side)
        case _:
            raise ValueError(request.action)


def _render_tile(path: Path, side: int) -> Tile:
    image = open_picture(path, shrink_to=2 * side)
    with open_undecoded(path) as whole:
        width, height = whole.size if read_orientation(whole) < 5 else whole.size[::-1]
    image.thumbnail((side, side))
    small = image.convert("RGBA")
    return Tile(small.tobytes(), *small.size, width, height)


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Return the pipes of standard input and output, where libraries then find nothing."""
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return reader, writer


def _limit_memory() -> None:
    """Limit the address space, on systems that can."""
    if sys.platform == "win32":
        return
    import resource

    try:
        used = int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
    except OSError:
        used = 0
    limit = used + MEMORY_LIMIT
    with suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard == resource.RLIM_INFINITY or hard > limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    main()
