"""A creation: a finished result, as the library knows it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from msgspec import Struct

from studio.core.recipe import Recipe

MODEL_FILE = "studio.json"
"""In a model's folder: what it is, and the recipe it was trained by."""
_TILE_IMAGES = ("preview.png", "preview.jpg", "preview.webp")


class CreationKind(Enum):
    IMAGE = "image"
    ANIMATION = "animation"
    TEXT = "text"
    MODEL = "model"
    FILE = "file"
    """Anything else that a recipe reads, such as a sound. Kept for its lineage, not shown in the history."""


class Creation(Struct, frozen=True, kw_only=True):
    """`id` is the SHA-256 (hex) of the file's bytes, so that lineage is by content.

    For a trained model, a folder, it is the digest over its files' names and digests.
    `recipe` is None for a picture that was imported and carries none of ours; `tool` is
    then ``import``. `duration` in seconds. A `missing` creation has a row but no file.
    """

    id: str
    path: str
    kind: CreationKind
    tool: str
    title: str = ""
    """The prompt, the text's first line, the model's title, or the imported file's name."""
    recipe: Recipe | None = None
    width: int = 0
    height: int = 0
    duration: float = 0.0
    size: int = 0
    created: str = ""
    star: bool = False
    rating: int = 0
    tags: tuple[str, ...] = ()
    trashed: bool = False
    missing: bool = False
    model_kind: str = ""
    """For a model: what `ModelChoice` fields ask for."""


def find_tile_image(model: Path) -> Path | None:
    """The picture in a model's folder that shows what it makes."""
    return next((path for name in _TILE_IMAGES if (path := model / name).is_file()), None)
