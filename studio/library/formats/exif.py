"""EXIF of images: the user comment, in which tools store parameters, and other texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from studio.core.errors import BadInput
from studio.library.formats import pillow_guard

_IFD, _USER_COMMENT, _MAKER_NOTE, _SOFTWARE = 0x8769, 0x9286, 0x927C, 0x0131
_NAMES = {_SOFTWARE: "Software", 0x010E: "ImageDescription", 0x010F: "Make", 0x0110: "Model"}


@dataclass(frozen=True)
class ExifData:
    """The present `texts` among ``UserComment``, ``MakerNote``, ``Software`` and others, and the XMP packet."""

    texts: dict[str, str] = field(default_factory=dict)
    xmp: bytes = b""


def read(path: Path) -> ExifData:
    """Read the metadata of an image that Pillow can open. Return an empty result if it is damaged."""
    try:
        with pillow_guard.open_header(path) as image:
            tags = image.getexif()
            inner = tags.get_ifd(_IFD)
            xmp = image.info.get("xmp", b"")
            comment = image.info.get("comment", b"")
    except BadInput:
        return ExifData()
    texts = {name: decode_text(tags.get(tag)) for tag, name in _NAMES.items()}
    texts |= {"UserComment": decode_text(inner.get(_USER_COMMENT)), "MakerNote": decode_text(inner.get(_MAKER_NOTE))}
    texts["comment"] = decode_text(comment)
    packet = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else bytes(xmp)
    return ExifData({name: value for name, value in texts.items() if value}, packet)


def decode_text(value: object) -> str:
    """Decode an EXIF text. The first eight bytes of a user comment name its encoding."""
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        return ""
    if value.startswith(b"UNICODE\0"):
        body = value[8:]
        little = body[1::2].count(0) > body[0::2].count(0)
        return body.decode("utf-16-le" if little else "utf-16-be", "replace").lstrip("\ufeff").rstrip("\0")
    return value.removeprefix(b"ASCII\0\0\0").removeprefix(bytes(8)).decode("utf-8", "replace").rstrip("\0")


def build_exif(comment: str) -> bytes:
    """Build EXIF with a user comment in UTF-16, as other tools write parameters."""
    import PIL.Image

    tags = PIL.Image.Exif()
    tags[_SOFTWARE] = "Studio"
    tags.get_ifd(_IFD)[_USER_COMMENT] = b"UNICODE\0" + comment.encode("utf-16-be", "replace")
    return tags.tobytes()
