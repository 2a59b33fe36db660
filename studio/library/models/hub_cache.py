"""Models of the Hugging Face hub: in its cache, and those that the studio fetched into its own models folder.

The cache's layout: ``models--ORG--NAME/snapshots/REVISION/…``, and ``refs/main`` that names the newest revision.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from studio.core.paths import Home
from studio.library.models import model_kind

PREFIX = "models--"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def is_name(choice: str) -> bool:
    """As in ``org/name``."""
    return bool(_NAME.fullmatch(choice)) and ".." not in choice


def cache() -> Path:
    """Where the hub's own library keeps what it downloads, by its variables."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if chosen := os.environ.get(variable):
            return Path(os.path.expandvars(chosen)).expanduser()
    if chosen := os.environ.get("HF_HOME"):
        return Path(os.path.expandvars(chosen)).expanduser() / "hub"
    parent = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(parent).expanduser() / "huggingface" / "hub"


def own_folder(home: Home, name: str) -> Path:
    """Where the studio itself puts a model of the hub."""
    return home.models / name.replace("/", "--")


def downloaded(home: Home, name: str) -> Path | None:
    """The folder of a hub model that is on this computer: the studio's own, else the cache's snapshot."""
    own = own_folder(home, name)
    return own if own.is_dir() else snapshot(cache() / f"{PREFIX}{name.replace('/', '--')}")


def models(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and snapshots of the models in a cache, those that hold an index or a configuration."""
    for entry in sorted(folder.glob(f"{PREFIX}*")):
        found = snapshot(entry)
        if found is not None and any((found / name).is_file() for name in (model_kind.INDEX, model_kind.CONFIG)):
            yield name_of(found), found


def name_of(path: Path) -> str:
    """``org/name`` for a snapshot in a cache, or for a folder that the studio fetched; empty for any other path."""
    entry = path.parent.parent.name if path.parent.name == "snapshots" else ""
    if entry.startswith(PREFIX):
        return entry.removeprefix(PREFIX).replace("--", "/", 1)
    return path.name.replace("--", "/", 1) if "--" in path.name.strip("-") and path.is_dir() else ""


def snapshot(entry: Path) -> Path | None:
    """That of `refs/main`, else the newest."""
    try:
        named = entry / "snapshots" / (entry / "refs" / "main").read_text("utf-8").strip()
        if named.is_dir() and named.name:
            return named
    except (OSError, ValueError):
        pass
    try:
        found = [path for path in (entry / "snapshots").iterdir() if path.is_dir()]
        return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
    except OSError:
        return None
