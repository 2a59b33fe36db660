"""The catalogue of the last session, kept on disk so that the window is complete before the worker is up."""

from __future__ import annotations

from pathlib import Path

import msgspec

from studio.core.descriptor import Catalogue
from studio.core.files import write_bytes_atomically
from studio.core.untrusted_files import read_file, read_or_else


def load(path: Path) -> Catalogue:
    """Return the stored catalogue, or an empty one where it cannot be read."""
    return read_or_else(Catalogue(), lambda: msgspec.json.decode(read_file(path), type=Catalogue))


def save(path: Path, catalogue: Catalogue) -> None:
    """Store a catalogue. Raises StudioError where it cannot be written."""
    write_bytes_atomically(path, msgspec.json.encode(catalogue))
