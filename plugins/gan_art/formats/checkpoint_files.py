"""Opens files of weights of every container, and says plainly what is no such file."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from studio import api

from .pickle_reader import PickleReport, is_legacy_start, read_legacy_file, read_pickle, read_torch_pickle
from .stored_tensors import ITEM_SIZES, SAFETENSORS_DTYPES, Storage, StoredTensor

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", ".sft", *api.model_files.PICKLE_SUFFIXES)
MAX_BYTES = 16 * 2**30
MAX_PICKLE = 256 * 2**20
"""Maximum size of the pickle in an archive, which holds no numbers."""
MAX_NAME = 100
"""Maximum number of signs of a name in a message."""
MAX_STRIDED_COPIES = 4
"""Maximum size of all tensors that are read, in sizes of their file: they may share their numbers."""


@dataclass
class Checkpoint:
    """The content of a file: dictionaries, lists, numbers, stored tensors, and inert nodes of objects."""

    path: Path
    content: Any
    report: PickleReport = field(default_factory=PickleReport)

    def read_tensors(self, tensors: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
        """Read tensors by name, floating point in float32. Raises BadInput for a file that is damaged."""
        if sum(tensor.byte_count for tensor in tensors.values()) > MAX_STRIDED_COPIES * self.path.stat().st_size:
            raise describe_damage(self.path)
        with api.model_files.damage_as_bad_input(self.path, describe_damage(self.path)):
            read = {name: tensor.read() for name, tensor in tensors.items()}
            api.model_files.check_tensors(read.items(), self.path.name)
        return read


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a .safetensors, .pkl, .pt, .pth, .ckpt or .bin file without running anything of it.

    Raises BadInput for a file that is missing, damaged, a Git LFS pointer or a web page, of TensorFlow, or that asks
    for functions that weights do not need.
    """
    with api.model_files.damage_as_bad_input(path, describe_damage(path)):
        with api.model_files.open_file(path) as file:
            start = file.read(64)
            size = path.stat().st_size
        _check_start(path, start, size)
        report = PickleReport()
        try:
            content = _read_content(path, start, size, report)
        finally:
            _check_report(path, report)  # what it asks for says more than that it is damaged as well
    return Checkpoint(path, content, report)


def describe_damage(path: Path) -> api.BadInput:
    return api.BadInput(
        f"{path.name} is damaged, incomplete, or no file of weights.", "Download it again, or choose another file."
    )


def _check_start(path: Path, start: bytes, size: int) -> None:
    api.model_files.refuse_lfs_pointer(path, start[:8])
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise api.BadInput(f"{path.name} is a web page and not the model itself.", "Download the file by its own link.")
    if size > MAX_BYTES:
        raise api.BadInput(f"{path.name} is far larger than a GAN.", "Choose another file.")
    if not start:
        raise api.BadInput(f"{path.name} is empty.", "Download it again.")


def _check_report(path: Path, report: PickleReport) -> None:
    if report.is_tensorflow:
        raise api.BadInput(
            f"{path.name} is a StyleGAN of TensorFlow, which cannot be read without TensorFlow.",
            "Look for the same model as a PyTorch file; the authors of StyleGAN2 publish theirs in both kinds.",
        )
    if report.refused:
        names = sorted(_make_printable(name) for name in report.refused)
        listed = " and ".join(names[:2]) if len(names) <= 2 else f"{names[0]}, {names[1]} and {len(names) - 2} more"
        raise api.BadInput(
            f"{path.name} was not imported: it asks for {listed}, which weights do not need and which can run "
            "programs. Nothing of it was run.",
            "Look for the same model from another source.",
        )


def _make_printable(name: str) -> str:
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in name[:MAX_NAME])


def _read_content(path: Path, start: bytes, size: int, report: PickleReport) -> Any:
    if path.suffix.lower() in (".safetensors", ".sft"):
        return _read_safetensors(path)
    if start.startswith(b"PK"):
        return _read_archive(path, report)
    if is_legacy_start(start):
        with api.model_files.open_file(path) as file:
            return read_legacy_file(file, size, report, _Slices(path, 0).read)
    with api.model_files.open_file(path) as file:
        return read_pickle(file.read(), report)


def _read_safetensors(path: Path) -> dict[str, StoredTensor]:
    from safetensors import safe_open

    api.model_files.read_weight_shapes(path)
    tensors = {}
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118 - no mapping
            part = file.get_slice(name)
            shape, dtype = tuple(part.get_shape()), SAFETENSORS_DTYPES[part.get_dtype()]
            strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
            storage = Storage(dtype, math.prod(shape), partial(_read_safetensor, path, name))
            tensors[name] = StoredTensor(storage, 0, shape, tuple(strides))
    return tensors


def _read_safetensor(path: Path, name: str, start: int, end: int) -> bytes:
    import torch
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        content: bytes = file.get_tensor(name).flatten().view(torch.uint8)[start:end].numpy().tobytes()
    return content


def _read_archive(path: Path, report: PickleReport) -> Any:
    """Read the zip archive of ``torch.save``: `NAME/data.pkl` and the numbers in `NAME/data/KEY`, not compressed."""
    with api.model_files.open_file(path) as file, zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        names = [name for name in entries if name.rpartition("/")[2] == "data.pkl" and name.count("/") <= 1]
        if not names:
            raise api.BadInput(f"{path.name} is a zip archive without weights.", "Unpack it, and choose a file in it.")
        prefix = names[0].removesuffix("data.pkl")
        if any(name.startswith(f"{prefix}code/") for name in entries):
            raise api.BadInput(
                f"{path.name} is a TorchScript program, which is not run.", "Look for the same model's weights."
            )
        if (order := f"{prefix}byteorder") in entries and archive.read(order) != b"little":
            raise ValueError("numbers in big-endian order")

        def find_storage(key: str, dtype: str, count: int) -> Storage:
            entry = entries[f"{prefix}data/{key}"]
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != count * ITEM_SIZES[dtype]:
                raise ValueError("a storage of another size than stated")
            return Storage(dtype, count, _Slices(path, _find_start(file, entry)).read)

        if entries[names[0]].file_size > MAX_PICKLE:
            raise ValueError("a pickle that is too large")
        return read_torch_pickle(io.BytesIO(archive.read(names[0])), report, find_storage)


def _find_start(file: IO[bytes], entry: zipfile.ZipInfo) -> int:
    """Return where the content of an entry begins: behind a header of 30 bytes, the name, and further fields."""
    place = file.tell()
    file.seek(entry.header_offset)
    header = file.read(30)
    file.seek(place)
    name, extra = struct.unpack("<HH", header[26:30])
    return int(entry.header_offset + 30 + name + extra)


class _Slices:
    """Reads ranges of bytes behind a place in a file."""

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        self._start = start

    def read(self, start: int, end: int) -> bytes:
        with api.model_files.open_file(self._path) as file:
            file.seek(self._start + start)
            content = file.read(end - start)
        if len(content) != end - start:
            raise EOFError("the file ends too early")
        return content
