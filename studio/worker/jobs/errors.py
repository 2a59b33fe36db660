"""From exceptions to failures as values: the one place where that happens."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

import pydantic

from studio import api
from studio.core import params_schema
from studio.core.errors import BadInput, Failure, FailureKind, StudioError, is_out_of_memory


def failure(error: BaseException, title: str) -> Failure:
    """`title` is that of the tool that raised it."""
    details = "".join(traceback.format_exception(error))
    if is_out_of_memory(error) and not isinstance(error, StudioError):
        sentence = f"{title} needs more memory than there is. Try a smaller size, or fewer at once."
        return Failure(FailureKind.OUT_OF_MEMORY, sentence, details)
    if isinstance(error, BadInput):
        return Failure(error.kind, str(error))
    if isinstance(error, StudioError):
        return Failure(error.kind, str(error), details)
    if isinstance(error, SystemExit):
        return Failure(FailureKind.FAILED, f"{title} asked the program to end, and was stopped.", details)
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Failure(FailureKind.FAILED, f"{title} stopped with an error: {said}", details)


def validated(tool: type[api.Tool], values: Mapping[str, Any]) -> api.Params:
    """The tool's parameters. Raises BadInput with one sentence for the first value that does not fit."""
    try:
        return tool.Params.model_validate(dict(values))
    except pydantic.ValidationError as error:
        raise BadInput(_sentence(tool, error)) from error


def _sentence(tool: type[api.Tool], error: pydantic.ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    titles = {field.name: field.title for field in params_schema.fields(tool.Params.model_json_schema())}
    if first["type"] == "extra_forbidden":
        return f"{tool.title} has no parameter {name}."
    if first["type"] == "missing":
        return f"{titles.get(name, name)} is missing."
    if first["type"] == "value_error":  # raised by a validator of the tool, in its own words
        said = str(first["ctx"]["error"])
    else:
        message = first["msg"]
        said = message[:1].lower() + message[1:]
    said = said if said.endswith((".", "!", "?")) else f"{said}."
    return f"{titles[name]}: {said}" if name in titles else said
