"""Reads ComfyUI's `extra_model_paths.yaml`, which maps types of models to folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

FILE = "extra_model_paths.yaml"
MAX_SIZE = 2**20


def read_folders(file: Path) -> Iterator[tuple[str, Path]]:
    """Yield type names (`checkpoints`, `loras`, …) with their folders, which need not exist.

    The file contains named groups. In a group, each type lists one folder per line. Relative folders start at the
    group's `base_path`, or at the file's folder without one. Yields nothing for a damaged file.
    """
    try:
        if file.stat().st_size > MAX_SIZE:
            return
        groups = _parse_yaml(file.read_text("utf-8"))
    except (OSError, ValueError):
        return
    for group in groups.values() if isinstance(groups, dict) else ():
        if not isinstance(group, dict):
            continue
        base = _resolve_path(str(group.get("base_path") or ""), file.parent)
        for name, lines in group.items():
            if name in ("base_path", "is_default") or not isinstance(lines, str):
                continue
            for line in filter(None, map(str.strip, lines.splitlines())):
                yield str(name), _resolve_path(line, base)


def _resolve_path(path: str, base: Path) -> Path:
    return Path(os.path.normpath(base / Path(os.path.expandvars(path)).expanduser()))


def _parse_yaml(text: str) -> object:
    """Parse YAML. Raises ValueError if it is invalid."""
    import yaml  # type: ignore[import-untyped] # comes with the libraries for models; the window starts without it

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from error
