"""The settings of the artist, stored in one JSON file."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from studio.core.files import write_bytes_atomically
from studio.core.untrusted_files import read_file, read_or_else


class Settings(Struct, frozen=True, kw_only=True):
    """All settings with their defaults. The field names are stored."""

    device: str = "auto"
    """`auto`, or a torch device such as `cpu`, `cuda:0`, `mps`, `xpu`."""
    theme: str = "dark"
    image_format: str = "png"
    animation_format: str = "mp4"
    cancel_grace: float = 2.0
    """Seconds after a cancel until a worker that does not react is killed."""
    hang_limit: float = 120.0
    """Seconds without a heartbeat after which a worker counts as hung."""
    idle_limit: float = 60.0
    """Seconds after which an idle training worker ends, to free its memory."""
    disabled_plugins: tuple[str, ...] = ()
    model_folders: tuple[str, ...] = ()
    """Model folders of other programs, which are read in place."""
    accepted_licences: tuple[str, ...] = ()
    """Keys of the accepted model licences (`LicenceTerms.key`)."""


def load(path: Path) -> Settings:
    """Load the settings. Returns the defaults if the file is missing or cannot be read."""
    return read_or_else(Settings(), lambda: msgspec.json.decode(read_file(path), type=Settings))


def save(path: Path, settings: Settings) -> None:
    """Save the settings. Raises CannotWrite."""
    write_bytes_atomically(path, msgspec.json.format(msgspec.json.encode(settings), indent=2))
