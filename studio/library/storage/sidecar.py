"""The sidecar of a creation: a JSON file with star, rating, tags, and the recipe if the format cannot hold one."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Annotated, Any

import msgspec

from studio.core.files import write_bytes_atomically
from studio.core.recipe import Recipe
from studio.core.untrusted_files import read_file, read_or_else

SUFFIX = ".studio.json"
_STORED_NAMES = {"hidden": "aside"}
"""Names in the file of fields that are called otherwise here."""
MAX_BYTES = 8 * 2**20
_ID_SUFFIX = re.compile(r"-[0-9a-f]{10}\Z")
"""Ending of file names in the library, before the extension: the first ten digits of the id."""


def sidecar_path(path: Path) -> Path:
    """Return ``NAME.EXT.studio.json`` beside the file or model folder."""
    return path.with_name(path.name + SUFFIX)


class Sidecar(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename=_STORED_NAMES):
    """`imported` is the original name of an imported file, and `created` the time of its import.

    A `hidden` image only serves as an input, such as a mask; the history does not show it. `title` is the name that the
    artist gave a trained model, and `former_titles` are the names before it, the last one last.
    """

    star: bool = False
    rating: Annotated[int, msgspec.Meta(ge=0, le=5)] = 0
    tags: tuple[str, ...] = ()
    imported: str = ""
    created: str = ""
    hidden: bool = False
    title: str = ""
    former_titles: tuple[str, ...] = ()
    recipe: msgspec.Raw = msgspec.Raw(b"null")

    def read_recipe(self) -> Recipe | None:
        """Return the recipe, or None if there is none. Raises BadInput if it cannot be read."""
        return None if bytes(self.recipe) == b"null" else Recipe.from_json(bytes(self.recipe))


def read(path: Path) -> Sidecar:
    """Read the sidecar of the creation at `path`. Fields that are missing or damaged have their defaults."""
    stored, found = _read_fields(path), dict[str, Any]()
    for field in msgspec.structs.fields(Sidecar):
        if (raw := stored.get(field.encode_name)) is not None:
            decode = functools.partial(msgspec.json.decode, raw, type=field.type)
            found[field.name] = raw if field.type is msgspec.Raw else read_or_else(field.default, decode)
    return Sidecar(**found)


def original_name(path: Path) -> str:
    """Return the name that a file had before it was imported, or its current name if it was not."""
    return (read(path).imported if _ID_SUFFIX.search(path.stem) else "") or path.name


def update(path: Path, **values: object) -> None:
    """Write some fields of the sidecar of `path`. Other fields, known or not, stay as they are."""
    content = (
        {"format": 1} | _read_fields(path) | {_STORED_NAMES.get(name, name): value for name, value in values.items()}
    )
    encoded = msgspec.json.encode(content)
    write_bytes_atomically(sidecar_path(path), read_or_else(encoded, msgspec.json.format, encoded, indent=2))


def write_recipe(path: Path, recipe: Recipe) -> None:
    update(path, recipe=msgspec.Raw(recipe.to_json().encode()))


def _read_fields(path: Path) -> dict[str, msgspec.Raw]:
    """Return the undecoded fields, so that one which is damaged or unknown costs no other."""
    content = read_or_else(b"", read_file, sidecar_path(path), MAX_BYTES)
    nothing = dict[str, msgspec.Raw]()
    strict = read_or_else(nothing, lambda: msgspec.json.decode(content, type=dict[str, msgspec.Raw]))
    return strict or read_or_else(nothing, _decode_broken_text, content)


def _decode_broken_text(content: bytes) -> dict[str, msgspec.Raw]:
    """Decode fields of which one has text that is not Unicode, as msgspec refuses the whole of them."""
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in json.loads(content).items()}
