"""The rules for tools. The studio refuses a tool that breaks one; `studio.testing` reports it earlier."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator

from studio.api.params import Params
from studio.api.tool import Tool
from studio.core import params_schema
from studio.core.descriptor import Field, Widget

_ID = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_RESERVED = ("seed", "count")
_OUTPUTS = ("image", "animation", "text", "model")
_SELECTIONS = ("", "replace", "offer")
_LANES = ("interactive", "training")


def find_problems(tool: object) -> list[str]:
    """Return a sentence for each rule that a tool breaks."""
    if not (isinstance(tool, type) and issubclass(tool, Tool)):
        return [f"{tool!r} is not a subclass of api.Tool."]
    return list(_check_tool(tool))


def name_of(tool: object) -> str:
    """Return the id of a tool, or its class name if it has none."""
    return str(getattr(tool, "id", "") or getattr(tool, "__name__", tool))


def _check_tool(tool: type[Tool]) -> Iterator[str]:
    name = name_of(tool)
    if not isinstance(getattr(tool, "id", None), str) or not _ID.fullmatch(tool.id):
        yield f"{name} needs an id like plugin.verb: lower-case letters, digits, _ and one dot."
    if not isinstance(getattr(tool, "title", None), str) or not tool.title.strip():
        yield f"{name} needs a title."
    if not inspect.cleandoc(tool.__dict__.get("__doc__") or ""):
        yield f"{name} needs a docstring; its first line is shown to the artist."
    if isinstance(tool.version, bool) or not isinstance(tool.version, int) or tool.version < 1:
        yield f"The version of {name} must be a whole number from 1."
    if tool.output not in _OUTPUTS:
        yield f"The output of {name} is {tool.output!r}, and must be one of {', '.join(_OUTPUTS)}."
    if tool.lane not in _LANES:
        yield f"The lane of {name} is {tool.lane!r}, and must be one of {', '.join(_LANES)}."
    if tool.selection not in _SELECTIONS:
        yield f"The selection of {name} is {tool.selection!r}, and must be replace, offer or nothing."
    elif tool.selection and (tool.output != "text" or "text" not in getattr(tool.Params, "model_fields", {})):
        yield f"{name} works on selected words, so it needs a parameter text and the output text."
    if tool.run is Tool.run:
        yield f"{name} does not implement run."
    elif inspect.iscoroutinefunction(tool.run) or inspect.isasyncgenfunction(tool.run):
        yield f"The run of {name} is asynchronous; it must be a plain generator."
    yield from _check_params(name, tool.Params)


def _check_params(name: str, params: object) -> Iterator[str]:
    if not (isinstance(params, type) and issubclass(params, Params)):
        yield f"The Params of {name} must derive from api.Params."
        return
    try:
        schema = params.model_json_schema()
        json.dumps(schema)
        fields = params_schema.read_fields(schema)
    except Exception as error:  # whatever pydantic or a plugin's own field type raises
        yield f"The Params of {name} cannot be shown as a form: {error}"
        return
    numbers = {field.name for field in fields if _has_bounds(field)}
    for field in fields:
        if field.pad and not {field.name, field.pad} <= numbers:
            yield f"{name}.{field.name} and {field.pad} cannot be on a pad: both must be numbers with bounds."
        if field.name in _RESERVED:
            yield f"{name} has a parameter {field.name}, which is reserved for the studio."
        if field.widget is Widget.MODEL and not field.model:
            yield f"{name}.{field.name} must say which kind of model it takes: api.param(…, model=…)."
        if len(field.labels) != len(field.choices):
            yield f"{name}.{field.name} has {len(field.choices)} choices and {len(field.labels)} labels."


def _has_bounds(field: Field) -> bool:
    is_number = field.widget in (Widget.NUMBER, Widget.WHOLE, Widget.UNIT) and not (field.many or field.optional)
    return is_number and field.minimum is not None and field.maximum is not None
