"""What a recipe would use outside of the studio's folders. Nothing of it is used before the artist has agreed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from studio.core import params_schema, private_paths
from studio.core.descriptor import Field, ToolDescriptor, Widget
from studio.core.paths import Home
from studio.core.untrusted_files import make_printable
from studio.library.models import hub_cache, offers

_TAG = re.compile(r"<\w{1,40}:([^<>:]+(?::[/\\][^<>:]*)?)")
"""A tag in a prompt, such as ``<lora:name:0.8>``, up to its weight."""
_MAX_SHOWN = 80


class OutsideUse(Struct, frozen=True):
    """A folder, file or model that a recipe names, by its field."""

    field: str
    title: str
    value: str
    is_download: bool = False

    def describe(self) -> str:
        shown = make_printable(self.value)
        shown = shown if len(shown) <= _MAX_SHOWN else f"{shown[: _MAX_SHOWN - 1]}…"
        return f"{self.title} {shown}{' (a download)' if self.is_download else ''}"


def find_outside_uses(tool: ToolDescriptor, values: Mapping[str, Any], home: Home) -> list[OutsideUse]:
    """Return what restored values (see `recipe_builder.restore_values`) name outside of the studio's folders.

    That is every folder, each model that `offers.is_trusted` does not know, and any other path. Nothing is read.
    """
    uses: list[OutsideUse] = []
    for field in params_schema.read_fields(tool.schema):
        value = values.get(field.name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and item:
                uses += _check(field, item, home)
    return uses


def describe_uses(uses: list[OutsideUse]) -> str:
    """Return a sentence with what a recipe names outside of the studio's folders."""
    shown = "; ".join(use.describe() for use in uses[:5])
    more = f"; and {len(uses) - 5:,} more" if len(uses) > 5 else ""
    return f"This recipe uses what is outside of the library and the model folders: {shown}{more}."


def _check(field: Field, value: str, home: Home) -> Iterator[OutsideUse]:
    if field.widget is Widget.MODEL:
        yield from _check_model(field, value, home)
    elif field.widget is Widget.FOLDER:
        if not value.startswith(private_paths.FOLDER_REFERENCE):
            yield OutsideUse(field.name, field.title, value)
    elif field.is_path or (field.widget is Widget.TEXT and private_paths.is_path(value)):
        yield OutsideUse(field.name, field.title, value)
    elif field.widget in (Widget.TEXT, Widget.PROMPT, Widget.PAGE):
        for tag in _TAG.finditer(value):
            yield from _check_model(field, tag[1].strip(), home)


def _check_model(field: Field, choice: str, home: Home) -> Iterator[OutsideUse]:
    try:
        if offers.is_trusted(home, choice):
            return
        exists = Path(choice).exists()
    except (OSError, ValueError, RuntimeError):  # too long, with a NUL, or in the home of nobody
        exists = True
    is_download = hub_cache.is_hub_name(choice) and not exists
    if exists or is_download or set(choice) & set("/\\~"):
        yield OutsideUse(field.name, field.title, choice, is_download)
