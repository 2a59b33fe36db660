"""The settings of the artist, stored in one JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from studio.core import edited_json


class Settings(Struct, frozen=True, kw_only=True):
    """All settings with their defaults. The field names are stored."""

    device: Annotated[str, Meta(min_length=1, max_length=100)] = "auto"
    """`auto`, or a torch device such as `cpu`, `cuda:0`, `mps`, `xpu`."""
    theme: Literal["dark", "light"] = "dark"
    image_format: Literal["png", "webp", "jpg", "jpeg", "avif"] = "png"
    animation_format: Literal["mp4", "webp", "gif", "apng", "png"] = "mp4"
    cancel_grace: Annotated[float, Meta(ge=0, le=3600)] = 2.0
    """Seconds after a cancel until a worker that does not react is killed."""
    hang_limit: Annotated[float, Meta(ge=1, le=86_400)] = 120.0
    """Seconds without a heartbeat after which a worker counts as hung."""
    idle_limit: Annotated[float, Meta(ge=0, le=86_400)] = 60.0
    """Seconds after which an idle training worker ends, to free its memory."""
    disabled_plugins: tuple[str, ...] = ()
    model_folders: tuple[str, ...] = ()
    """Model folders of other programs, which are read in place."""
    export_include: Literal["everything", "recipe", "nothing"] = "everything"
    """The last choice of what an export includes."""
    accepted_licences: tuple[str, ...] = ()
    """Keys of the accepted model licences (`LicenceTerms.key`)."""


def load(path: Path) -> Settings:
    """Load the settings. A value that cannot be used has its default."""
    return load_with_problems(path)[0]


def load_with_problems(path: Path) -> tuple[Settings, tuple[str, ...]]:
    """Load the settings, and return a sentence for each part of the file that cannot be used."""
    decoded = edited_json.decode_struct(Settings, edited_json.read(path), path.name)
    return Settings(**decoded.values), decoded.problems


def save(path: Path, settings: Settings) -> None:
    """Save the settings, with what a newer studio wrote beside them.

    The file as it was is kept beside it if parts of it could not be used, or if it has comments. Raises CannotWrite.
    """
    found = edited_json.read(path)
    decoded = edited_json.decode_struct(Settings, found, path.name)
    members = {**msgspec.to_builtins(settings), **decoded.unknown}
    edited_json.write(path, members, keep_copy=bool(decoded.problems or found.broken) or not found.is_strict)
