"""Mutations that know the structure of a file, so that what is broken is deep inside and not the first byte."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any, TypeAlias

from tests.fuzz.values import any_integer, any_json, any_text

Mutate: TypeAlias = Callable[[bytes, random.Random], bytes]
_Parts: TypeAlias = list[tuple[bytes, bytes]]

_MARK = "@@here@@"
_BOXES = (b"moov", b"trak", b"mdia", b"udta", b"meta", b"ilst")
_MASTERS = (0x18538067, 0x1549A966, 0x1654AE6B, 0x1254C367, 0xAE, 0xE0, 0x7373, 0x67C8)
MOST = 2_000_000
"""Bytes of an input: larger ones take their time by their size alone."""


def mutate(data: bytes, chance: random.Random, by_structure: Mutate) -> bytes:
    """Change a file in one to three places, mostly by its structure and sometimes by its bytes alone."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        change = by_structure if chance.random() < 0.8 else change_bytes
        data = change(data, chance)
    return data[:MOST]


def change_bytes(data: bytes, chance: random.Random) -> bytes:
    """Flip, cut, repeat, insert, or write a number or text over bytes."""
    if not data:
        return chance.randbytes(20)
    content = bytearray(data)
    at = chance.randrange(len(data))
    end = min(len(data), at + chance.choice((1, 2, 4, 8, 30, 300)))
    match chance.randrange(8):
        case 0:
            content[at] ^= 1 << chance.randrange(8)
        case 1:
            return data[:at]
        case 2:
            content[at:end] = data[at:end] * chance.choice((2, 50, 3_000))
        case 3:
            content[at:at] = any_text(chance).encode("utf-8", "surrogatepass")
        case 4:
            content[at:end] = b""
        case 5:
            content[at:end] = chance.choice((b"\0", b"\xff")) * (end - at)
        case 6:
            size = chance.choice((1, 2, 4, 8))
            number = any_integer(chance) % 2 ** (8 * size)
            content[at : at + size] = number.to_bytes(size, chance.choice(("big", "little")))
        case _:
            content[at:end] = chance.randbytes(end - at)
    return bytes(content)


def change_text(data: bytes, chance: random.Random) -> bytes:
    """Change the text of a file that has lines, such as front matter or YAML."""
    lines = data.decode("utf-8", "replace").split("\n")
    at = chance.randrange(len(lines))
    match chance.randrange(5):
        case 0:
            lines[at : at + 1] = [lines[at]] * chance.choice((0, 2, 2_000))
        case 1:
            lines[at] += any_text(chance)
        case 2:
            name, colon, _ = lines[at].partition(": ")
            lines[at] = name + colon + (any_json(chance) if chance.random() < 0.6 else any_text(chance))
        case 3:
            lines.insert(at, any_text(chance))
        case _:
            place = chance.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + any_text(chance) + lines[at][place:]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def change_json(data: bytes, chance: random.Random) -> bytes:
    """Replace, drop or double one value of a JSON text; other text is changed as text."""
    try:
        return _change_value([json.loads(data)], chance)
    except (ValueError, RecursionError):
        return change_bytes(data, chance)


def _change_value(root: list[Any], chance: random.Random) -> bytes:
    holder, key = chance.choice(_places(root, []))
    match chance.randrange(6):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[any_text(chance)[:5_000]] = holder[key]
        case 2 if holder is not root:
            holder[key] = [holder[key]] * chance.choice((1, 2, 500))
        case _:
            holder[key] = _MARK
    return json.dumps(root[0]).replace(f'"{_MARK}"', any_json(chance), 1).encode()


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        found.append((value, key))
        if isinstance(value[key], dict | list) and len(found) < 2_000:
            _places(value[key], found)
    return found


def _change_inside(body: bytes, chance: random.Random) -> bytes:
    """Change the content of a part, by the JSON or text that it holds."""
    start = body.rfind(b"\0", 0, 60) + 1
    inner = body[start:]
    if inner[:1] in (b"{", b"["):
        return body[:start] + change_json(inner, chance)
    if chance.random() < 0.5 and len(body) > 12 and sum(32 <= byte < 127 for byte in body[-40:]) > 20:
        return body[:start] + change_text(inner, chance)
    return change_bytes(body, chance)


def _change_parts(parts: _Parts, chance: random.Random) -> _Parts:
    if not parts:
        return parts
    at, other = chance.randrange(len(parts)), chance.randrange(len(parts))
    kind, body = parts[at]
    match chance.randrange(10):
        case 0:
            parts[at : at + 1] = [parts[at]] * chance.choice((0, 2, 3_000 if len(body) < 100 else 30))
        case 1:
            parts[at], parts[other] = parts[other], parts[at]
        case 2:
            parts[at] = kind, parts[other][1]
        case 3:
            parts[at] = kind, body[: chance.randrange(len(body) + 1)]
        case _:
            parts[at] = kind, _change_inside(body, chance)
    return parts


def change_png(data: bytes, chance: random.Random) -> bytes:
    """Change chunks of a PNG, whose check sums are right in most cases."""
    parts: _Parts = []
    at = 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        parts.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    wrong = chance.randrange(max(1, len(parts))) if chance.random() < 0.1 else -1
    out = [data[:8]]
    for number, (kind, body) in enumerate(_change_parts(parts, chance)):
        if kind == b"iTXt" and chance.random() < 0.05:
            kind, body = b"zTXt", body.partition(b"\0")[0] + b"\0\0" + zlib.compress(bytes(chance.choice((9, 10**7))))
        length = any_integer(chance) % 2**32 if number == wrong else len(body)
        out.append(struct.pack(">I", length) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
    return b"".join(out)


def change_riff(data: bytes, chance: random.Random) -> bytes:
    """Change chunks of a WebP."""
    parts: _Parts = []
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        parts.append((data[at : at + 4], data[at + 8 : at + 8 + length]))
        at += 8 + length + (length & 1)
    wrong = chance.randrange(max(1, len(parts))) if chance.random() < 0.1 else -1
    out = []
    for number, (kind, body) in enumerate(_change_parts(parts, chance)):
        length = any_integer(chance) % 2**32 if number == wrong else len(body)
        out.append(kind + struct.pack("<I", length) + body + b"\0" * (len(body) & 1))
    body = b"".join(out)
    return b"RIFF" + struct.pack("<I", (len(body) + 4) % 2**32) + b"WEBP" + body


def change_jpeg(data: bytes, chance: random.Random) -> bytes:
    """Change segments of a JPEG before its pixels."""
    parts: _Parts = []
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        parts.append((data[at : at + 2], data[at + 4 : at + 2 + length]))
        at += 2 + length
    out = [data[:2]]
    for kind, body in _change_parts(parts, chance):
        body = body[:65_533]
        length = any_integer(chance) % 65_536 if chance.random() < 0.02 else len(body) + 2
        out.append(kind + struct.pack(">H", length) + body)
    return b"".join(out) + data[at:]


def change_boxes(data: bytes, chance: random.Random) -> bytes:
    """Change boxes of an MP4 or AVIF at any depth; their lengths may be 0, 1 or wrong."""
    parts: _Parts = []
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8:
            break
        parts.append((data[at + 4 : at + 8], data[at + 8 : at + length]))
        at += length
    if not parts:
        return change_bytes(data, chance)
    number = chance.randrange(len(parts))
    kind, body = parts[number]
    if kind in _BOXES and chance.random() < 0.8:
        skipped = 4 if kind == b"meta" else 0
        parts[number] = kind, body[:skipped] + change_boxes(body[skipped:], chance)
    else:
        parts = _change_parts(parts, chance)
    wrong = chance.randrange(max(1, len(parts))) if chance.random() < 0.15 else -1
    out = []
    for number, (kind, body) in enumerate(parts):
        length = chance.choice((0, 1, 7, any_integer(chance) % 2**32)) if number == wrong else len(body) + 8
        out.append(struct.pack(">I", length % 2**32) + kind + body)
        if length == 1:
            out.insert(-1, b"")
            out[-1] = struct.pack(">I4sQ", 1, kind, any_integer(chance) % 2**64) + body
    return b"".join(out)


def change_ebml(data: bytes, chance: random.Random) -> bytes:
    """Change elements of a Matroska file at any depth; lengths may be unknown or wrong."""
    parts: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data) and data[at]:
        size = 9 - data[at].bit_length()
        number = int.from_bytes(data[at : at + size], "big")
        at += size
        if at >= len(data) or not data[at]:
            break
        size = 9 - data[at].bit_length()
        length = int.from_bytes(data[at : at + size], "big") & ((1 << 7 * size) - 1)
        parts.append((number, data[at + size : at + size + length]))
        at += size + length
    if not parts:
        return change_bytes(data, chance)
    place = chance.randrange(len(parts))
    number, body = parts[place]
    if number in _MASTERS and chance.random() < 0.85:
        parts[place] = number, change_ebml(body, chance)
    elif chance.random() < 0.4:
        parts[place] = (
            number,
            (any_integer(chance) % 2**160).to_bytes(chance.choice((20, 21)), "big")[-chance.choice((1, 2, 4, 8, 20)) :],
        )
    else:
        named = [(one.to_bytes((one.bit_length() + 7) // 8, "big"), inner) for one, inner in parts]
        parts = [(int.from_bytes(name, "big"), inner) for name, inner in _change_parts(named, chance)]
    return b"".join(ebml(number, body, wrong=chance.random() < 0.02, chance=chance) for number, body in parts)


def ebml(number: int, body: bytes, *, wrong: bool = False, chance: random.Random | None = None) -> bytes:
    """Build an element with a length of eight bytes."""
    length = any_integer(chance) % 2**56 if wrong and chance else len(body)
    return number.to_bytes((number.bit_length() + 7) // 8, "big") + b"\x01" + length.to_bytes(7, "big") + body


def change_safetensors(data: bytes, chance: random.Random) -> bytes:
    """Change the JSON header; its length is right in most cases."""
    length = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + length], data[8 + length :]
    header = change_json(header, chance)
    length = any_integer(chance) % 2**64 if chance.random() < 0.1 else len(header)
    return struct.pack("<Q", length) + header + body


def change_gguf(data: bytes, chance: random.Random) -> bytes:
    """Write numbers over the aligned fields of a header, or change its bytes."""
    content = bytearray(data)
    if chance.random() < 0.3 or len(data) < 32:
        return change_bytes(data, chance)
    marks = [
        at
        for at in range(len(data) - 8)
        if data[at : at + 4] in (b"\1\0\0\0", b"\4\0\0\0", b"\6\0\0\0", b"\x08\0\0\0", b"\x09\0\0\0")
    ]
    at = chance.choice([8, 16, *marks])
    if chance.random() < 0.5:
        content[at : at + 8] = struct.pack("<Q", any_integer(chance) % 2**64)
    elif chance.random() < 0.5:
        content[at : at + 4] = struct.pack("<I", chance.randrange(14))
    else:
        at += 4
        content[at : at + 8] = struct.pack("<d", chance.choice((float("nan"), float("inf"), -1.0, 1e300)))
    return bytes(content)


def change_tiff(data: bytes, chance: random.Random) -> bytes:
    """Write over type, count or value of an entry in a directory of a TIFF or of EXIF."""
    start = max(data.find(b"II*\0"), data.find(b"MM\0*"))
    if start < 0 or chance.random() < 0.2:
        return change_bytes(data, chance)
    order = "<" if data[start : start + 1] == b"I" else ">"
    content = bytearray(data)
    with contextlib.suppress(struct.error):
        at = start + struct.unpack_from(f"{order}I", data, start + 4)[0]
        count = struct.unpack_from(f"{order}H", data, at)[0]
        entry = at + 2 + 12 * chance.randrange(max(1, count))
        match chance.randrange(5):
            case 0:
                struct.pack_into(f"{order}H", content, entry, any_integer(chance) % 2**16)
            case 1:
                struct.pack_into(f"{order}H", content, entry + 2, chance.randrange(20))
            case 2:
                struct.pack_into(f"{order}I", content, entry + 4, any_integer(chance) % 2**32)
            case 3:
                struct.pack_into(f"{order}I", content, entry + 8, any_integer(chance) % 2**32)
            case _:
                struct.pack_into(f"{order}H", content, at, any_integer(chance) % 2**16)
    return bytes(content)


def change_jpeg_exif(data: bytes, chance: random.Random) -> bytes:
    return (change_tiff if chance.random() < 0.3 else change_jpeg)(data, chance)


def change_gif(data: bytes, chance: random.Random) -> bytes:
    """Repeat or cut blocks of a GIF, or change the packet and the comment inside."""
    starts = [
        at
        for at in range(13, len(data))
        if data[at : at + 2] in (b"\x21\xfe", b"\x21\xff", b"\x21\xf9") or data[at : at + 1] == b"\x2c"
    ]
    if chance.random() < 0.4 or len(starts) < 2:
        return change_bytes(data, chance)
    bounds = [0, *starts, len(data)]
    parts = [(b"", data[start:end]) for start, end in itertools.pairwise(bounds)]
    return b"".join(body for _, body in _change_parts(parts, chance))
