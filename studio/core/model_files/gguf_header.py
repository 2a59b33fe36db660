"""The header of a GGUF file (versions 2 and 3): what is inside, known without loading it."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, TypeAlias

from studio.core.errors import BadInput
from studio.core.model_files.safetensors_header import MAX_HEADER, cut_short, refuse_pointer

SUFFIX = ".gguf"
LONGEST = 4096
"""Numbers of an array that are kept. A vocabulary is longer, and is passed over, as are all arrays of words."""
AT_ONCE = 2**18
"""Bytes that are fetched together."""
MOST, MOST_SIDES = 100_000, 8
"""Tensors or keys of a file, and sides of a tensor."""

Value: TypeAlias = bool | int | float | str | tuple[bool | int | float, ...]

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_COUNT, _TYPE = struct.Struct("<Q"), struct.Struct("<I")
_PACKED = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""By ggml's number of a type: (numbers in a block, bytes of a block)."""


@dataclass(frozen=True)
class GgufTensor:
    """Where a tensor lies: `shape` as torch has it, `kind` ggml's number of its type, `start` its first byte in the
    file."""

    shape: tuple[int, ...]
    kind: int
    start: int


@dataclass(frozen=True)
class GgufHeader:
    """`keys` are the file's own; of arrays only short ones of numbers are among them."""

    keys: Mapping[str, Value]
    tensors: Mapping[str, GgufTensor]

    @property
    def architecture(self) -> str:
        """Such as ``llama``; empty where the file does not say."""
        return architecture(self.keys)

    def number(self, name: str, otherwise: float = 0) -> float:
        """What the architecture says under a name, such as ``context_length``; the largest where it is one of each
        layer."""
        found = self.keys.get(f"{self.architecture}.{name}")
        values = [
            value for value in (found if isinstance(found, tuple) else (found,)) if isinstance(value, int | float)
        ]
        return max(values, default=otherwise)

    def text(self, name: str) -> str:
        """What the file says under a whole name, such as ``general.license``; empty where that is no text."""
        found = self.keys.get(name)
        return found if isinstance(found, str) else ""


def gguf_header(path: Path) -> GgufHeader:
    """All of a model's header, after checking that all its bytes are there. Nothing of it is evaluated.

    Follows the format: the magic, version, counts, keys with values, tensors, then the data. Raises BadInput for a
    Git LFS pointer, a file that is cut short, another version, what only goes with a model, one part of several, or
    anything else.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            reader, counts = _opened(file, path)
            keys = dict(_pairs(reader, counts[1]))
            found = [_tensor(reader) for _ in range(counts[0])]
        alignment = keys.get("general.alignment", 32)
        if type(alignment) is not int or alignment < 1:
            raise ValueError("general.alignment is no number")
        start = -(-reader.at // alignment) * alignment
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {error.strerror or error}.") from error
    except EOFError as error:
        raise cut_short(path) from error
    except ValueError as error:
        raise _damaged(path) from error
    _check_whole(path, keys)
    if not found:
        raise BadInput(f"{path.name} holds no weights.", "Choose another model.")
    tensors = {name: GgufTensor(shape, kind, start + offset) for name, shape, kind, offset in found}
    if max(tensor.start + _bytes(tensor) for tensor in tensors.values()) > size:
        raise cut_short(path)
    return GgufHeader(keys, tensors)


def gguf_keys(path: Path) -> dict[str, Value]:
    """The keys of a file up to its vocabulary, which tell what it is, quickly. Empty for anything else or damaged."""
    keys: dict[str, Value] = {}
    try:
        with path.open("rb") as file:
            reader, counts = _opened(file, path)
            for name, value in _pairs(reader, counts[1], whole=False):
                keys[name] = value
    except (OSError, EOFError, ValueError, BadInput):
        pass  # What stood before is known.
    return keys


def architecture(keys: Mapping[str, Value]) -> str:
    found = keys.get("general.architecture")
    return found if isinstance(found, str) else ""


class _Reader:
    """The beginning of a file, fetched as far as it is asked for, up to `MAX_HEADER` bytes.

    Raises EOFError where the file ends, and ValueError beyond the limit.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._bytes = file, bytearray()
        self.at = 0

    def skip(self, count: int) -> int:
        """Goes on by so many bytes, which are there; gives where they begin."""
        start, end = self.at, self.at + count
        if end > len(self._bytes):
            if end > MAX_HEADER:
                raise ValueError("the header is too long")
            self._bytes += self._file.read(max(AT_ONCE, end - len(self._bytes)))
            if end > len(self._bytes):
                raise EOFError
        self.at = end
        return start

    def one(self, form: struct.Struct) -> int:
        value: int = form.unpack_from(self._bytes, self.skip(form.size))[0]
        return value

    def numbers(self, letter: str, count: int) -> tuple[bool | int | float, ...]:
        form = struct.Struct(f"<{count}{letter}")
        return form.unpack_from(self._bytes, self.skip(form.size))

    def text(self) -> str:
        length = self.one(_COUNT)
        start = self.skip(length)
        return self._bytes[start : start + length].decode()


def _opened(file: IO[bytes], path: Path) -> tuple[_Reader, tuple[int, int]]:
    """(behind the counts, (tensors, keys))."""
    start = file.read(8)
    refuse_pointer(path, start)
    if start and not b"GGUF".startswith(start[:4]):
        raise ValueError("no magic")
    file.seek(0)
    reader = _Reader(file)
    reader.skip(4)
    version = reader.one(_TYPE)
    if version not in (2, 3):
        raise BadInput(f"{path.name} is GGUF of a version that is not read.", "Convert it anew, or choose another.")
    counts = reader.one(_COUNT), reader.one(_COUNT)
    if max(counts) > MOST:
        raise ValueError(f"{max(counts)} tensors or keys")
    return reader, counts


def _pairs(reader: _Reader, count: int, *, whole: bool = True) -> Iterator[tuple[str, Value]]:
    """Keys and values; without `whole`, up to the first array that is passed over."""
    for _ in range(count):
        name, kind = reader.text(), reader.one(_TYPE)
        if kind == _TEXT:
            yield name, reader.text()
        elif kind == _ARRAY:
            kept = _array(reader, whole)
            if kept is not None:
                yield name, kept
            elif not whole:
                return
        else:
            yield name, reader.numbers(_letter(kind), 1)[0]


def _array(reader: _Reader, whole: bool) -> tuple[bool | int | float, ...] | None:
    kind, count = reader.one(_TYPE), reader.one(_COUNT)
    if kind != _TEXT:
        letter = _letter(kind)
        if count <= LONGEST:
            return reader.numbers(letter, count)
        reader.skip(count * struct.calcsize(f"<{letter}"))
    elif whole:
        for _ in range(count):
            reader.skip(reader.one(_COUNT))
    return None


def _letter(kind: int) -> str:
    if kind not in _NUMBERS:
        raise ValueError(f"{kind} is no type of a value")
    return _NUMBERS[kind]


def _tensor(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    """(name, shape, type, where it begins in the data)."""
    name, sides = reader.text(), reader.one(_TYPE)
    if sides > MOST_SIDES:
        raise ValueError(f"{name} has {sides} sides")
    shape = tuple(int(side) for side in reversed(reader.numbers("Q", sides)))
    return name, shape, reader.one(_TYPE), reader.one(_COUNT)


def _check_whole(path: Path, keys: Mapping[str, Value]) -> None:
    kind, parts = keys.get("general.type", "model"), keys.get("split.count", 0)
    if kind != "model":
        raise BadInput(f"{path.name} is no model but goes with one ({str(kind)[:40]}).", "Choose the model itself.")
    if isinstance(parts, int) and parts > 1:
        raise BadInput(
            f"{path.name} is one of {parts} parts of a model.", "Join them with llama.cpp's `gguf-split --merge`."
        )


def _bytes(tensor: GgufTensor) -> int:
    """None of a type that is newer than this."""
    block, size = _PACKED.get(tensor.kind, (1, 0))
    return prod(tensor.shape) // block * size


def _damaged(path: Path) -> BadInput:
    return BadInput(f"{path.name} is no GGUF file, or is damaged.", "Choose another model.")
