"""Reading files that anybody may have written: one boundary for everything that can go wrong inside.

Parsers of foreign formats, our own and those of libraries, fail with any exception. A reader therefore never lists
exceptions of its own. It opens files by `open_file`, and ends at `damage_as_bad_input`, which makes one sentence of
whatever happened, or at `read_or_else`, which returns a value instead.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from studio.core.errors import BadInput, StudioError

MAX_BYTES = 64 * 2**20
"""Maximum size of a file that is read whole."""

_NO_FILE = "it is a pipe or a device and no file"
_T = TypeVar("_T")
_P = ParamSpec("_P")
_log = logging.getLogger(__name__)


def open_file(path: Path) -> io.BufferedReader:
    """Open a regular file for reading. A pipe, device or socket is refused before it is opened for good or read.

    Raises OSError, whose `strerror` says so in plain words.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, _NO_FILE, str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def refuse_devices(path: Path) -> None:
    """Raise OSError for what `open_file` refuses, before a library opens the path by itself."""
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise OSError(errno.EINVAL, _NO_FILE, str(path))


def read_file(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the bytes of a regular file. Raises OSError, also where there are more than `max_bytes`."""
    with open_file(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {max_bytes / 2**20:g} MiB", str(path))
    return content


@contextmanager
def damage_as_bad_input(path: Path, damaged: BadInput | None = None) -> Iterator[None]:
    """Raise whatever goes wrong in the block as one BadInput that names the file.

    Errors of the studio pass unchanged. `damaged` replaces the sentence for content that cannot
    be read.
    """
    try:
        yield
    except StudioError:
        raise
    except FileNotFoundError as error:
        raise BadInput(f"There is no file {make_printable(str(path))}.", "Check the path.") from error
    except MemoryError as error:
        raise BadInput(f"{name_for_display(path)} needs more memory than is available.") from error
    except OSError as error:
        if error.errno is None:  # libraries raise bare OSErrors for damage
            raise damaged or _describe_damage(path) from error
        raise BadInput(f"{name_for_display(path)} cannot be read: {error.strerror or error}.") from error
    except Exception as error:
        _log.debug("%s: %s", name_for_display(path), error, exc_info=True)
        raise damaged or _describe_damage(path) from error


def read_or_else(otherwise: _T, read: Callable[_P, _T], *arguments: _P.args, **options: _P.kwargs) -> _T:
    """Return what `read` returns, or `otherwise` where it raises anything."""
    try:
        return read(*arguments, **options)
    except FileNotFoundError:
        return otherwise
    except Exception as error:
        _log.debug("%s%r: %s", getattr(read, "__name__", read), arguments, error, exc_info=True)
        return otherwise


def name_for_display(path: Path) -> str:
    """Return a file's name with a sign in place of what is not UTF-8 or cannot be printed."""
    return make_printable(path.name)


def make_printable(text: str) -> str:
    valid = make_valid(text)
    return valid if valid.isprintable() else "".join(sign if sign.isprintable() else "\ufffd" for sign in valid)


def make_valid(text: str) -> str:
    """Replace lone surrogates, which Python strings may hold and UTF-8, SQLite and the screen do not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _describe_damage(path: Path) -> BadInput:
    return BadInput(
        f"{name_for_display(path)} is damaged, or its extension is wrong.", "Download or save it again, or remove it."
    )
