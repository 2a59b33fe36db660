"""Reads the generation parameters that other tools wrote into images and videos.

Foreign metadata is untrusted: it is read within limits and never evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from studio.core.untrusted_files import make_valid, read_or_else
from studio.library.foreign import dialects, stealth_png
from studio.library.foreign.lora_values import ForeignLora
from studio.library.formats import detection, exif, gif, matroska, mp4, png, xmp

MAX_TEXT = 8 * 2**20


class ForeignMetadata(Struct, frozen=True, kw_only=True):
    """`source` is the tool that wrote the metadata. Missing and invalid values are None or empty.

    `more` holds every other setting as text by its name there, `raw` the original texts by their name in the file.
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
    scheduler: str = ""
    model: str = ""
    model_hash: str = ""
    vae: str = ""
    vae_hash: str = ""
    strength: float | None = None
    clip_skip: int | None = None
    """In the count of A1111 and ComfyUI: 1 uses the last layer of the text encoder."""
    loras: list[ForeignLora] = []
    more: dict[str, str] = {}
    raw: dict[str, Any] = {}


def read_metadata(path: Path, *, search_pixels: bool = True) -> ForeignMetadata | None:
    """Read the metadata that another tool wrote into an image or video. Return None if no known tool wrote any.

    `search_pixels` also reads the alpha channel, where NovelAI stores a copy; this decodes the image. Never raises
    for the contents of a file.
    """
    return read_or_else(None, _read_metadata, path, search_pixels)


def _read_metadata(path: Path, search_pixels: bool) -> ForeignMetadata | None:
    format = detection.detect_format(path)
    texts = _read_texts(path, format)
    texts = {name: text for name, text in texts.items() if len(text) <= MAX_TEXT}
    metadata = parse_texts(texts)
    if metadata is None and search_pixels and format in ("png", "webp") and (text := stealth_png.read(path)):
        texts = {"stealth": text, **dialects.parse_stealth_text(text)}
        metadata = parse_texts(texts)
    return metadata


def parse_texts(texts: Mapping[str, str]) -> ForeignMetadata | None:
    """Parse texts, by their names in the file, in the first dialect that fits."""
    for source, fields in dialects.read(texts):
        values = {name: value for name, value in fields.items() if value is not None}
        if values:
            return ForeignMetadata(
                source=source, raw={make_valid(name): make_valid(text) for name, text in texts.items()}, **values
            )
    return None


def _read_texts(path: Path, format: str) -> dict[str, str]:
    match format:
        case "png":
            texts = png.read_texts(path)
            packet = texts.get(png.XMP_KEY, "").encode("utf-8", "replace")
            return texts | _to_entry("xmp", xmp.read_parameters(packet))
        case "gif":
            return _to_entry("parameters", gif.read(path).comment)
        case "mp4":
            return dict(mp4.read(path).tags)
        case "matroska":
            return dict(matroska.read(path).tags)
        case "jpeg" | "webp" | "avif" | "tiff":
            header = exif.read(path)
            return {**header.texts, **_to_entry("xmp", xmp.read_parameters(header.xmp))}
        case _:
            return {}


def _to_entry(name: str, text: str) -> dict[str, str]:
    return {name: text} if text else {}
