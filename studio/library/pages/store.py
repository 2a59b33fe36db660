"""Pages of text on disk: a journal that is only appended to, and now and then a snapshot.

``pages/PAGE/page.json`` is the page whole, and names the journal that follows it; ``journal-N.jsonl`` holds
the moves since, one JSON line each. A line that was cut short by a kill was never acknowledged and is left out.
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
from studio.core.page.edits import Move, Stored
from studio.core.page.revisions import Manuscript

SNAPSHOT = "page.json"
LONG = 1 << 19
"""Bytes of a journal after which a snapshot is due."""
FORMAT = 1

_encode = msgspec.json.Encoder().encode
_move = msgspec.json.Decoder(Move)


class _Snapshot(Struct):
    journal: int
    page: Stored


class PageInfo(Struct, frozen=True):
    """`opening` are its first words; `changed` seconds since the epoch."""

    id: str
    opening: str
    changed: float


class PageFile:
    """One page on disk. Calls may come from any thread, one after the other."""

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
        return self._length > LONG

    @property
    def has_journal(self) -> bool:
        """Whether there is more than the snapshot says, as far as it was loaded or appended here."""
        return self._length > 0 or bool(self._unwritten)

    def touch(self) -> None:
        """It is the one that was open last."""
        with suppress(OSError):
            os.utime(self.folder)

    def load(self) -> Manuscript:
        """The page as it was last acknowledged. Raises BadInput for one that a newer studio wrote."""
        with self._lock:
            page = self._read_snapshot()
            journal = self._journal
            try:
                content = journal.read_bytes()
            except FileNotFoundError:
                content = b""
            except OSError as error:
                raise BadInput(f"The page cannot be read: {error.strerror or error}.") from error
            whole = content[: content.rfind(b"\n") + 1]
            for line in whole.splitlines():
                _apply(page, line)
            self._length = len(whole)
            return page

    def append(self, moves: Sequence[Move]) -> None:
        """On the disk when it returns. Raises CannotWrite; then it is written before what is appended next."""
        with self._lock:
            self._unwritten += b"".join(_encode(move) + b"\n" for move in moves)
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

    def snapshot(self, page: Stored) -> None:
        """Writes the page whole; the journal begins anew. `page` holds all that was appended."""
        with self._lock:
            write_bytes_atomically(self.folder / SNAPSHOT, _encode(_Snapshot(self._number + 1, page)))
            old = self._journal
            self._number += 1
            self._length = 0
            self._unwritten = b""
            old.unlink(missing_ok=True)

    @property
    def _journal(self) -> Path:
        return self.folder / f"journal-{self._number}.jsonl"

    def _read_snapshot(self) -> Manuscript:
        path = self.folder / SNAPSHOT
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_Snapshot)
        except FileNotFoundError:
            self._number = 0
            return Manuscript()
        except (OSError, msgspec.MsgspecError, UnicodeError) as error:
            raise BadInput(f"The page in {self.folder.name} cannot be read.", "Its file is left as it is.") from error
        if found.page.format > FORMAT:
            raise BadInput("This page was written by a newer studio.", "Update the studio to open it.")
        self._number = found.journal
        return Manuscript(found.page)


class PageShelf:
    """All pages of a home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self) -> PageFile:
        """Nothing is on the disk until something is written."""
        return PageFile(self.folder / f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(3)}")

    def page(self, id: str) -> PageFile:
        return PageFile(self.folder / Path(id).name)

    def newest(self) -> PageFile | None:
        """The page that was written on last."""
        found = self._folders()
        return PageFile(max(found, key=_changed)) if found else None

    def pages(self) -> list[PageInfo]:
        """Newest first. One that cannot be read is listed too."""
        listed = []
        for folder in sorted(self._folders(), key=_changed, reverse=True):
            try:
                words = PageFile(folder).load().text.strip()
            except BadInput as error:
                words = str(error)
            listed.append(PageInfo(folder.name, words.partition("\n")[0][:80], _changed(folder)))
        return listed

    def _folders(self) -> list[Path]:
        try:
            return [one for one in self.folder.iterdir() if one.is_dir() and any(one.iterdir())]
        except FileNotFoundError:
            return []


def _apply(page: Manuscript, line: bytes) -> None:
    """A damaged line is passed over, and with it what builds on it; the rest of the page stays."""
    try:
        page.apply(_move.decode(line))
    except (msgspec.MsgspecError, UnicodeError):
        return


def _changed(folder: Path) -> float:
    times = [0.0]
    for file in (folder, *folder.iterdir()):
        try:
            times.append(file.stat().st_mtime)
        except FileNotFoundError:
            continue
    return max(times)
