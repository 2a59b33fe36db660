"""The files that hold a model's weights, and the digest that a recipe names them by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from studio.core.digests import sha256

_ENDINGS = (".safetensors", ".onnx", ".gguf", ".bin", ".pt", ".pth", ".ckpt", ".pkl")


def files(path: Path) -> list[Path]:
    """Those of a file or folder, by name. Where there are safetensors, other formats are copies of the same."""
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in _ENDINGS and file.is_file())
    return [file for file in found if file.suffix == ".safetensors"] or found


def digest(path: Path, sha256_of: Callable[[Path], str] = sha256) -> str:
    """The SHA-256 of a single file of weights; over names and digests where there are several; empty for none."""
    root = path if path.is_dir() else path.parent
    digests = [(file.relative_to(root).as_posix(), sha256_of(file)) for file in files(path)]
    if len(digests) == 1:
        return digests[0][1]
    return hashlib.sha256("".join(f"{name}:{one}\n" for name, one in digests).encode()).hexdigest() if digests else ""
