"""Reads the header of a GGUF file (versions 2 and 3) without loading the tensors."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import IO, TypeAlias

from studio.core.errors import BadInput
from studio.core.model_files.safetensors_header import MAX_HEADER, refuse_lfs_pointer, truncation_error
from studio.core.untrusted_files import damage_as_bad_input, open_file

SUFFIX = ".gguf"
MAX_ARRAY = 4096
"""Maximum length of number arrays that are kept. Longer ones, and all arrays of strings, are skipped."""
READ_SIZE = 2**18
"""Number of bytes read at once."""
MAX_ENTRIES, MAX_DIMENSIONS = 100_000, 8
"""Maximum number of tensors or keys in a file, and of dimensions of a tensor."""

Value: TypeAlias = bool | int | float | str | tuple[bool | int | float, ...]

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_COUNT, _TYPE = struct.Struct("<Q"), struct.Struct("<I")
_BLOCK_SIZES = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""Values and bytes per block, by ggml's type number."""


@dataclass(frozen=True)
class GgufTensor:
    """A tensor: `shape` in torch's order, ggml's type number `kind`, and the offset `start` of its first byte."""

    shape: tuple[int, ...]
    kind: int
    start: int


@dataclass(frozen=True)
class GgufHeader:
    """Keys and tensors of a file. Arrays are included only if they are short and numeric."""

    keys: Mapping[str, Value]
    tensors: Mapping[str, GgufTensor]

    @property
    def architecture(self) -> str:
        """Name such as ``llama``; empty if the file does not state it."""
        return architecture_of(self.keys)

    def number(self, name: str, otherwise: float = 0) -> float:
        """Return a number of the architecture, such as ``context_length``; the maximum if there is one per layer."""
        value = self.keys.get(f"{self.architecture}.{name}")
        items = value if isinstance(value, tuple) else (value,)
        return max((item for item in items if isinstance(item, int | float) and isfinite(item)), default=otherwise)

    def text(self, name: str) -> str:
        """Return the text of a key such as ``general.license``; empty if there is none."""
        value = self.keys.get(name)
        return value if isinstance(value, str) else ""


def read_gguf_header(path: Path) -> GgufHeader:
    """Read the header of a model, and check that the file is complete.

    The format is: magic, version, counts, keys with values, tensors, data. Raises BadInput for a Git LFS pointer, a
    truncated file, another version, an adapter or projector, one part of several, or anything else.
    """
    with damage_as_bad_input(path, _invalid_error(path)):
        size = path.stat().st_size
        with open_file(path) as file:
            try:
                reader, counts = _read_counts(file, path)
                keys = dict(_read_pairs(reader, counts[1]))
                entries = [_read_tensor(reader) for _ in range(counts[0])]
            except EOFError as error:
                raise truncation_error(path) from error
        alignment = keys.get("general.alignment", 32)
        if type(alignment) is not int or alignment < 1:
            raise ValueError("general.alignment is not a positive integer")
        start = -(-reader.at // alignment) * alignment
    _check_is_model(path, keys)
    if not entries:
        raise BadInput(f"{path.name} contains no weights.", "Choose another model.")
    tensors = {name: GgufTensor(shape, kind, start + offset) for name, shape, kind, offset in entries}
    if max(tensor.start + _count_bytes(tensor) for tensor in tensors.values()) > size:
        raise truncation_error(path)
    return GgufHeader(keys, tensors)


def read_gguf_keys(path: Path) -> dict[str, Value]:
    """Read the keys up to the vocabulary, which is fast and enough to identify a model. Empty for other files."""
    keys: dict[str, Value] = {}
    try:
        with open_file(path) as file:
            reader, counts = _read_counts(file, path)
            for name, value in _read_pairs(reader, counts[1], whole=False):
                keys[name] = value
    except Exception:
        pass  # the keys read so far are valid
    return keys


def architecture_of(keys: Mapping[str, Value]) -> str:
    """Return the architecture that the keys name, or an empty string."""
    name = keys.get("general.architecture")
    return name if isinstance(name, str) else ""


class _Reader:
    """Reads the beginning of a file on demand, up to `MAX_HEADER` bytes.

    Raises EOFError at the end of the file, and ValueError beyond the limit.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._bytes = file, bytearray()
        self.at = 0

    def skip(self, count: int) -> int:
        """Advance by `count` bytes, after reading them. Return the offset where they begin."""
        start, end = self.at, self.at + count
        if end > len(self._bytes):
            if end > MAX_HEADER:
                raise ValueError("the header is too long")
            self._bytes += self._file.read(max(READ_SIZE, end - len(self._bytes)))
            if end > len(self._bytes):
                raise EOFError
        self.at = end
        return start

    def read_integer(self, form: struct.Struct) -> int:
        value: int = form.unpack_from(self._bytes, self.skip(form.size))[0]
        return value

    def read_numbers(self, letter: str, count: int) -> tuple[bool | int | float, ...]:
        form = struct.Struct(f"<{count}{letter}")
        return form.unpack_from(self._bytes, self.skip(form.size))

    def read_text(self) -> str:
        length = self.read_integer(_COUNT)
        start = self.skip(length)
        return self._bytes[start : start + length].decode()


def _read_counts(file: IO[bytes], path: Path) -> tuple[_Reader, tuple[int, int]]:
    """Read up to the counts. Return a reader behind them, and the numbers of tensors and keys."""
    start = file.read(8)
    refuse_lfs_pointer(path, start)
    if start and not b"GGUF".startswith(start[:4]):
        raise ValueError("no magic")
    file.seek(0)
    reader = _Reader(file)
    reader.skip(4)
    version = reader.read_integer(_TYPE)
    if version not in (2, 3):
        raise BadInput(f"{path.name} has an unsupported GGUF version.", "Convert it again, or choose another file.")
    counts = reader.read_integer(_COUNT), reader.read_integer(_COUNT)
    if max(counts) > MAX_ENTRIES:
        raise ValueError(f"{max(counts)} tensors or keys")
    return reader, counts


def _read_pairs(reader: _Reader, count: int, *, whole: bool = True) -> Iterator[tuple[str, Value]]:
    """Yield keys and values; without `whole`, only up to the first array that is skipped."""
    for _ in range(count):
        name, kind = reader.read_text(), reader.read_integer(_TYPE)
        if kind == _TEXT:
            yield name, reader.read_text()
        elif kind == _ARRAY:
            array = _read_array(reader, whole)
            if array is not None:
                yield name, array
            elif not whole:
                return
        else:
            yield name, reader.read_numbers(_struct_letter(kind), 1)[0]


def _read_array(reader: _Reader, whole: bool) -> tuple[bool | int | float, ...] | None:
    kind, count = reader.read_integer(_TYPE), reader.read_integer(_COUNT)
    if kind != _TEXT:
        letter = _struct_letter(kind)
        if count <= MAX_ARRAY:
            return reader.read_numbers(letter, count)
        reader.skip(count * struct.calcsize(f"<{letter}"))
    elif whole:
        for _ in range(count):
            reader.skip(reader.read_integer(_COUNT))
    return None


def _struct_letter(kind: int) -> str:
    if kind not in _NUMBERS:
        raise ValueError(f"{kind} is not a type of a value")
    return _NUMBERS[kind]


def _read_tensor(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    """Return name, shape, type, and offset in the data."""
    name, dimensions = reader.read_text(), reader.read_integer(_TYPE)
    if dimensions > MAX_DIMENSIONS:
        raise ValueError(f"{name} has {dimensions} dimensions")
    shape = tuple(int(side) for side in reversed(reader.read_numbers("Q", dimensions)))
    if prod(shape) >= 2**63:
        raise ValueError(f"{name} has more values than any file")
    return name, shape, reader.read_integer(_TYPE), reader.read_integer(_COUNT)


def _check_is_model(path: Path, keys: Mapping[str, Value]) -> None:
    kind, parts = keys.get("general.type", "model"), keys.get("split.count", 0)
    if kind != "model":
        raise BadInput(
            f"{path.name} is not a model but an addition to one ({str(kind)[:40]}).", "Choose the model itself."
        )
    if isinstance(parts, int) and parts > 1:
        raise BadInput(
            f"{path.name} is one of {parts} parts of a model.", "Join them with llama.cpp's `gguf-split --merge`."
        )


def _count_bytes(tensor: GgufTensor) -> int:
    """Return the size of a tensor's data, a lower bound for unknown types."""
    block, size = _BLOCK_SIZES.get(tensor.kind, (1, 0))
    return prod(tensor.shape) // block * size


def _invalid_error(path: Path) -> BadInput:
    return BadInput(f"{path.name} is damaged or not a GGUF file.", "Choose another model.")
