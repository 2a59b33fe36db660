"""GGUF files, by the writer that llama.cpp's own programs use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray


def made(
    path: Path, architecture: str = "llama", keys: Mapping[str, Any] = {}, tensors: Mapping[str, Any] = {}
) -> Path:
    """A file with these keys behind ``general.architecture``, and with float32 tensors (or pairs of packed bytes and
    their type)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    for name, value in keys.items():
        add(writer, name, value)
    for name, tensor in tensors.items():
        values, kind = tensor if isinstance(tensor, tuple) else (np.ascontiguousarray(tensor, np.float32), None)
        writer.add_tensor(name, values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add(writer: gguf.GGUFWriter, name: str, value: Any) -> None:
    match value:
        case bool():
            writer.add_bool(name, value)
        case int():
            writer.add_uint32(name, value)
        case float():
            writer.add_float32(name, value)
        case str():
            writer.add_string(name, value)
        case _:
            writer.add_array(name, value)


def packed(values: NDArray[np.float32], kind: gguf.GGMLQuantizationType) -> tuple[Any, gguf.GGMLQuantizationType]:
    return gguf.quantize(np.ascontiguousarray(values, np.float32), kind), kind


WEIGHTS = {"token_embd.weight": np.ones((6, 4), np.float32), "blk.0.attn_norm.weight": np.ones(4, np.float32)}
"""Enough to be a file with tensors."""
