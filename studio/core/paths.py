"""Paths of the studio's home, its resources and the bundled plugins."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from studio.core.errors import BadInput

PACKAGE = Path(__file__).resolve().parents[1]


def _find_data_folder(name: str) -> Path:
    """Return a data folder: beside `studio/` in a checkout, inside it in a wheel."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def resources_folder() -> Path:
    return _find_data_folder("resources")


def bundled_plugins_folder() -> Path:
    return _find_data_folder("plugins")


def find_constraints() -> Path | None:
    """Return the file with the pins of all packages, which is in the checkout and in the wheel."""
    files = (PACKAGE / "constraints.txt", PACKAGE.parent / "constraints.txt")
    return next((file for file in files if file.is_file()), None)


@dataclass(frozen=True)
class Home:
    """The studio's home: `STUDIO_HOME`, or the platform's folder for user data."""

    root: Path
    index_folder: Path | None = None
    """Folder of the index, the thumbnails and the logs, where they cannot be in a home that is read-only."""

    @staticmethod
    def default() -> Home:
        """Return the home that `STUDIO_HOME` names, or the one in the user-data folder."""
        if folder := os.environ.get("STUDIO_HOME"):
            try:
                return Home(Path(folder).expanduser().absolute())
            except RuntimeError as error:
                raise BadInput(f"STUDIO_HOME names a user who does not exist: {folder}.", "Correct it.") from error
        import platformdirs

        return Home(Path(platformdirs.user_data_dir("Studio", appauthor=False)))

    @property
    def library(self) -> Path:
        return self.root / "library"

    @property
    def trash(self) -> Path:
        return self.library / "trash"

    @property
    def index(self) -> Path:
        return (self.index_folder or self.root) / "index.db"

    @property
    def thumbs(self) -> Path:
        return (self.index_folder or self.root) / "thumbs.db"

    @property
    def queue(self) -> Path:
        return self.root / "queue.db"

    @property
    def jobs(self) -> Path:
        """A folder for each unfinished job, with the state that survives a crash."""
        return self.root / "jobs"

    @property
    def resumable(self) -> Path:
        """A folder for each interrupted run of the command line, with its checkpoints."""
        return self.root / "resumable"

    @property
    def masks(self) -> Path:
        """Painted masks: a file for each version that a draft may return to."""
        return self.root / "masks"

    @property
    def pages(self) -> Path:
        """Pages of text: a folder for each, with journal and snapshot."""
        return self.root / "pages"

    @property
    def plugins(self) -> Path:
        return self.root / "plugins"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def consents(self) -> Path:
        """The list of consents to the use of faces."""
        return self.root / "consents.json"

    @property
    def settings(self) -> Path:
        return self.root / "settings.json"

    @property
    def descriptors(self) -> Path:
        return self.root / "descriptors.json"

    @property
    def rates(self) -> Path:
        """Measured throughput of tools on each device."""
        return self.root / "rates.json"

    @property
    def logs(self) -> Path:
        return (self.index_folder or self.root) / "logs"

    @property
    def is_read_only(self) -> bool:
        """True for a home that can be read and not written. It can be looked at."""
        return os.access(self.root, os.R_OK | os.X_OK) and not os.access(self.root, os.W_OK)

    def create_folders(self) -> None:
        """Create the missing folders of the home, unless it is read-only. Raises OSError."""
        if self.is_read_only:
            return
        for folder in (self.library, self.trash, self.jobs, self.plugins, self.models, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
