"""Recipes inside files: how each format carries one, and how it is read again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studio.core.errors import BadInput
from studio.core.recipe import Recipe
from studio.library.creation import MODEL_FILE
from studio.library.foreign import a1111
from studio.library.foreign.metadata import Foreign, read_foreign
from studio.library.formats import detection, exif, gif, markdown, mp4, png, xmp
from studio.library.storage import sidecar

__all__ = ["Foreign", "Marks", "marks", "png_chunks", "read_foreign", "read_recipe"]

KEY = "studio_recipe"
MAX_RECIPE = 32 * 2**20
_SEGMENT = 65_533
"""Bytes that a JPEG segment holds after its length."""


@dataclass(frozen=True)
class Marks:
    """What goes into a JPEG, WebP, AVIF or GIF. `whole` is False where the recipe found no room."""

    exif: bytes
    xmp: bytes
    whole: bool


def png_chunks(recipe: Recipe, size: tuple[int, int]) -> list[tuple[bytes, bytes]]:
    """The text chunks that stand before a PNG's pixels."""
    return [
        png.international_chunk(KEY, recipe.to_json()),
        png.text_chunk("parameters", a1111.write(recipe, size)),
        png.international_chunk(png.XMP_KEY, xmp.packet().decode()),
    ]


def marks(recipe: Recipe, size: tuple[int, int], *, jpeg: bool = False) -> Marks:
    """EXIF with the parameters and XMP with label and recipe; for a JPEG each within its 64 KB."""
    room = _SEGMENT if jpeg else MAX_RECIPE
    comment = exif.compose(a1111.write(recipe, size))
    packet = xmp.packet(recipe.to_json())
    whole = len(packet) + len(b"http://ns.adobe.com/xap/1.0/\0") <= room
    return Marks(comment if len(comment) <= room else b"", packet if whole else xmp.packet(), whole)


def read_recipe(path: Path) -> Recipe | None:
    """The recipe inside or beside a file, or in a model's folder; None where there is none of ours.

    Raises BadInput when the file is missing, or when its recipe is garbled or of a newer studio.
    """
    path = Path(path)
    try:
        text = _inside(path)
    except FileNotFoundError as error:
        raise BadInput(f"There is no file {path}.", "Check the path.") from error
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {error.strerror or error}.") from error
    if text:
        return Recipe.from_json(text) if len(text) <= MAX_RECIPE else None
    return sidecar.read(path).read_recipe()


def _inside(path: Path) -> str:
    match detection.sniff(path):
        case "folder":
            return _of_model(path)
        case "png":
            return png.texts(path).get(KEY, "")
        case "gif":
            return xmp.recipe_json(gif.read(path).xmp)
        case "mp4":
            comment = mp4.read(path).comment
            return comment if comment.startswith("{") and '"tool"' in comment else ""
        case "text":
            return markdown.front_matter(path).get(KEY, "")
        case "jpeg" | "webp" | "avif":
            return xmp.recipe_json(exif.read(path).xmp)
        case _:
            return ""


def _of_model(folder: Path) -> str:
    import msgspec

    try:
        file = folder / MODEL_FILE
        if file.stat().st_size > MAX_RECIPE:
            return ""
        content = msgspec.json.decode(file.read_bytes(), type=dict[str, msgspec.Raw])
    except (OSError, msgspec.MsgspecError, UnicodeError):
        return ""
    return bytes(content.get("recipe", msgspec.Raw(b""))).decode("utf-8", "replace").removeprefix("null")
