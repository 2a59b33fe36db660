"""The record of a training on disk: its measures, its previews, and the changes that the artist asks for.

The training's process appends to the record, and any other process may read it meanwhile. It lies beside the checkpoint
while the training runs, and in the folder `training` of the trained model afterwards.
"""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from studio.core.files import atomic_write, describe_write_error, write_bytes_atomically
from studio.core.untrusted_files import open_file, read_file, read_or_else

if TYPE_CHECKING:
    from PIL.Image import Image

FOLDER = "record"
"""Name of the record's folder beside a checkpoint."""
MODEL_FOLDER = "training"
"""Name of the record's folder in a trained model."""
MAX_PREVIEW_SIDE = 1024
"""Longer side in px to which the pictures of previews are scaled down."""
MAX_LINE = 1 << 16
"""Maximum number of bytes of a line that is read."""
MAX_BYTES = 64 << 20
"""Maximum number of bytes that are read at once. A training of a day writes about 10 MB."""

_MEASURES, _PREVIEWS, _CHANGES = "measures.jsonl", "previews.jsonl", "changes.json"
_MEASUREMENT = "measurement.json"
_PREVIEW_NAME = re.compile(r"preview-\d{7,12}\.webp")
_Row = TypeVar("_Row", "MeasurePoint", "PreviewEntry")


class MeasurePoint(Struct, frozen=True):
    """Values at a step. `seconds` is the time that the training has taken until then."""

    step: int
    seconds: float
    values: dict[str, float]
    """By name, such as "loss", "held-out loss" or "learning rate"."""


class PreviewEntry(Struct, frozen=True):
    """A preview at a step: a picture in the file `file` of the record, or a text."""

    step: int
    label: str = ""
    file: str = ""
    text: str = ""
    prompts: list[str] = []
    """Prompts of the parts of the picture, from left to right and top to bottom."""
    seed: int | None = None


class TrainingMeasurement(Struct, frozen=True):
    """What a training would take, measured from a few of its steps."""

    steps: int
    measured_steps: int
    seconds_per_step: float
    seconds_per_preview: float
    previews: int
    """Number of previews of the whole training."""
    seconds_measuring: float
    memory: int
    """Largest number of bytes in use; 0 if unknown."""
    disk: int
    """Bytes that the whole training writes."""
    steps_per_epoch: float | None = None

    @property
    def seconds(self) -> float:
        """Time of all steps and previews."""
        return self.steps * self.seconds_per_step + self.previews * self.seconds_per_preview


class TrainingChanges(Struct, frozen=True):
    """The artist's changes to a running training. None leaves a value as it is."""

    steps: int | None = None
    learning_rate: float | None = None
    prompts: list[str] | None = None
    """Prompts of the next previews."""
    finish: bool = False
    """Finish now and keep the model."""
    previews_requested: int = 0
    """Number of times that a preview was asked for."""
    models_requested: int = 0
    """Number of times that a copy of the model was asked for."""
    measure: bool = False
    """Measure some steps and end, without a model. It is set before the training begins."""


class ReadPosition(NamedTuple):
    """A place in a file that grows. `file` tells the file from those that had its name before."""

    file: int = 0
    offset: int = 0


class TrainingRecord:
    """The files of a record in `folder`, which need not exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # Measures
    def append_measures(self, point: MeasurePoint) -> None:
        """Append a point. Values that are not finite are left out. Raises CannotWrite."""
        finite = {name: value for name, value in point.values.items() if math.isfinite(value)}
        self._append(_MEASURES, msgspec.structs.replace(point, values=finite))

    def read_measures(self) -> list[MeasurePoint]:
        """Return all points."""
        return self.read_new_measures(ReadPosition())[0]

    def read_new_measures(self, position: ReadPosition) -> tuple[list[MeasurePoint], ReadPosition]:
        """Return the points after a position, and the position to read on from.

        After the training was resumed from an earlier step, all points are returned, and the new position has another
        `file` than the old one.
        """
        return self._read(_MEASURES, MeasurePoint, position)

    # Previews
    def add_picture(self, entry: PreviewEntry, picture: Image) -> None:
        """Save the picture of a preview as WebP, scaled down to `MAX_PREVIEW_SIDE`, and append its entry.

        Raises CannotWrite.
        """
        name = f"preview-{entry.step:07d}.webp"
        small = picture.convert("RGB")
        small.thumbnail((MAX_PREVIEW_SIDE, MAX_PREVIEW_SIDE))
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.folder / name) as temporary:
            small.save(temporary, "WEBP", quality=90)
        self._append(_PREVIEWS, msgspec.structs.replace(entry, file=name))

    def add_text(self, entry: PreviewEntry) -> None:
        """Append a preview that is a text. Raises CannotWrite."""
        self._append(_PREVIEWS, entry)

    def read_previews(self) -> list[PreviewEntry]:
        """Return the previews in the order of their steps; of several at one step, the last."""
        rows, _ = self._read(_PREVIEWS, PreviewEntry, ReadPosition())
        return [entry for _, entry in sorted({entry.step: entry for entry in rows}.items())]

    def preview_path(self, entry: PreviewEntry) -> Path | None:
        """Return the file of a preview's picture, None for a text or a name that leads out of the record."""
        is_own = _PREVIEW_NAME.fullmatch(entry.file) is not None
        return self.folder / entry.file if is_own else None

    # Changes
    def read_changes(self) -> TrainingChanges:
        """Return the changes that were asked for so far."""
        return read_or_else(TrainingChanges(), self._decode_changes)

    def write_changes(self, changes: TrainingChanges) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(self.folder / _CHANGES, msgspec.json.encode(changes))

    def write_measurement(self, measurement: TrainingMeasurement) -> None:
        """Write what a measuring run found. Raises CannotWrite."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(self.folder / _MEASUREMENT, msgspec.json.encode(measurement))

    def read_measurement(self) -> TrainingMeasurement | None:
        """Return what a measuring run found, None if there is nothing."""
        path = self.folder / _MEASUREMENT
        return read_or_else(None, lambda: msgspec.json.decode(read_file(path), type=TrainingMeasurement))

    def changes_stamp(self) -> int:
        """Return a number that differs after each `write_changes`; 0 if there are no changes."""
        try:
            return (self.folder / _CHANGES).stat().st_mtime_ns
        except OSError:
            return 0

    # All
    def truncate(self, step: int) -> None:
        """Remove what was recorded after a step, before a training resumes from there."""
        self._truncate(_MEASURES, MeasurePoint, step)
        self._truncate(_PREVIEWS, PreviewEntry, step)
        for path in self._list_pictures():
            if int(path.stem.removeprefix("preview-")) > step:
                path.unlink(missing_ok=True)

    def copy_to(self, folder: Path) -> None:
        """Copy the measures and previews to another folder. Raises CannotWrite."""
        names = [_MEASURES, _PREVIEWS, *(path.name for path in self._list_pictures())]
        for name in names:
            if (self.folder / name).is_file():
                folder.mkdir(parents=True, exist_ok=True)
                with atomic_write(folder / name) as temporary:
                    shutil.copyfile(self.folder / name, temporary)

    def exists(self) -> bool:
        return (self.folder / _MEASURES).is_file()

    def _list_pictures(self) -> Iterator[Path]:
        return (path for path in self.folder.glob("preview-*.webp") if _PREVIEW_NAME.fullmatch(path.name))

    def _decode_changes(self) -> TrainingChanges:
        path = self.folder / _CHANGES
        return msgspec.json.decode(read_file(path), type=TrainingChanges) if path.exists() else TrainingChanges()

    def _truncate(self, name: str, kind: type[_Row], step: int) -> None:
        rows, _ = self._read(name, kind, ReadPosition())
        kept = [row for row in rows if row.step <= step]
        if len(kept) < len(rows):
            write_bytes_atomically(self.folder / name, b"".join(map(_encode_line, kept)))

    def _append(self, name: str, row: Struct) -> None:
        path = self.folder / name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                if file.tell() and not _ends_with_newline(path):
                    file.write(b"\n")  # after a line that a kill or a full disk cut off
                file.write(_encode_line(row))
        except OSError as error:
            raise describe_write_error(path, error) from error

    def _read(self, name: str, kind: type[_Row], position: ReadPosition) -> tuple[list[_Row], ReadPosition]:
        try:
            with open_file(self.folder / name) as file:
                status = os.fstat(file.fileno())
                is_same = status.st_ino == position.file and status.st_size >= position.offset
                offset = position.offset if is_same else 0
                file.seek(offset)
                content = file.read(MAX_BYTES)
        except OSError:
            return [], ReadPosition()
        end = content.rfind(b"\n") + 1
        lines = content[:end].split(b"\n")[:-1]
        rows = (read_or_else(None, msgspec.json.decode, line, type=kind) for line in lines if len(line) <= MAX_LINE)
        return [row for row in rows if row is not None], ReadPosition(status.st_ino, offset + end)


def of_model(path: Path) -> TrainingRecord:
    """Return the record of a trained model, by the path of its folder or weights file."""
    return TrainingRecord((path if path.is_dir() else path.parent) / MODEL_FOLDER)


def _encode_line(row: Struct) -> bytes:
    return msgspec.json.encode(row) + b"\n"


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
