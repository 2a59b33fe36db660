"""Embeds recipes in files and reads them, for each format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from studio.core.recipe import Recipe
from studio.core.untrusted_files import damage_as_bad_input, read_file, read_or_else
from studio.library.creation import MODEL_FILE
from studio.library.foreign import a1111
from studio.library.formats import detection, exif, gif, markdown, mp4, png, xmp
from studio.library.storage import sidecar

KEY = "studio_recipe"
MAX_RECIPE = 8 * 2**20
SOURCE_TYPE_NOTE = "digital_source_type"
SOURCE_TYPES = (
    "trainedAlgorithmicMedia",
    "compositeWithTrainedAlgorithmicMedia",
    "composite",
    "compositeCapture",
    "compositeSynthetic",
    "algorithmicallyEnhanced",
    "algorithmicMedia",
)
"""Names of IPTC digital source types that a tool may choose."""
_MAX_SEGMENT = 65_533
"""Maximum bytes in a JPEG segment after its length field."""


@dataclass(frozen=True)
class EmbeddedMetadata:
    """EXIF and XMP for a JPEG, WebP, AVIF or GIF. `whole` is False if the recipe does not fit."""

    exif: bytes
    xmp: bytes
    whole: bool


def choose_source_label(recipe: Recipe) -> str:
    """Return the IPTC digital source type of a result, which its tool may set in the note `digital_source_type`."""
    name = recipe.notes.get(SOURCE_TYPE_NOTE)
    return f"{xmp.SOURCE_TYPES}{name}" if name in SOURCE_TYPES else xmp.MADE_BY_MODEL


def build_xmp(recipe: Recipe) -> bytes:
    """Build the XMP packet of a result, with its recipe."""
    return xmp.build_packet(recipe.to_json(), choose_source_label(recipe))


def build_png_chunks(recipe: Recipe, size: tuple[int, int]) -> list[tuple[bytes, bytes]]:
    """Build the text chunks of a PNG: recipe, parameters and XMP."""
    return [
        png.build_itxt_chunk(KEY, recipe.to_json()),
        png.build_text_chunk("parameters", a1111.format_recipe(recipe, size)),
        png.build_itxt_chunk(png.XMP_KEY, xmp.build_packet(label=choose_source_label(recipe)).decode()),
    ]


def build_metadata(recipe: Recipe, size: tuple[int, int], *, jpeg: bool = False) -> EmbeddedMetadata:
    """Build EXIF with the parameters and XMP with label and recipe, each at most 64 KB for a JPEG."""
    max_bytes = _MAX_SEGMENT if jpeg else MAX_RECIPE
    comment = exif.build_exif(a1111.format_recipe(recipe, size))
    packet, label_only = build_xmp(recipe), xmp.build_packet(label=choose_source_label(recipe))
    whole = len(packet) + len(b"http://ns.adobe.com/xap/1.0/\0") <= max_bytes
    return EmbeddedMetadata(comment if len(comment) <= max_bytes else b"", packet if whole else label_only, whole)


def read_recipe(path: Path) -> Recipe | None:
    """Read the recipe in a file, its sidecar or a model's folder. Return None if there is none.

    Raises BadInput if the file is missing, or if its recipe is damaged or from a newer studio.
    """
    path = Path(path)
    with damage_as_bad_input(path):
        text = _read_embedded(path)
    if text:
        return Recipe.from_json(text) if len(text) <= MAX_RECIPE else None
    return sidecar.read(path).read_recipe()


def _read_embedded(path: Path) -> str:
    match detection.detect_format(path):
        case "folder":
            return _read_from_model(path)
        case "png":
            return png.read_texts(path).get(KEY, "")
        case "gif":
            return xmp.read_recipe_json(gif.read(path).xmp)
        case "mp4":
            comment = mp4.read(path).comment
            return comment if comment.startswith("{") and '"tool"' in comment else ""
        case "text":
            return markdown.read_front_matter(path).get(KEY, "")
        case "jpeg" | "webp" | "avif":
            return xmp.read_recipe_json(exif.read(path).xmp)
        case _:
            return ""


def _read_from_model(folder: Path) -> str:
    file = folder / MODEL_FILE
    nothing = dict[str, msgspec.Raw]()
    content = read_or_else(
        nothing, lambda: msgspec.json.decode(read_file(file, MAX_RECIPE), type=dict[str, msgspec.Raw])
    )
    return bytes(content.get("recipe", msgspec.Raw(b""))).decode("utf-8", "replace").removeprefix("null")
