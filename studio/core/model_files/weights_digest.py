"""Finds the weight files of a model, and computes the digest by which a recipe names them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from studio.core.digests import sha256

_SUFFIXES = (".safetensors", ".onnx", ".gguf", ".bin", ".pt", ".pth", ".ckpt", ".pkl")


def find_weight_files(path: Path) -> list[Path]:
    """Return the weight files of a file or folder, sorted. Other formats beside safetensors are copies and skipped."""
    if path.is_file():
        return [path]
    candidates = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
    return [file for file in candidates if file.suffix == ".safetensors"] or candidates


def digest_weights(path: Path, sha256_of: Callable[[Path], str] = sha256) -> str:
    """Return the SHA-256 of a single weight file, or of the names and digests of several; empty for none."""
    root = path if path.is_dir() else path.parent
    digests = [(file.relative_to(root).as_posix(), sha256_of(file)) for file in find_weight_files(path)]
    if len(digests) == 1:
        return digests[0][1]
    return (
        hashlib.sha256("".join(f"{name}:{value}\n" for name, value in digests).encode()).hexdigest() if digests else ""
    )
