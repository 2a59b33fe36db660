"""Pages of text on disk: an append-only journal, and from time to time a snapshot.

``pages/PAGE/page.json`` is a snapshot of the whole page and contains the number N of its journal;
``journal-N.jsonl`` holds the edits since then, one JSON line each. A line that a kill cut short was never
acknowledged and is ignored.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from studio.core.errors import BadInput
from studio.core.files import describe_write_error, sync_folder, write_bytes_atomically
from studio.core.page.edits import Edit, StoredPage
from studio.core.page.revisions import RevisionTree
from studio.core.untrusted_files import read_file

SNAPSHOT = "page.json"
MAX_BYTES = 1 << 29
MAX_JOURNAL = 1 << 19
"""Size of a journal, in bytes, above which a snapshot should be written."""
FORMAT = 1

_encode_json = msgspec.json.Encoder().encode
_edit_decoder = msgspec.json.Decoder(Edit)


class _Snapshot(Struct):
    journal: int
    page: StoredPage


class PageInfo(Struct, frozen=True):
    """A page in the list of pages. `opening` is its first line; `changed` is in seconds since 1970."""

    id: str
    opening: str
    changed: float


class PageFile:
    """One page on disk. Any thread may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._number = 0
        self._length = 0
        self._unwritten = b""

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def is_long(self) -> bool:
        """Check whether the journal is long enough for a snapshot."""
        return self._length > MAX_JOURNAL

    @property
    def has_journal(self) -> bool:
        """Check whether edits were loaded or appended since the snapshot."""
        return self._length > 0 or bool(self._unwritten)

    def touch(self) -> None:
        """Mark the page as the one that was open last."""
        with suppress(OSError):
            os.utime(self.folder)

    def load(self) -> RevisionTree:
        """Load the last acknowledged state. Raises BadInput if a newer studio wrote the page."""
        with self._lock:
            page = self._read_snapshot()
            journal = self._journal
            try:
                content = read_file(journal, MAX_BYTES)
            except FileNotFoundError:
                content = b""
            except OSError as error:
                raise BadInput(f"The page cannot be read: {error.strerror or error}.") from error
            complete = content[: content.rfind(b"\n") + 1]
            for line in complete.splitlines():
                _apply_line(page, line)
            self._length = len(complete)
            return page

    def append(self, moves: Sequence[Edit]) -> None:
        """Append edits and sync them to disk. Raises CannotWrite; the next call then writes these edits first."""
        with self._lock:
            self._unwritten += b"".join(_encode_json(move) + b"\n" for move in moves)
            journal = self._journal
            try:
                new = not journal.exists()
                self.folder.mkdir(parents=True, exist_ok=True)
                with journal.open("ab") as file:
                    file.truncate(self._length)
                    file.write(self._unwritten)
                    file.flush()
                    os.fsync(file.fileno())
                if new:
                    sync_folder(self.folder)
            except OSError as error:
                raise describe_write_error(journal, error) from error
            self._length += len(self._unwritten)
            self._unwritten = b""

    def snapshot(self, page: StoredPage) -> None:
        """Write a snapshot and start a new journal. `page` must contain all appended edits."""
        with self._lock:
            write_bytes_atomically(self.folder / SNAPSHOT, _encode_json(_Snapshot(self._number + 1, page)))
            old = self._journal
            self._number += 1
            self._length = 0
            self._unwritten = b""
            old.unlink(missing_ok=True)

    @property
    def _journal(self) -> Path:
        return self.folder / f"journal-{self._number}.jsonl"

    def _read_snapshot(self) -> RevisionTree:
        path = self.folder / SNAPSHOT
        try:
            snapshot = msgspec.json.decode(read_file(path, MAX_BYTES), type=_Snapshot)
        except FileNotFoundError:
            self._number = 0
            return RevisionTree()
        except Exception as error:
            raise BadInput(f"The page in {self.folder.name} cannot be read.", "Its file was not changed.") from error
        if snapshot.page.format > FORMAT:
            raise BadInput("This page was written by a newer version of the studio.", "Update the studio to open it.")
        self._number = snapshot.journal
        return RevisionTree(snapshot.page)


class PageStore:
    """All pages of a home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self) -> PageFile:
        """Return a new page. Its folder is created with the first edit."""
        return PageFile(self.folder / f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(3)}")

    def get(self, id: str) -> PageFile:
        return PageFile(self.folder / Path(id).name)

    def find_newest(self) -> PageFile | None:
        """Return the page that was changed last, or None if there is no page."""
        folders = self._list_folders()
        return PageFile(max(folders, key=_modification_time)) if folders else None

    def list_pages(self) -> list[PageInfo]:
        """List the pages, newest first. A page that cannot be read shows the reason as its opening."""
        pages = []
        for folder in sorted(self._list_folders(), key=_modification_time, reverse=True):
            try:
                text = PageFile(folder).load().text.strip()
            except BadInput as error:
                text = str(error)
            pages.append(PageInfo(folder.name, text.partition("\n")[0][:80], _modification_time(folder)))
        return pages

    def _list_folders(self) -> list[Path]:
        try:
            return [path for path in self.folder.iterdir() if path.is_dir() and any(path.iterdir())]
        except FileNotFoundError:
            return []


def _apply_line(page: RevisionTree, line: bytes) -> None:
    """Apply one line of a journal. Damaged lines, and edits that depend on them, are skipped."""
    try:
        page.apply(_edit_decoder.decode(line))
    except Exception:
        return


def _modification_time(folder: Path) -> float:
    times = [0.0]
    for file in (folder, *folder.iterdir()):
        try:
            times.append(file.stat().st_mtime)
        except FileNotFoundError:
            continue
    return max(times)
