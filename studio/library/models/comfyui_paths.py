"""Reads ComfyUI's `extra_model_paths.yaml`, which maps types of models to folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from studio.core.untrusted_files import read_file, read_or_else

FILE = "extra_model_paths.yaml"
MAX_SIZE = 2**16


def read_folders(file: Path) -> Iterator[tuple[str, Path]]:
    """Yield type names (`checkpoints`, `loras`, …) with their folders, which need not exist.

    The file contains named groups. In a group, each type lists one folder per line. Relative folders start at the
    group's `base_path`, or at the file's folder without one. A whole disk is left out. Yields nothing for a damaged
    file.
    """
    groups = read_or_else(None, lambda: _parse_yaml(read_file(file, MAX_SIZE)))
    for group in groups.values() if isinstance(groups, dict) else ():
        if not isinstance(group, dict):
            continue
        base = read_or_else(None, _resolve_path, str(group.get("base_path") or ""), file.parent)
        if base is None:
            continue
        for name, lines in group.items():
            if name in ("base_path", "is_default") or not isinstance(lines, str):
                continue
            for line in filter(None, map(str.strip, lines.splitlines())):
                folder = read_or_else(None, _resolve_path, line, base)
                if folder and folder != folder.parent:  # a whole disk is no folder of models
                    yield str(name), folder


def _resolve_path(path: str, base: Path) -> Path:
    """Return an absolute path. Raises ValueError or RuntimeError for a text that cannot be one."""
    os.fsencode(path)
    if "\0" in path:
        raise ValueError("a path has no NUL")
    return Path(os.path.normpath(base / Path(os.path.expandvars(path)).expanduser()))


def _parse_yaml(text: bytes) -> object:
    import yaml  # type: ignore[import-untyped] # comes with the libraries for models; the window starts without it

    return yaml.safe_load(text)
