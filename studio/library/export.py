"""Copies of creations elsewhere, converted where another extension is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studio.core import files
from studio.core.errors import BadInput
from studio.core.pictures import open_picture
from studio.library import sidecar, texts, writer
from studio.library.creation import Creation, Kind


def export(creation: Creation, to: Path) -> Path:
    """See `Library.export`."""
    raise NotImplementedError
