"""Models of the Hugging Face hub: in its cache, and in the models folder of the studio.

The cache's layout: ``models--ORG--NAME/snapshots/REVISION/…``, and ``refs/main`` that names the newest revision.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from studio.core.paths import Home
from studio.core.untrusted_files import read_file
from studio.library.models import model_kind

PREFIX = "models--"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def is_hub_name(choice: str) -> bool:
    """Check whether a text has the form ``org/name``."""
    return bool(_NAME.fullmatch(choice)) and ".." not in choice


def cache_folder() -> Path:
    """Return the cache folder of huggingface_hub, which environment variables may set."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := os.environ.get(variable):
            return Path(os.path.expandvars(folder)).expanduser()
    if folder := os.environ.get("HF_HOME"):
        return Path(os.path.expandvars(folder)).expanduser() / "hub"
    parent = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(parent).expanduser() / "huggingface" / "hub"


def studio_folder(home: Home, name: str) -> Path:
    """Return the folder into which the studio downloads a model of the hub."""
    return home.models / name.replace("/", "--")


def find_downloaded(home: Home, name: str) -> Path | None:
    """Return the local folder of a hub model: the studio's, else a snapshot in the cache. None if there is neither."""
    own = studio_folder(home, name)
    return own if own.is_dir() else find_snapshot(cache_folder() / f"{PREFIX}{name.replace('/', '--')}")


def list_models(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield names and snapshots of the models in a cache that have an index or a configuration."""
    for entry in sorted(folder.glob(f"{PREFIX}*")):
        path = find_snapshot(entry)
        if path is not None and any((path / name).is_file() for name in (model_kind.INDEX, model_kind.CONFIG)):
            yield name_of(path), path


def name_of(path: Path) -> str:
    """Return ``org/name`` for a snapshot in a cache or a folder that the studio downloaded; empty for other paths."""
    entry = path.parent.parent.name if path.parent.name == "snapshots" else ""
    if entry.startswith(PREFIX):
        return entry.removeprefix(PREFIX).replace("--", "/", 1)
    return path.name.replace("--", "/", 1) if "--" in path.name.strip("-") and path.is_dir() else ""


def find_snapshot(entry: Path) -> Path | None:
    """Return the snapshot that `refs/main` names, else the newest one. None if there is none."""
    try:
        named = entry / "snapshots" / read_file(entry / "refs" / "main", 1_000).decode().strip()
        if named.is_dir() and named.name:
            return named
    except (OSError, ValueError):
        pass
    try:
        snapshots = [path for path in (entry / "snapshots").iterdir() if path.is_dir()]
        return max(snapshots, key=lambda path: path.stat().st_mtime_ns, default=None)
    except OSError:
        return None
