"""Reads the header of a safetensors file without loading the tensors."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from studio.core.errors import BadInput

PICKLE_SUFFIXES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")
MAX_HEADER = 100 * 2**20

_CONVERT_HINT = (
    "Such files can run programs when they are opened. Save it as safetensors first: where you trust it, with "
    "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'model.safetensors')."
)


def read_weight_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the shape of each tensor in a safetensors file, and check that the file is complete.

    The format is: 8 bytes with the length of a JSON header, the header, the data.
    Raises BadInput for a pickle, a Git LFS pointer, a truncated file, or anything else.
    """
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise BadInput(f"{path.name} is a pickle and is not opened.", _CONVERT_HINT)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            refuse_lfs_pointer(path, start)
            if len(start) < 8:
                raise truncated_error(path)
            if start[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):
                raise BadInput(f"{path.name} is a pickle under another name and is not opened.", _CONVERT_HINT)
            length = struct.unpack("<Q", start)[0]
            if not 2 <= length <= MAX_HEADER:
                raise _invalid_error(path)
            if 8 + length > size:
                raise truncated_error(path)
            header = json.loads(file.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        ends = [entry["data_offsets"][1] for entry in tensors.values()]
        shapes = {name: tuple(int(side) for side in entry["shape"]) for name, entry in tensors.items()}
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _invalid_error(path) from error
    if not shapes:
        raise BadInput(f"{path.name} contains no weights.", "Choose another model.")
    if 8 + length + max(ends) != size:
        raise truncated_error(path)
    return shapes


def refuse_lfs_pointer(path: Path, start: bytes) -> None:
    """Raise BadInput if a file, judged by its first eight bytes, is a Git LFS pointer."""
    if start == b"version ":
        raise BadInput(
            f"{path.name} is a Git LFS pointer, not the model itself.",
            "Run `git lfs pull`, or download the file again.",
        )


def truncated_error(path: Path) -> BadInput:
    return BadInput(f"{path.name} is incomplete: the file ends too early.", "Download it again.")


def _invalid_error(path: Path) -> BadInput:
    return BadInput(f"{path.name} is not a safetensors file.", "Choose another model.")
