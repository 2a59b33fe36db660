"""What the artist chose, kept in one JSON file."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from studio.core.files import write_bytes_atomically


class Settings(Struct, frozen=True, kw_only=True):
    device: str = "auto"
    """`auto`, or a torch device such as `cpu`, `cuda:0`, `mps`, `xpu`."""
    theme: str = "dark"
    image_format: str = "png"
    animation_format: str = "mp4"
    cancel_grace: float = 2.0
    """Seconds between a soft cancel and the end of a worker that does not react."""
    hang_limit: float = 120.0
    """Seconds without a heartbeat after which a worker counts as hung."""
    idle_limit: float = 60.0
    """Seconds after which a training worker without work ends, to give its memory back."""
    disabled_plugins: tuple[str, ...] = ()
    model_folders: tuple[str, ...] = ()
    """Folders of models that other programs have; they are read where they lie."""
    accepted_licences: tuple[str, ...] = ()
    """What the artist was told about the models that were used (`library.licences`)."""


def load(path: Path) -> Settings:
    """The settings in a file; the defaults where there is none or it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except (OSError, msgspec.MsgspecError, UnicodeError):
        return Settings()


def save(path: Path, settings: Settings) -> None:
    write_bytes_atomically(path, msgspec.json.format(msgspec.json.encode(settings), indent=2))
