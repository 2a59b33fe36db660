"""What other tools wrote into their files, in our words.

Foreign metadata is data: read within limits, never evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from studio.library.foreign import dialects, stealth_png
from studio.library.formats import detection, exif, gif, matroska, mp4, png, xmp

MAX_TEXT = 16 * 2**20


class Foreign(Struct, frozen=True, kw_only=True):
    """`source` is the tool that wrote it. What it did not say, or not sensibly, is None or empty.

    `raw` holds what was found, as it was found: texts by their name in the file.
    """

    source: str
    prompt: str = ""
    negative_prompt: str = ""
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    width: int | None = None
    height: int | None = None
    sampler: str = ""
    model: str = ""
    strength: float | None = None
    raw: dict[str, Any] = {}


def read_foreign(path: Path, *, hidden: bool = True) -> Foreign | None:
    """What another tool wrote into a picture or film; None where there is nothing that is known.

    `hidden` also looks into the pixels, where NovelAI keeps a copy; that decodes the picture.
    Never raises for what a file contains.
    """
    try:
        format = detection.sniff(path)
        texts = _texts(path, format)
    except OSError:
        return None
    texts = {name: text for name, text in texts.items() if len(text) <= MAX_TEXT}
    found = understood(texts)
    if found is None and hidden and format in ("png", "webp") and (text := stealth_png.read(path)):
        texts = {"stealth": text, **dialects.stealth_texts(text)}
        found = understood(texts)
    return found


def understood(texts: Mapping[str, str]) -> Foreign | None:
    """The first dialect that these texts, by their names in the file, make sense in."""
    for source, said in dialects.read(texts):
        values = {name: value for name, value in said.items() if value is not None}
        if values:
            return Foreign(source=source, raw=dict(texts), **values)
    return None


def _texts(path: Path, format: str) -> dict[str, str]:
    match format:
        case "png":
            found = png.texts(path)
            packet = found.get(png.XMP_KEY, "").encode("utf-8", "replace")
            return found | _named("xmp", xmp.parameters(packet))
        case "gif":
            return _named("parameters", gif.read(path).comment)
        case "mp4":
            return dict(mp4.read(path).tags)
        case "matroska":
            return dict(matroska.read(path).tags)
        case "jpeg" | "webp" | "avif" | "tiff":
            header = exif.read(path)
            return {**header.texts, **_named("xmp", xmp.parameters(header.xmp))}
        case _:
            return {}


def _named(name: str, text: str) -> dict[str, str]:
    return {name: text} if text else {}
