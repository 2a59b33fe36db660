"""The values of an image that another program made, for a tool of the studio."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.cli.app_context import AppContext
from studio.cli.console import Console
from studio.core import params_schema
from studio.core.descriptor import ToolDescriptor
from studio.core.errors import BadInput
from studio.core.notices import NoticeLevel
from studio.core.recipe import SEEDS
from studio.engine.foreign_values import fit_fields
from studio.library.foreign.fields import MORE, read_fields

_ONLY_SHOWN = ("model_hash", "vae_hash")


def read_values(
    path: Path, tool: ToolDescriptor, given: Mapping[str, Any], app: AppContext, console: Console
) -> tuple[dict[str, Any], int]:
    """Return the values and the seed that a file offers, and print what of it is not used.

    Values in `given` replace those of the file. Raises BadInput if it offers nothing that the tool uses.
    """
    values: dict[str, Any] = {}
    seed: int | None = None
    notes: list[str] = []
    for fitted in fit_fields(read_fields(path), tool, app.library):
        values |= fitted.values
        seed = fitted.seed if fitted.seed is not None else seed
        if fitted.note and not fitted.field.name.startswith(MORE) and fitted.field.name not in (*_ONLY_SHOWN, *given):
            notes.append(fitted.note)
    if not values:
        raise BadInput(f"{path.name} contains no recipe.", "Choose an image that was saved with its settings.")
    model = {field.name: field.default for field in params_schema.read_fields(tool.schema)}.get("model")
    if model and "model" not in {**values, **given}:
        notes.append(f"{tool.title} uses the model {model}; choose another with --set model=NAME.")
    for note in notes:
        console.print_note(note, NoticeLevel.WARNING)
    return {**values, **given}, secrets.randbelow(SEEDS) if seed is None else seed
