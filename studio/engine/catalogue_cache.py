"""The catalogue of the last session, kept on disk so that the window is complete before the worker is up."""

from __future__ import annotations

from pathlib import Path

import msgspec

from studio.core.descriptor import Catalogue
from studio.core.files import write_bytes_atomically


def load(path: Path) -> Catalogue:
    """Return the stored catalogue, or an empty one where it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Catalogue)
    except (OSError, msgspec.MsgspecError, UnicodeError):
        return Catalogue()


def save(path: Path, catalogue: Catalogue) -> None:
    """Store a catalogue. Raises StudioError where it cannot be written."""
    write_bytes_atomically(path, msgspec.json.encode(catalogue))
