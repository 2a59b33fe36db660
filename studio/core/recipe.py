"""A recipe: everything needed to make a result again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from studio.core.errors import BadInput

FORMAT = 1
REFERENCE = "sha256:"
"""How a recipe names an input file: this prefix and the hex digest of its bytes."""


class PluginRef(Struct, frozen=True):
    name: str
    version: str = ""


class ModelRef(Struct, frozen=True):
    """A model that took part. `sha256` is of its weights file; empty when it was not hashed."""

    name: str
    sha256: str = ""
    licence: str = ""


class Recipe(Struct, frozen=True, kw_only=True):
    """What was made, how, from what.

    `params` holds the tool's parameters; a picture among them is written as
    ``sha256:…``, never as a path. `inputs` maps the field (``image``, ``images[0]``) to the
    same reference. `parents` are the ids of the creations that those inputs are.
    """

    format: int = FORMAT
    tool: str
    tool_version: int = 1
    plugin: PluginRef
    params: dict[str, Any] = {}
    seed: int = 0
    inputs: dict[str, str] = {}
    models: list[ModelRef] = []
    versions: dict[str, str] = {}
    parents: list[str] = []
    created: str = ""
    notes: dict[str, Any] = {}

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()

    @staticmethod
    def from_json(text: str | bytes) -> Recipe:
        """Raises BadInput for text that is no recipe, or one of a newer studio."""
        try:
            recipe = msgspec.json.decode(text, type=Recipe)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise BadInput("The recipe in this file cannot be read.") from error
        if recipe.format > FORMAT:
            raise BadInput("This recipe was written by a newer studio.", "Update the studio to use it.")
        return recipe


def now() -> str:
    """The time in UTC, as ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
