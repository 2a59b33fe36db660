"""A creation: a finished result, as the library knows it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from msgspec import Struct

from studio.core.recipe import Recipe
from studio.core.training_record import MODEL_FOLDER

MODEL_FILE = "studio.json"
"""File in a model's folder with its title, its kind, and the recipe that trained it."""
_TILE_IMAGES = ("preview.png", "preview.jpg", "preview.webp")


class CreationKind(Enum):
    """The type of a creation. The values are stored in the index and used in searches (`kind:image`)."""

    IMAGE = "image"
    ANIMATION = "animation"
    TEXT = "text"
    MODEL = "model"
    FILE = "file"
    """Any other file that a recipe reads, such as a sound. Kept for lineage and not shown in the history."""


class Creation(Struct, frozen=True, kw_only=True):
    """A row of the index.

    `id` is the SHA-256 (hex) of the file's bytes, so lineage follows content. The id of a trained model,
    which is a folder, is the digest of its files' names and digests. `recipe` is None for an imported file
    without a studio recipe; its `tool` is then ``import``. `duration` is in seconds. A `missing` creation
    has a row but no file.
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
    """Kind of a trained model, as `ModelChoice` fields name it. Empty for everything else."""


def find_tile_image(model: Path) -> Path | None:
    """Return the example image in a model's folder, which its tile shows, or the last preview of its training."""
    own = next((path for name in _TILE_IMAGES if (path := model / name).is_file()), None)
    previews = (path for path in (model / MODEL_FOLDER).glob("preview-*.webp") if path.is_file())
    return own or max(previews, key=lambda path: (len(path.name), path.name), default=None)
