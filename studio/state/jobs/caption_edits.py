"""Captions of training images: those on disk, and proposed ones that are not saved yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from studio.core.data_report import CaptionSource, DataReport, Fault, count_noun
from studio.core.errors import CannotWrite, StudioError
from studio.core.files import describe_write_error, write_bytes_atomically
from studio.core.text_encoding import decode_text
from studio.core.untrusted_files import make_printable, read_file
from studio.state.notices import Notices
from studio.state.tasks import Tasks
from studio.state.undo_stack import UndoStack

MAX_CAPTION_BYTES = 2**20
UNWRITTEN = frozenset({CaptionSource.NONE, CaptionSource.FILE_NAME})
"""Sources of captions that nobody wrote as such."""


class CaptionEdits(QObject):
    """Changes of captions go into NAME.txt beside the images at once, proposals when they are saved. Both have undo."""

    changed = Signal()

    def __init__(self, undo: UndoStack, notices: Notices, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._undo, self._notices, self._tasks = undo, notices, tasks
        self.saved: dict[Path, str] = {}
        """Captions on disk, by image."""
        self.proposed: dict[Path, str] = {}
        """Captions that are not saved, by image."""
        self._sources: dict[Path, CaptionSource] = {}
        self._broken: set[Path] = set()
        """Images with a caption file that cannot be read."""

    def reset(self, report: DataReport | None) -> None:
        """Take the captions of a report, and keep the proposals for its images."""
        files = {
            Path(folder.path) / file.name: file
            for folder, file in (report.list_files() if report else ())
            if folder.has_captions and file.width
        }
        self.saved = {path: file.caption for path, file in files.items()}
        self._sources = {path: file.caption_source for path, file in files.items()}
        self._broken = {path for path, file in files.items() if Fault.BROKEN_CAPTION in file.faults}
        if report is not None:
            self.proposed = {path: text for path, text in self.proposed.items() if path in files}

    @property
    def captions(self) -> dict[Path, str]:
        """Captions as they would be with all proposals."""
        return {**self.saved, **self.proposed}

    def caption_of(self, path: Path) -> str:
        return self.proposed.get(path, self.saved.get(path, ""))

    def is_written(self, path: Path) -> bool:
        """Check whether somebody wrote the caption of an image: it is in a file, and is no file name."""
        if path in self._broken and not self.saved.get(path):
            return True
        return bool(self.saved.get(path)) and self._sources.get(path, CaptionSource.NONE) not in UNWRITTEN

    # Changes
    def write(self, captions: Mapping[Path, str]) -> None:
        """Write captions beside their images. Undo brings the earlier files and proposals back."""
        changes = {path: text.strip() for path, text in captions.items()}
        changes = {path: text for path, text in changes.items() if text != self.saved.get(path, "")}
        unchanged = [path for path in captions if path in self.proposed and path not in changes]
        if changes:
            count = len(changes)
            self._write(changes, "changing a caption" if count == 1 else f"changing {count:,} captions")
        self.discard(unchanged)

    def change(self, captions: Mapping[Path, str]) -> None:
        """Change many captions at once: proposals stay proposals, and others are written."""
        proposals = {path: text for path, text in captions.items() if path in self.proposed}
        if proposals:
            self._replace_proposals({**self.proposed, **proposals}, f"changing {_count(len(proposals))}")
        if written := {path: text for path, text in captions.items() if path not in proposals}:
            self.write(written)

    # Proposals
    def propose(self, path: Path, text: str) -> None:
        """Add a proposal. `note_proposals` makes those of one run undoable."""
        if path in self.saved and text != self.caption_of(path):
            self.proposed[path] = text
            self.changed.emit()

    def note_proposals(self, before: Mapping[Path, str], text: str) -> None:
        """Let Undo bring the proposals of `before` back."""
        if before != self.proposed:
            self._replace_proposals(self.proposed, text, before)

    def discard(self, paths: Collection[Path]) -> None:
        kept = {path: text for path, text in self.proposed.items() if path not in set(paths)}
        if count := len(self.proposed) - len(kept):
            self._replace_proposals(kept, f"discarding {_count(count)}")

    def save_proposed(self, *, replace_written: bool) -> None:
        """Write all proposals, or only those for images whose captions nobody wrote and discard the others."""
        changes = {path: text for path, text in self.proposed.items() if replace_written or not self.is_written(path)}
        self.discard(self.proposed.keys() - changes.keys())
        if changes:
            unwritten = {path for path in changes if not self.is_written(path)}
            self._write(changes, f"saving {_count(len(changes))}", unwritten)

    def _replace_proposals(
        self, after: Mapping[Path, str], text: str, before: Mapping[Path, str] | None = None
    ) -> None:
        earlier, later = dict(self.proposed if before is None else before), dict(after)

        def show(proposals: dict[Path, str]) -> None:
            self.proposed = dict(proposals)
            self.changed.emit()

        self._undo.do(text, lambda: show(later), lambda: show(earlier))

    # Files
    def _write(self, changes: dict[Path, str], text: str, unwritten: Collection[Path] = ()) -> None:
        """Write captions. A file that `unwritten` images have by now is kept: somebody wrote it meanwhile."""
        saved = {path: self.saved.get(path, "") for path in changes}
        sources = {path: self._sources.get(path, CaptionSource.NONE) for path in changes}
        proposed = {path: self.proposed[path] for path in changes if path in self.proposed}
        files = _CaptionFiles(changes, frozenset(unwritten))

        def write() -> None:
            self.saved.update(changes)
            self._sources.update(dict.fromkeys(changes, CaptionSource.TEXT_FILE))
            for path in changes:
                self.proposed.pop(path, None)
            self.changed.emit()
            self._tasks.run(files.write, lambda _: show_kept(), show_failure)

        def restore() -> None:
            self.saved.update(saved)
            self._sources.update(sources)
            self.proposed.update(proposed)
            self.changed.emit()
            self._tasks.run(files.restore, failed=self._notices.report)

        def show_kept() -> None:
            if files.kept:
                self.saved.update(files.kept)
                self.changed.emit()
                names = ", ".join(make_printable(path.with_suffix(".txt").name) for path in [*files.kept][:3])
                verb = "stays" if len(files.kept) == 1 else "stay"
                self._notices.info(f"{_count(len(files.kept))} written in another place meanwhile {verb}: {names}.")

        def show_failure(error: StudioError) -> None:
            """Keep as proposals what could not be written."""
            left = {path: text for path, text in changes.items() if path not in files.earlier.keys() | files.kept}
            self.saved.update({path: saved[path] for path in left})
            self._sources.update({path: sources[path] for path in left})
            self.proposed.update(left)
            self.changed.emit()
            self._notices.report(error)

        self._undo.do(text, write, restore)


@dataclass
class _CaptionFiles:
    """Writes captions into text files, and brings the earlier files back."""

    captions: Mapping[Path, str]
    unwritten: frozenset[Path]
    earlier: dict[Path, bytes | None] = field(default_factory=dict)
    """What the files of written captions contained before; None for a file that did not exist."""
    kept: dict[Path, str] = field(default_factory=dict)
    """Captions that were there already, of images in `unwritten`."""

    def write(self) -> None:
        """Write the captions in their order. Raises CannotWrite."""
        for path, text in self.captions.items():
            file = path.with_suffix(".txt")
            content = _read(file)
            if path in self.unwritten and path not in self.earlier and (words := _decode(content)):
                self.kept[path] = words
                continue
            write_bytes_atomically(file, f"{text}\n".encode() if text else b"")
            self.earlier.setdefault(path, content)

    def restore(self) -> None:
        for path, content in reversed(self.earlier.items()):
            file = path.with_suffix(".txt")
            if content is not None:
                write_bytes_atomically(file, content)
                continue
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise describe_write_error(file, error) from error


def _read(file: Path) -> bytes | None:
    try:
        return read_file(file, MAX_CAPTION_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CannotWrite(f"{file.name} cannot be replaced: {error.strerror or error}.") from error


def _decode(content: bytes | None) -> str:
    try:
        return " ".join(decode_text(content or b"").text.split())
    except UnicodeError:
        return "(unreadable)"


def _count(number: int) -> str:
    return count_noun(number, "caption")
