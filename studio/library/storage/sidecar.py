"""The small JSON file beside a creation: star, rating, tags, and the recipe where the format holds none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from studio.core.files import write_bytes_atomically
from studio.core.recipe import Recipe

SUFFIX = ".studio.json"
MAX_BYTES = 64 * 2**20
_ID = re.compile(r"-[0-9a-f]{10}\Z")
"""How the name of a file in the library ends, before its extension."""


def beside(path: Path) -> Path:
    """``NAME.EXT.studio.json``; for a model's folder, a file beside the folder."""
    return path.with_name(path.name + SUFFIX)


class Sidecar(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`imported` is the file's own name, for what was not made here, and `created` when it came.

    `aside` is a picture that only serves others, such as a mask: the history does not show it.
    """

    star: bool = False
    rating: int = 0
    tags: tuple[str, ...] = ()
    imported: str = ""
    created: str = ""
    aside: bool = False
    recipe: msgspec.Raw = msgspec.Raw(b"null")

    def read_recipe(self) -> Recipe | None:
        """Raises BadInput for one that cannot be read."""
        return None if bytes(self.recipe) == b"null" else Recipe.from_json(bytes(self.recipe))


def read(path: Path) -> Sidecar:
    """What stands beside the creation at `path`; an empty one where nothing does or it is garbled."""
    try:
        return msgspec.convert(_raw(path), Sidecar)
    except msgspec.ValidationError:
        return Sidecar()


def own_name(path: Path) -> str:
    """As the file was called before it came into the library; its name where it did not come from elsewhere."""
    return (read(path).imported if _ID.search(path.stem) else "") or path.name


def change(path: Path, **values: Any) -> None:
    """Writes some fields of the file beside `path`, and leaves the others, known or not, as they are."""
    content = _raw(path) | values
    write_bytes_atomically(beside(path), msgspec.json.format(msgspec.json.encode({"format": 1} | content), indent=2))


def write_recipe(path: Path, recipe: Recipe) -> None:
    change(path, recipe=msgspec.Raw(recipe.to_json().encode()))


def _raw(path: Path) -> dict[str, Any]:
    file = beside(path)
    try:
        if file.stat().st_size > MAX_BYTES:
            return {}
        content = msgspec.json.decode(file.read_bytes(), type=dict[str, msgspec.Raw])
        return {name: value if name == "recipe" else msgspec.json.decode(value) for name, value in content.items()}
    except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
