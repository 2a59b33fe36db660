"""The header of a safetensors file: what is inside, known without loading it."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from studio.core.errors import BadInput

PICKLE_SUFFIXES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")
MAX_HEADER = 100 * 2**20

_CONVERT = (
    "Such files can run programs when they are opened. Save it as safetensors first: where you trust it, with "
    "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'model.safetensors')."
)


def weight_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor in a safetensors file, after checking that all its bytes are there.

    Follows the format: 8 bytes with the length of a JSON header, the header, the data.
    Raises BadInput for a pickle, a Git LFS pointer, a file that is cut short, or anything else.
    """
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise BadInput(f"{path.name} is a pickle and is not opened.", _CONVERT)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            refuse_pointer(path, start)
            if len(start) < 8:
                raise cut_short(path)
            if start[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):
                raise BadInput(f"{path.name} is a pickle under another name and is not opened.", _CONVERT)
            length = struct.unpack("<Q", start)[0]
            if not 2 <= length <= MAX_HEADER:
                raise _no_safetensors(path)
            if 8 + length > size:
                raise cut_short(path)
            header = json.loads(file.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        ends = [entry["data_offsets"][1] for entry in tensors.values()]
        shapes = {name: tuple(int(side) for side in entry["shape"]) for name, entry in tensors.items()}
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _no_safetensors(path) from error
    if not shapes:
        raise BadInput(f"{path.name} holds no weights.", "Choose another model.")
    if 8 + length + max(ends) != size:
        raise cut_short(path)
    return shapes


def refuse_pointer(path: Path, start: bytes) -> None:
    """Raises BadInput where a file, told by its first eight bytes, only says where Git LFS keeps it."""
    if start == b"version ":
        raise BadInput(
            f"{path.name} is a Git LFS pointer and not the model itself.",
            "Fetch the real file with `git lfs pull`, or download it again.",
        )


def cut_short(path: Path) -> BadInput:
    return BadInput(f"{path.name} is incomplete: the file ends too early.", "Download it again.")


def _no_safetensors(path: Path) -> BadInput:
    return BadInput(f"{path.name} is no safetensors file.", "Choose another model.")
