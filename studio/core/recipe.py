"""A recipe: everything that is needed to reproduce a result."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from studio.core.errors import BadInput

FORMAT = 1
MAX_DEPTH = 100
"""Maximum nesting of the values in a recipe. Deeper ones can be read here and end another reader."""
REFERENCE = "sha256:"
"""Prefix of references to input files; the hex digest of their bytes follows."""
SEEDS = 2**32
"""Number of seeds: they go from 0 to `SEEDS - 1`."""


class PluginRef(Struct, frozen=True):
    """The plugin that provided the tool."""

    name: str
    version: str = ""


class ModelRef(Struct, frozen=True):
    """A model that was used. `sha256` is the digest of its weights; empty if unknown."""

    name: str
    sha256: str = ""
    licence: str = ""


class Recipe(Struct, frozen=True, kw_only=True):
    """The tool, parameters, inputs, models and versions of a result.

    `params` are the tool's parameters; an input file among them is a reference ``sha256:…``, never a path. `inputs`
    maps the field (``image``, ``images[0]``) to the same reference. `parents` are the ids of the input creations.
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
        """Parse a recipe. Raises BadInput for another text, or if a newer studio wrote it.

        What is returned can be written again: no number has more than 64 bits, and no text is broken.
        """
        try:
            recipe = msgspec.json.decode(text, type=Recipe)
            recipe.to_json()
        except Exception as error:
            raise BadInput("The recipe in this file cannot be read.") from error
        if _is_deeper((recipe.params, recipe.notes), MAX_DEPTH):
            raise BadInput("The recipe in this file cannot be read: its values are nested too deeply.")
        if recipe.format > FORMAT:
            raise BadInput("This recipe was written by a newer version of the studio.", "Update the studio to use it.")
        return recipe


def _is_deeper(value: object, limit: int) -> bool:
    """Check whether containers are nested deeper than `limit`, layer by layer."""
    layer = [value]
    for _ in range(limit + 1):
        containers = [one for one in layer if isinstance(one, dict | list | tuple) and one]
        if not containers:
            return False
        layer = [item for one in containers for item in (one.values() if isinstance(one, dict) else one)]
    return True


def utc_now() -> str:
    """Return the current time in UTC, as ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
