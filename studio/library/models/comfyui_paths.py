"""ComfyUI's `extra_model_paths.yaml`: which kinds of models lie in which folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

FILE = "extra_model_paths.yaml"
MAX_SIZE = 2**20


def folders(file: Path) -> Iterator[tuple[str, Path]]:
    """Names of types (`checkpoints`, `loras`, …) and their folders, which need not exist.

    The file holds named groups. In each, `base_path` stands before the group's relative paths, and a type
    names one folder per line; without a base they are relative to the file. A damaged file has none.
    """
    try:
        if file.stat().st_size > MAX_SIZE:
            return
        groups = _parsed(file.read_text("utf-8"))
    except (OSError, ValueError):
        return
    for group in groups.values() if isinstance(groups, dict) else ():
        if not isinstance(group, dict):
            continue
        base = _absolute(str(group.get("base_path") or ""), file.parent)
        for name, lines in group.items():
            if name in ("base_path", "is_default") or not isinstance(lines, str):
                continue
            for line in filter(None, map(str.strip, lines.splitlines())):
                yield str(name), _absolute(line, base)


def _absolute(path: str, base: Path) -> Path:
    return Path(os.path.normpath(base / Path(os.path.expandvars(path)).expanduser()))


def _parsed(text: str) -> object:
    """Raises ValueError for what is no YAML."""
    import yaml  # type: ignore[import-untyped] # comes with the libraries for models; the window starts without it

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from error
