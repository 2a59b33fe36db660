"""Recipes inside files: how each format carries one, and how it is read again."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import BadInput
from studio.core.recipe import Recipe
from studio.library import formats, gif, mp4, parameters, pixels, png, sidecar, texts, xmp
from studio.library.foreign import Foreign, read_foreign

__all__ = ["Foreign", "Marks", "animation_marks", "marks", "png_chunks", "read_foreign", "read_recipe"]

KEY = "studio_recipe"
MODEL_FILE = "studio.json"
"""In a model's folder: what it is, and the recipe it was trained by."""
MAX_RECIPE = 32 * 2**20
_SEGMENT = 65_533
"""Bytes that a JPEG segment holds after its length."""
_EXIF_IFD, _USER_COMMENT, _SOFTWARE = 0x8769, 0x9286, 0x0131


@dataclass(frozen=True)
class Marks:
    """What goes into a JPEG, WebP, AVIF or GIF. `whole` is False where the recipe found no room."""

    exif: bytes
    xmp: bytes
    whole: bool


def png_chunks(recipe: Recipe, size: tuple[int, int], *, colour: bool) -> list[tuple[bytes, bytes]]:
    """The chunks that stand before a PNG's pixels. A grey picture can hold no sRGB profile, and says so in a flag."""
    profile = png.profile_chunk(pixels.srgb()) if colour else (b"sRGB", b"\0")
    return [
        profile,
        png.international_chunk(KEY, recipe.to_json()),
        png.text_chunk("parameters", parameters.write(recipe, size)),
        png.international_chunk(png.XMP_KEY, xmp.packet().decode()),
    ]


def marks(recipe: Recipe, size: tuple[int, int], *, jpeg: bool = False) -> Marks:
    """EXIF with the parameters and XMP with label and recipe; for a JPEG each within its 64 KB."""
    room = _SEGMENT if jpeg else MAX_RECIPE
    exif = _exif(parameters.write(recipe, size))
    packet = xmp.packet(recipe.to_json())
    whole = len(packet) + len(b"http://ns.adobe.com/xap/1.0/\0") <= room
    return Marks(exif if len(exif) <= room else b"", packet if whole else xmp.packet(), whole)


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
    match formats.sniff(path):
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
            return texts.front_matter(path).get(KEY, "")
        case "jpeg" | "webp" | "avif":
            return xmp.recipe_json(xmp_of(path))
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


def xmp_of(path: Path) -> bytes:
    """The XMP packet of a picture as Pillow finds it; empty where there is none or the file is damaged."""
    found = pillow_info(path).get("xmp", b"")
    return found.encode() if isinstance(found, str) else bytes(found)


def pillow_info(path: Path) -> dict[Any, Any]:
    """What Pillow reads from a picture's header, with `exif_comment`, `exif_maker` and `exif_software` as text."""
    from PIL import Image as pil

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pil.open(path) as image:
                info = dict(image.info)
                exif = image.getexif()
                inner = exif.get_ifd(_EXIF_IFD)
    except (OSError, ValueError, SyntaxError, EOFError, TypeError, KeyError, IndexError, OverflowError, MemoryError):
        return {}
    info["exif_comment"] = comment_text(inner.get(_USER_COMMENT, b""))
    info["exif_maker"] = comment_text(inner.get(0x927C, b""))
    info["exif_software"] = str(exif.get(_SOFTWARE, ""))
    return info


def comment_text(value: object) -> str:
    """An EXIF user comment: eight bytes that name the encoding, then the text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        return ""
    if value.startswith(b"UNICODE\0"):
        body = value[8:]
        little = body[1::2].count(0) > body[0::2].count(0)
        return body.decode("utf-16-le" if little else "utf-16-be", "replace").lstrip("\ufeff").rstrip("\0")
    return value.removeprefix(b"ASCII\0\0\0").removeprefix(bytes(8)).decode("utf-8", "replace").rstrip("\0")


def _exif(text: str) -> bytes:
    from PIL import Image as pil

    exif = pil.Exif()
    exif[_SOFTWARE] = "Studio"
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"UNICODE\0" + text.encode("utf-16-be", "replace")
    return exif.tobytes()
