"""EXIF of pictures: the user comment, in which tools keep parameters, and other texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.core.errors import BadInput
from studio.library.formats import pillow_guard

_IFD, _USER_COMMENT, _MAKER_NOTE, _SOFTWARE = 0x8769, 0x9286, 0x927C, 0x0131
_NAMES = {_SOFTWARE: "Software", 0x010E: "ImageDescription", 0x010F: "Make", 0x0110: "Model"}


@dataclass(frozen=True)
class Header:
    """`texts`: ``UserComment``, ``MakerNote``, ``Software`` and others, where they are there."""

    texts: dict[str, str] = field(default_factory=dict)
    xmp: bytes = b""


def read(path: Path) -> Header:
    """The header of a picture that Pillow can open; an empty one where it is damaged."""
    try:
        with pillow_guard.opened(path) as image:
            tags = image.getexif()
            inner = tags.get_ifd(_IFD)
            found = image.info.get("xmp", b"")
            comment = image.info.get("comment", b"")
    except BadInput:
        return Header()
    texts = {name: text(tags.get(tag)) for tag, name in _NAMES.items()}
    texts |= {"UserComment": text(inner.get(_USER_COMMENT)), "MakerNote": text(inner.get(_MAKER_NOTE))}
    texts["comment"] = text(comment)
    packet = found.encode("utf-8", "replace") if isinstance(found, str) else bytes(found)
    return Header({name: value for name, value in texts.items() if value}, packet)


def text(value: Any) -> str:
    """An EXIF text; in a user comment eight bytes name the encoding first."""
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        return ""
    if value.startswith(b"UNICODE\0"):
        body = value[8:]
        little = body[1::2].count(0) > body[0::2].count(0)
        return body.decode("utf-16-le" if little else "utf-16-be", "replace").lstrip("\ufeff").rstrip("\0")
    return value.removeprefix(b"ASCII\0\0\0").removeprefix(bytes(8)).decode("utf-8", "replace").rstrip("\0")


def compose(comment: str) -> bytes:
    """EXIF with a user comment in UTF-16, which is how other tools write parameters."""
    import PIL.Image

    tags = PIL.Image.Exif()
    tags[_SOFTWARE] = "Studio"
    tags.get_ifd(_IFD)[_USER_COMMENT] = b"UNICODE\0" + comment.encode("utf-16-be", "replace")
    return tags.tobytes()
