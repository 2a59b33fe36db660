"""The paths of folders and models that recipes name without them. They stay in the home, which is not shared."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from studio.core.errors import StudioError
from studio.core.files import write_bytes_atomically
from studio.core.paths import Home
from studio.core.untrusted_files import make_valid, read_file, read_or_else

FILE = "local-paths.json"
MAX_ENTRIES = 2000


class LocalPath(Struct, frozen=True, array_like=True):
    """`name` is the name of a model in recipes, or the reference of a folder. `sha256` is that of a model's weights."""

    name: str
    sha256: str
    path: str


def remember(home: Home, name: str, path: Path, sha256: str = "") -> None:
    """Store the path of what a recipe calls `name`. A failure is ignored: the artist can choose it again."""
    entry = LocalPath(name, sha256, str(path.absolute()))
    known = _load(home)
    if entry in known or make_valid(entry.path) != entry.path:
        return
    others = [one for one in known if (one.name, one.sha256) != (name, sha256)]
    with suppress(StudioError):
        write_bytes_atomically(home.root / FILE, msgspec.json.encode([*others, entry][-MAX_ENTRIES:]))


def find(home: Home, name: str, sha256: str = "") -> Path | None:
    """Return the newest path of this name, with this hash if one is given. None if there is none any more."""
    for entry in reversed(_load(home)):
        if entry.name == name and sha256 in ("", entry.sha256) and Path(entry.path).exists():
            return Path(entry.path)
    return None


def has(home: Home, path: Path) -> bool:
    return any(entry.path == str(path) for entry in _load(home))


def _load(home: Home) -> list[LocalPath]:
    return read_or_else([], lambda: msgspec.json.decode(read_file(home.root / FILE), type=list[LocalPath]))
