"""Copies of images and videos without metadata: pixels, colour profiles and times stay as they are.

Follows the PNG specification (W3C), JPEG (ITU-T T.81), the WebP container (RIFF), GIF89a, and HEIF (ISO/IEC 23008-12).
Videos are copied by ffmpeg, stream by stream. Of EXIF, an orientation stays, without which an image would lie on its
side.
"""

from __future__ import annotations

import io
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from studio.core import animations
from studio.core.errors import BadInput, StudioError
from studio.core.untrusted_files import damage_as_bad_input, open_file
from studio.library.formats import detection, exif, heif_items, pillow_guard
from studio.library.formats.png import SIGNATURE, pack_chunk

MAX_BYTES = 2**30
"""Maximum size of an image that is stripped in memory."""
FORMATS = frozenset({"png", "jpeg", "webp", "gif", "avif"})
_PNG_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT bKGD hIST pHYs sPLT cICP mDCV cLLI acTL fcTL fdAT".split()
)
_WEBP_KEPT = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04
_GIF_KEPT = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")
"""Application extensions that repeat an animation or hold a colour profile."""
_ICC, _ADOBE, _JFIF = b"ICC_PROFILE\0", b"Adobe", b"JFIF\0"
_VIDEO_TIMEOUT = 3600


def strip_image(path: Path) -> bytes:
    """Return the bytes of an image without its metadata. Raises BadInput for another format, or a damaged file."""
    with damage_as_bad_input(path):
        format = detection.detect_format(path)
        if format not in FORMATS:
            raise BadInput(f"Metadata cannot be removed from {path.suffix or path.name}.", "Export it as PNG.")
        with open_file(path) as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise BadInput(f"{path.name} is too large to remove its metadata.")
        orientation = _read_orientation(path)
        match format:
            case "png":
                return join_png(read_png_chunks(data), [(b"eXIf", orientation)] if orientation else [])
            case "jpeg":
                return insert_in_jpeg(b"".join(_iterate_jpeg(data)), orientation, b"")
            case "webp":
                return join_webp(read_webp_chunks(data), orientation, b"")
            case "gif":
                return b"".join(_iterate_gif(data))
            case _:
                return heif_items.blank_metadata(data)


def strip_video(path: Path, target: Path, *, metadata: str = ";FFMETADATA1\n") -> None:
    """Copy the streams of a video without its tags, chapters and attachments, and with those of an ffmetadata text.

    Raises StudioError if ffmpeg cannot copy it.
    """
    about = target.with_name(f"{target.name}.txt")
    command = [animations.find_ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "error", "-y"]
    command += ["-protocol_whitelist", "file", "-i", f"file:{path}", "-f", "ffmetadata", "-i", f"file:{about}"]
    command += ["-map", "0:v?", "-map", "0:a?", "-c", "copy", "-map_metadata", "1", "-map_chapters", "-1"]
    command += ["-map_metadata:s", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]
    command += ["-movflags", "+faststart"] if target.suffix in (".mp4", ".m4v", ".mov") else []
    try:
        about.write_text(metadata, "utf-8")
        subprocess.run([*command, f"file:{target}"], check=True, capture_output=True, timeout=_VIDEO_TIMEOUT)
    except (subprocess.SubprocessError, OSError) as error:
        raise StudioError(f"The metadata of {path.name} cannot be removed.", "Export it in another format.") from error
    finally:
        about.unlink(missing_ok=True)


def join_png(chunks: list[bytes], more: list[tuple[bytes, bytes]]) -> bytes:
    """Join packed chunks as a PNG, with more behind its header."""
    return SIGNATURE + b"".join([*chunks[:1], *(pack_chunk(kind, body) for kind, body in more), *chunks[1:]])


def read_png_chunks(data: bytes) -> list[bytes]:
    """Return the packed chunks of a PNG that are no metadata. Raises ValueError for a damaged one."""
    return [*_iterate_png(data)]


def _iterate_png(data: bytes) -> Iterator[bytes]:
    offset = 8
    while offset + 12 <= len(data):
        length, kind = int.from_bytes(data[offset : offset + 4], "big"), data[offset + 4 : offset + 8]
        end = offset + 12 + length
        if end > len(data):
            break
        if kind in _PNG_KEPT:
            yield data[offset:end]
        if kind == b"IEND":
            return
        offset = end
    raise ValueError("the PNG has no end")


def _iterate_jpeg(data: bytes) -> Iterator[bytes]:
    """Yield the markers and the image data up to its end, without what applications have added."""
    yield data[:2]
    offset = 2
    while offset + 4 <= len(data):
        if data[offset] != 0xFF:
            raise ValueError("a JPEG marker is missing")
        marker = data[offset + 1]
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        if marker == 0xD9:
            yield b"\xff\xd9"
            return
        end = offset + 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")
        body = data[offset + 4 : end]
        is_application = 0xE0 <= marker <= 0xEF or marker == 0xFE
        is_needed = (
            (marker == 0xE0 and body.startswith(_JFIF))
            or (marker == 0xE2 and body.startswith(_ICC))
            or (marker == 0xEE and body.startswith(_ADOBE))
        )
        if marker == 0xE0 and is_needed:
            yield b"\xff\xe0\x00\x10" + body[:12] + b"\0\0"  # without the thumbnail
        elif not is_application or is_needed:
            yield data[offset:end]
        offset = end
        if marker == 0xDA:
            end = _end_of_scan(data, offset)
            yield data[offset:end]
            offset = end
    yield b"\xff\xd9"


def _end_of_scan(data: bytes, offset: int) -> int:
    """Return where the entropy-coded data of a scan ends: at a marker that is neither stuffed nor a restart."""
    while (offset := data.find(b"\xff", offset)) >= 0:
        following = data[offset + 1 : offset + 2]
        if following and following != b"\0" and not b"\xd0" <= following <= b"\xd7" and following != b"\xff":
            return offset
        offset += 1 if following == b"\xff" else 2
    return len(data)


def insert_in_jpeg(data: bytes, exif_body: bytes, xmp: bytes) -> bytes:
    """Insert EXIF (TIFF bytes) and XMP behind the first segments of a JPEG without metadata."""
    head = 20 if data[2:4] == b"\xff\xe0" else 2
    parts = [b"Exif\0\0" + exif_body] if exif_body else []
    parts += [b"http://ns.adobe.com/xap/1.0/\0" + xmp] if xmp else []
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts)
    return data[:head] + segments + data[head:]


def read_webp_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return types and contents of the chunks of a WebP that are no metadata. Raises ValueError if there are none."""
    chunks, offset = [], 12
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while offset + 8 <= end:
        length = int.from_bytes(data[offset + 4 : offset + 8], "little")
        if data[offset : offset + 4] in _WEBP_KEPT:
            chunks.append((data[offset : offset + 4], data[offset + 8 : offset + 8 + length]))
        offset += 8 + length + (length & 1)
    if not chunks:
        raise ValueError("the WebP has no image")
    return chunks


def join_webp(chunks: list[tuple[bytes, bytes]], exif_body: bytes, xmp: bytes) -> bytes:
    """Join the chunks of a WebP with EXIF and XMP, which need an extended header."""
    if exif_body or xmp or chunks[0][0] == b"VP8X":
        if chunks[0][0] != b"VP8X":
            chunks = [(b"VP8X", _build_webp_head(chunks)), *chunks]
        flags = chunks[0][1][0] & ~(_WEBP_EXIF | _WEBP_XMP)
        flags |= (_WEBP_EXIF if exif_body else 0) | (_WEBP_XMP if xmp else 0)
        chunks = [(b"VP8X", bytes([flags]) + chunks[0][1][1:]), *chunks[1:]]
        chunks += [(b"EXIF", exif_body)] if exif_body else []
        chunks += [(b"XMP ", xmp)] if xmp else []
    body = b"".join(kind + struct.pack("<I", len(part)) + part + b"\0" * (len(part) & 1) for kind, part in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _build_webp_head(chunks: list[tuple[bytes, bytes]]) -> bytes:
    import PIL.Image

    with PIL.Image.open(io.BytesIO(join_webp(chunks, b"", b""))) as image:
        alpha = 0x10 if image.mode == "RGBA" else 0
        return bytes([alpha, 0, 0, 0]) + b"".join((side - 1).to_bytes(3, "little") for side in image.size)


def _iterate_gif(data: bytes) -> Iterator[bytes]:
    """Yield the blocks that are frames, their times, repetition and colour profile."""
    offset = 13 + _color_table_size(data[10])
    yield data[:offset]
    while offset < len(data):
        start, kind = offset, data[offset]
        if kind == 0x2C:
            offset = _end_of_blocks(data, offset + 11 + _color_table_size(data[offset + 9]))
            yield data[start:offset]
        elif kind == 0x21:
            label = data[offset + 1]
            offset = _end_of_blocks(data, offset + 2)
            if label == 0xF9 or (label == 0xFF and data[start + 3 : start + 14] in _GIF_KEPT):
                yield data[start:offset]
        else:
            break
    yield b";"


def _color_table_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(data: bytes, offset: int) -> int:
    while offset < len(data) and data[offset]:
        offset += 1 + data[offset]
    return offset + 1


def _read_orientation(path: Path) -> bytes:
    """Return EXIF with nothing but an orientation, or nothing if the image stands upright."""
    with pillow_guard.open_header(path) as image:
        return exif.build_orientation(int(image.getexif().get(exif.ORIENTATION, 1) or 1))
