"""Read model files: headers without loading, tensors, change stamps, and loading with plain error messages."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from studio.api.weight_checks import (
    check_gguf_weights,
    check_loaded,
    check_tensors,
    check_vocabulary,
    check_weights,
    refuse_pointers,
    refuse_whole_numbers,
    refuse_whole_numbers_in_file,
)
from studio.core.errors import StudioError, is_out_of_memory
from studio.core.files import atomic_write
from studio.core.model_files.gguf_header import GgufHeader, GgufTensor, read_gguf_header
from studio.core.model_files.safetensors_header import PICKLE_SUFFIXES, read_weight_shapes, refuse_lfs_pointer
from studio.core.model_files.tensor_names import kind_of_names
from studio.core.untrusted_files import damage_as_bad_input, open_file

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "PICKLE_SUFFIXES",
    "UNREADABLE",
    "GgufHeader",
    "GgufTensor",
    "check_gguf_weights",
    "check_loaded",
    "check_tensors",
    "check_vocabulary",
    "check_weights",
    "damage_as_bad_input",
    "file_stamp",
    "kind_of_names",
    "open_file",
    "quiet_load",
    "read_gguf_header",
    "read_tensors",
    "read_title",
    "read_weight_shapes",
    "refuse_lfs_pointer",
    "refuse_pointers",
    "refuse_whole_numbers",
    "refuse_whole_numbers_in_file",
    "write_tensors",
]

UNREADABLE: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    SafetensorError,
)
"""Exceptions that libraries raise for a file that is damaged, incomplete or made for another model.

A RuntimeError also stands for a device that is out of memory: `quiet_load` and `api.is_out_of_memory` tell the two
apart.
"""

_STAMPED = (".safetensors", ".sft", ".gguf", ".onnx", ".json", ".txt", ".model", *PICKLE_SUFFIXES)


def file_stamp(*paths: Path) -> int:
    """Return the time of the latest change to model files, in ns since the epoch; 0 where there are none.

    Of a folder, the weights, configurations and vocabularies in it and in the folders inside it count. Put the stamp
    into the key of `ctx.models.load`, so that a model that was saved again under its name is loaded again.
    """
    return max((file.stat().st_mtime_ns for path in paths for file in _model_files(path)), default=0)


def read_title(path: Path) -> str:
    """Return the title in the `studio.json` of a model's folder; otherwise the name of the folder or file."""
    try:
        title = json.loads((path / "studio.json").read_bytes()).get("title")
    except UNREADABLE:
        title = None
    return title if isinstance(title, str) and title else path.name


def _model_files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for pattern in ("*", "*/*"):
        yield from (file for file in path.glob(pattern) if file.suffix.lower() in _STAMPED and file.is_file())


@contextmanager
def quiet_load(otherwise: StudioError | None = None) -> Iterator[None]:
    """Silence the warnings of libraries while a model is loaded, and replace their errors by one for the artist.

    With `otherwise`, each of the exceptions in `UNREADABLE` is raised as `otherwise`. Errors of the studio, and those
    that mean that memory is short, pass unchanged: the studio then drops other models and tries again.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except UNREADABLE as error:
            if otherwise is None or is_out_of_memory(error):
                raise
            raise otherwise from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
    """Write tensors and plain JSON notes into one safetensors file, whole or not at all.

    Raises StudioError when the disk is full or the folder may not be written.
    """
    from safetensors.torch import save_file

    with atomic_write(path) as part:
        save_file(dict(tensors), part, metadata={"notes": json.dumps(notes)})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the (tensors, notes) of a file by `write_tensors`, on the CPU.

    Raises OSError when the file is missing and ValueError when it is damaged.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return tensors, json.loads((file.metadata() or {}).get("notes", "{}"))
    except SafetensorError as error:
        raise ValueError(f"{path.name} is damaged") from error
