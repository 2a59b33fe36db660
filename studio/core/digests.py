"""SHA-256 digests of files. The bytes of a file are read once, as long as the file does not change."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import TypeAlias

from studio.core.untrusted_files import open_file

LIMIT = 10_000
"""Number of digests remembered in this process."""
SETTLED_NS = 2_000_000_000
"""A file that changed less than this ago is not remembered: it may change again within one step of the file
system's clock, which is 2 s on FAT."""

_Stamp: TypeAlias = tuple[int, int, int, int, int]
_digests: OrderedDict[_Stamp, str] = OrderedDict()
_lock = threading.Lock()


def sha256(path: Path) -> str:
    """Return the hex digest of a file's bytes. Raises OSError where it cannot be read."""
    with open_file(path) as file:
        state = os.fstat(file.fileno())
        with _lock:
            known = _digests.get(_stamp_of(state))
        if known is not None:
            return known
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        settled = time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > SETTLED_NS
        if settled and _stamp_of(os.fstat(file.fileno())) == _stamp_of(state):
            _store(state, digest)
        return digest


def remember(path: Path, digest: str) -> None:
    """Note the digest of a file that this process has just written. Raises OSError where there is no such file."""
    _store(path.stat(), digest)


def copy(source: Path, target: Path) -> str:
    """Copy a file's bytes and return the hex digest of what was copied. Raises OSError."""
    hashing = hashlib.sha256()
    with open_file(source) as reader, target.open("wb") as writer:
        while chunk := reader.read(1 << 20):
            hashing.update(chunk)
            writer.write(chunk)
    return hashing.hexdigest()


def _store(state: os.stat_result, digest: str) -> None:
    with _lock:
        _digests[_stamp_of(state)] = digest
        while len(_digests) > LIMIT:
            _digests.popitem(last=False)


def _stamp_of(state: os.stat_result) -> _Stamp:
    """Without the path, so that files in a folder that was moved are still known."""
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
