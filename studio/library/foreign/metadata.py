"""Reads the generation parameters that other tools wrote into images and videos.

Foreign metadata is untrusted: it is read within limits and never evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from studio.core.untrusted_files import make_valid, open_file, read_file, read_or_else
from studio.library.foreign import dialects, stealth_png
from studio.library.foreign.lora_values import ForeignLora
from studio.library.formats import detection, exif, gif, matroska, mp4, png, xmp

MAX_TEXT = 8 * 2**20
MAX_TEXT_FILE = 64 * 2**10
"""Maximum size of a text file beside an image that is read as its prompt, in bytes."""
TEXT_FILE = "text file"
"""The `source` of what is in a text file beside an image."""


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
    """Read the metadata that another tool wrote into an image or video, or into a text file of the same name beside it.

    Return None if no known tool wrote any. A graph of ComfyUI may also be a ``.json`` file of its own.

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
    if metadata is None and format in (*detection.IMAGE_FORMATS, *detection.VIDEO_FORMATS):
        metadata = read_or_else(None, _read_text_file, path.with_suffix(".txt"))
    return metadata


def _read_text_file(path: Path) -> ForeignMetadata | None:
    """Read the text file beside an image: parameters in the format of A1111, or a bare prompt (a caption)."""
    with open_file(path) as file:
        content = file.read(MAX_TEXT_FILE + 1)
    text = exif.decode_text(content)
    if len(content) > MAX_TEXT_FILE or not text.strip() or not _is_readable(text):
        return None
    if text.lstrip().startswith(("{", "[{")):
        return parse_texts({"parameters": text})
    return parse_texts({"parameters": text}, source=TEXT_FILE)


def _is_readable(text: str) -> bool:
    return sum(sign.isprintable() or sign.isspace() for sign in text) > 0.9 * len(text)


def parse_texts(texts: Mapping[str, str], *, source: str = "") -> ForeignMetadata | None:
    """Parse texts, by their names in the file, in the first dialect that fits. `source` replaces that tool's name."""
    for tool, fields in dialects.read(texts):
        values = {name: value for name, value in fields.items() if value is not None}
        if values:
            return ForeignMetadata(
                source=source or tool,
                raw={make_valid(name): make_valid(text) for name, text in texts.items()},
                **values,
            )
    return None


def _read_texts(path: Path, format: str) -> dict[str, str]:
    match format:
        case "png":
            texts = {name: exif.repair_utf8(text) for name, text in png.read_texts(path).items()}
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
        case _ if path.suffix.lower() == ".json":
            return _read_graph_file(path)
        case _:
            return {}


def _read_graph_file(path: Path) -> dict[str, str]:
    """Read a graph that ComfyUI saved as a file of its own, in either of its two forms."""
    text = read_file(path, MAX_TEXT).decode("utf-8-sig", "replace")
    return _to_entry("workflow", text)


def _to_entry(name: str, text: str) -> dict[str, str]:
    return {name: text} if text else {}
