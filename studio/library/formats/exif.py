"""EXIF of images: the user comment, in which tools store parameters, and other texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from studio.core.errors import BadInput
from studio.library.formats import pillow_guard

_IFD, _USER_COMMENT, _MAKER_NOTE, _SOFTWARE = 0x8769, 0x9286, 0x927C, 0x0131
_CODES = (b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0", bytes(8))
_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
ORIENTATION = 0x0112
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
    """Decode an EXIF text, whatever its encoding.

    The first eight bytes of a user comment name one, but programs also write UTF-8 where they say ``UNICODE``, and
    UTF-16 of either byte order.
    """
    if isinstance(value, str):
        return repair_utf8(value)
    if not isinstance(value, bytes):
        return ""
    body = value[8:] if value[:8] in _CODES else value
    for mark, encoding in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body.removeprefix(mark).decode(encoding, "replace").rstrip("\0")
    says_unicode = value.startswith(b"UNICODE\0")
    if (says_unicode and (b"\0" in body.rstrip(b"\0") or not _is_utf8(body))) or 4 * body.count(0) > len(body):
        return body.decode(_guess_utf_16(body), "replace").rstrip("\0")
    return _decode_bytes(body.partition(b"\0")[0])


def repair_utf8(text: str) -> str:
    """Return the text that was meant by UTF-8 read as Latin-1; any other text as it is."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _guess_utf_16(body: bytes) -> str:
    """Return the byte order in which ASCII has its zeros second, or in which fewer blocks of characters are used."""
    even, odd = body[0::2], body[1::2]
    if even.count(0) != odd.count(0):
        return "utf-16-le" if odd.count(0) > even.count(0) else "utf-16-be"
    return "utf-16-le" if len(set(odd)) < len(set(even)) else "utf-16-be"


def _decode_bytes(body: bytes) -> str:
    """Decode UTF-8, or Windows-1252 where more bytes are wrong than right in UTF-8."""
    text = body.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    others = sum(not sign.isascii() for sign in text) - wrong
    return body.decode("cp1252", "replace") if wrong > others else text


def build_exif(comment: str) -> bytes:
    """Build EXIF with a user comment in UTF-16, as other tools write parameters."""
    import PIL.Image

    tags = PIL.Image.Exif()
    tags[_SOFTWARE] = "Studio"
    tags.get_ifd(_IFD)[_USER_COMMENT] = b"UNICODE\0" + comment.encode("utf-16-be", "replace")
    return tags.tobytes()


def build_orientation(orientation: int) -> bytes:
    """Build EXIF, without its name, with nothing but an orientation; nothing for an upright image."""
    import PIL.Image

    if not 2 <= orientation <= 8:
        return b""
    tags = PIL.Image.Exif()
    tags[ORIENTATION] = orientation
    return tags.tobytes().removeprefix(b"Exif\0\0")
