"""Where `--out` puts results, and in which format."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

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
    """`file` is named by the artist; in a folder files are named after tool and seed.

    Which of the two holds for `--out FILE` is known only when a second result comes, or none.
    """

    library: Library
    folder: Path | None = None
    file: Path | None = None
    output: str = ""
    """The kind of result that the extension of `file` is meant for."""
    _first: Creation | None = field(default=None, init=False)
    _several: bool = field(default=False, init=False)

    @staticmethod
    def of(out: str | None, tool: ToolDescriptor, library: Library) -> Destination:
        """Raises BadInput for a format that the tool's results cannot have, and for a folder
        that cannot be written, before anything is made."""
        if out is None:
            return Destination(library)
        path = Path(out).expanduser().absolute()
        if not path.suffix or out.endswith(("/", os.sep)) or path.is_dir():
            return Destination(library, folder=_writable(path))
        known = EXTENSIONS.get(tool.output, ())
        if path.suffix[1:].lower() not in known:
            kinds = ", ".join(known) or "a folder"
            raise BadInput(f"{tool.title} cannot be saved as {path.suffix}.", f"Choose {kinds}.")
        return Destination(library, folder=_writable(path.parent), file=path, output=tool.output)

    @property
    def format(self) -> str:
        """The extension wanted, or an empty string for the usual one."""
        return self.file.suffix[1:].lower() if self.file else ""

    def take(self, creation: Creation, several: bool) -> list[tuple[Creation, Path]]:
        """What can be said to lie where, now that this result is in the library.

        `several` when more than one job runs. Raises StudioError where it cannot be written.
        """
        if self.folder is None:
            return [(creation, Path(creation.path))]
        if self.file is None or several or self._several:
            return [(creation, self._named(creation))]
        if self._first is None:
            self._first = creation
            return []
        earlier, self._first, self._several = self._first, None, True
        return [(earlier, self._named(earlier)), (creation, self._named(creation))]

    def finish(self) -> list[tuple[Creation, Path]]:
        """The only result of a job, under the name that the artist gave."""
        if self._first is None or self.file is None:
            return []
        return [(self._first, self.library.export(self._first.id, self.file))]

    def _named(self, creation: Creation) -> Path:
        assert self.folder
        seed = creation.recipe.seed if creation.recipe else 0
        if creation.kind is CreationKind.MODEL:
            wanted = ""
        elif self.file and creation.kind.value == self.output:
            wanted = self.file.suffix
        else:
            wanted = Path(creation.path).suffix
        name = f"{creation.tool}-{seed}"
        path = self.folder / f"{name}{wanted}"
        number = 2
        while path.exists():
            path = self.folder / f"{name}-{number}{wanted}"
            number += 1
        return self.library.export(creation.id, path)


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder} cannot be made: {error.strerror or error}.", "Choose another folder.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInput(f"{folder} is write-protected.", "Choose another folder.")
    return folder
