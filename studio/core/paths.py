"""Where things are: the studio's home, the resources and the bundled plugins."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def _beside_or_inside(name: str) -> Path:
    """In a checkout the folder stands beside `studio/`; in a wheel inside it."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def resources() -> Path:
    return _beside_or_inside("resources")


def bundled_plugins() -> Path:
    return _beside_or_inside("plugins")


@dataclass(frozen=True)
class Home:
    """The studio's home: `STUDIO_HOME`, or the platform's folder for user data."""

    root: Path

    @staticmethod
    def default() -> Home:
        if chosen := os.environ.get("STUDIO_HOME"):
            return Home(Path(chosen).expanduser().absolute())
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
        return self.root / "index.db"

    @property
    def thumbs(self) -> Path:
        return self.root / "thumbs.db"

    @property
    def queue(self) -> Path:
        return self.root / "queue.db"

    @property
    def jobs(self) -> Path:
        """One folder per unfinished job, for the state that it keeps across a kill."""
        return self.root / "jobs"

    @property
    def masks(self) -> Path:
        """Masks that were painted, one file for each version that a draft may come back to."""
        return self.root / "masks"

    @property
    def pages(self) -> Path:
        """Pages of text: a folder each, with its journal and snapshot."""
        return self.root / "pages"

    @property
    def plugins(self) -> Path:
        return self.root / "plugins"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def settings(self) -> Path:
        return self.root / "settings.json"

    @property
    def descriptors(self) -> Path:
        return self.root / "descriptors.json"

    @property
    def rates(self) -> Path:
        """How long a unit of a tool's work took on each device, as learnt from jobs."""
        return self.root / "rates.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def make(self) -> None:
        for folder in (self.library, self.trash, self.jobs, self.plugins, self.models, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
