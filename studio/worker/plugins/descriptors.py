"""Descriptors of tools, from which the studio builds its window."""

from __future__ import annotations

import inspect

from studio import api
from studio.core.descriptor import ToolDescriptor


def describe(tool: type[api.Tool], plugin: str, plugin_version: str) -> ToolDescriptor:
    """Return the descriptor of a tool that `api.validation` found no problem in."""
    return ToolDescriptor(
        id=tool.id,
        title=tool.title,
        summary=inspect.cleandoc(tool.__doc__ or "").partition("\n")[0],
        plugin=plugin,
        plugin_version=plugin_version,
        version=tool.version,
        output=tool.output,
        lane=tool.lane,
        live=bool(tool.live),
        pausable=bool(tool.pausable),
        inspects_data=tool.inspect_data is not api.Tool.inspect_data,
        captions_images=bool(tool.captions_images),
        deterministic=bool(tool.deterministic),
        selection=tool.selection,
        icon=tool.icon,
        schema=tool.Params.model_json_schema(),
    )
