"""Reads the header of a safetensors file without loading the tensors."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from studio.core.errors import BadInput
from studio.core.untrusted_files import damage_as_bad_input, open_file

PICKLE_SUFFIXES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")
MAX_HEADER = 100 * 2**20
MAX_COMMAS = 500_000
"""Maximum commas in a header, which bounds the memory that it takes as values. A tensor has about six."""

_CONVERT_HINT = (
    "Such files can run programs when they are opened. Save it as safetensors first: where you trust it, with "
    "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'model.safetensors')."
)


_Size: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_METADATA = "__metadata__"


class _Entry(msgspec.Struct):
    """A tensor in a header. Its sides and offsets fit into 64 bits."""

    dtype: str
    shape: tuple[_Size, ...]
    data_offsets: tuple[_Size, _Size]


def read_weight_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the shape of each tensor in a safetensors file, and check that the file is complete.

    Raises BadInput for a pickle, a Git LFS pointer, a truncated file, or anything else.
    """
    return {name: shape for name, (_, shape) in read_weight_types(path).items()}


def read_weight_types(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Read the dtype, such as ``F16``, and the shape of each tensor in a safetensors file, and check the file.

    The format is: 8 bytes with the length of a JSON header, the header, the data.
    Raises BadInput for a pickle, a Git LFS pointer, a truncated file, or anything else.
    """
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise BadInput(f"{path.name} is a pickle and is not opened.", _CONVERT_HINT)
    with damage_as_bad_input(path, _invalid_error(path)):
        header, start, size = _read_header(path)
        entries = {name: msgspec.json.decode(entry, type=_Entry) for name, entry in header.items() if name != _METADATA}
    if not entries:
        raise BadInput(f"{path.name} contains no weights.", "Choose another model.")
    if start + max(entry.data_offsets[1] for entry in entries.values()) != size:
        raise truncation_error(path)
    return {name: (entry.dtype, entry.shape) for name, entry in entries.items()}


def read_safetensors_header(path: Path) -> dict[str, msgspec.Raw]:
    """Read the undecoded entries of a header, `__metadata__` among them. Raises BadInput for anything else."""
    with damage_as_bad_input(path, _invalid_error(path)):
        return _read_header(path)[0]


def _read_header(path: Path) -> tuple[dict[str, msgspec.Raw], int, int]:
    """Return the entries, the offset of the data, and the size of the file."""
    with open_file(path) as file:
        size = path.stat().st_size
        start = file.read(8)
        refuse_lfs_pointer(path, start)
        if len(start) < 8:
            raise truncation_error(path)
        if start[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):
            raise BadInput(f"{path.name} is a pickle under another name and is not opened.", _CONVERT_HINT)
        length = struct.unpack("<Q", start)[0]
        if not 2 <= length <= MAX_HEADER:
            raise _invalid_error(path)
        if 8 + length > size:
            raise truncation_error(path)
        header = file.read(length)
    if header.count(b",") > MAX_COMMAS:
        raise _invalid_error(path)
    return msgspec.json.decode(header, type=dict[str, msgspec.Raw]), 8 + length, size


def refuse_lfs_pointer(path: Path, start: bytes) -> None:
    """Raise BadInput if a file, judged by its first eight bytes, is a Git LFS pointer."""
    if start == b"version ":
        raise BadInput(
            f"{path.name} is a Git LFS pointer, not the model itself.",
            "Run `git lfs pull`, or download the file again.",
        )


def truncation_error(path: Path) -> BadInput:
    return BadInput(f"{path.name} is incomplete: the file ends too early.", "Download it again.")


def _invalid_error(path: Path) -> BadInput:
    return BadInput(f"{path.name} is not a safetensors file.", "Choose another model.")
