"""The destination of results that `--out` names, and their format."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from studio.cli.path_argument import parse_path
from studio.core.descriptor import ToolDescriptor
from studio.core.errors import BadInput
from studio.library.creation import Creation, CreationKind
from studio.library.library import Library

EXTENSIONS = {
    "image": ("png", "jpg", "jpeg", "webp", "avif"),
    "animation": ("mp4", "webp", "gif"),
    "text": ("md", "txt"),
    "model": (),
}


@dataclass
class Destination:
    """A `file`, or a `folder` in which files are named after tool and seed.

    With `--out FILE` the first result is held back until a second one comes or the jobs end, since several results are
    saved beside the file under names of their own.
    """

    library: Library
    folder: Path | None = None
    file: Path | None = None
    output: str = ""
    """Kind of creation to which the extension of `file` applies."""
    _first: Creation | None = field(default=None, init=False)
    _several: bool = field(default=False, init=False)

    @staticmethod
    def of(out: str | None, tool: ToolDescriptor, library: Library) -> Destination:
        """Parse `--out`, and check it before the job starts.

        Raises BadInput for a format that the tool's results cannot have, and for a folder that is not writable.
        """
        if out is None:
            return Destination(library)
        if not out.strip():
            raise BadInput("--out has no name.", "Write --out FILE or --out FOLDER.")
        path = parse_path(out).absolute()
        if path.exists() and not (path.is_dir() or path.is_file()):
            raise BadInput(f"{path} is a pipe or a device and no file.", "Choose another name.")
        if not path.suffix or out.endswith(("/", os.sep)) or path.is_dir():
            return Destination(library, folder=_create_writable_folder(path))
        known = EXTENSIONS.get(tool.output, ())
        if path.suffix[1:].lower() not in known:
            formats = ", ".join(known) or "a folder"
            raise BadInput(f"{tool.title} cannot be saved as {path.suffix}.", f"Choose {formats}.")
        return Destination(library, folder=_create_writable_folder(path.parent), file=path, output=tool.output)

    @property
    def format(self) -> str:
        """Extension of the file, or an empty string for the default format."""
        return self.file.suffix[1:].lower() if self.file else ""

    def add(self, creation: Creation, several: bool) -> list[tuple[Creation, Path]]:
        """Export a new result. Return the results that are in their final place now.

        `several` is True if more than one job runs. Raises StudioError if a file cannot be written.
        """
        if self.folder is None:
            return [(creation, Path(creation.path))]
        if self.file is None or several or self._several:
            return [(creation, self._export_numbered(creation))]
        if self._first is None:
            self._first = creation
            return []
        earlier, self._first, self._several = self._first, None, True
        return [(earlier, self._export_numbered(earlier)), (creation, self._export_numbered(creation))]

    def finish(self) -> list[tuple[Creation, Path]]:
        """Export the only result under the file name of `--out`."""
        if self._first is None or self.file is None:
            return []
        return [(self._first, self.library.export(self._first.id, self.file))]

    def _export_numbered(self, creation: Creation) -> Path:
        assert self.folder
        seed = creation.recipe.seed if creation.recipe else 0
        if creation.kind is CreationKind.MODEL:
            suffix = ""
        elif self.file and creation.kind.value == self.output:
            suffix = self.file.suffix
        else:
            suffix = Path(creation.path).suffix
        name = f"{creation.tool}-{seed}"
        path = self.folder / f"{name}{suffix}"
        number = 2
        while path.exists():
            path = self.folder / f"{name}-{number}{suffix}"
            number += 1
        return self.library.export(creation.id, path)


def _create_writable_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder} cannot be created: {error.strerror or error}.", "Choose another folder.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInput(f"{folder} is write-protected.", "Choose another folder.")
    return folder
