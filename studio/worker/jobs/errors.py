"""Failures as values: the one place where exceptions of a job become sentences."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from studio import api
from studio.core import params_schema
from studio.core.descriptor import ToolDescriptor
from studio.core.errors import BadInput, Failure, FailureKind, StudioError, describe_exception, is_out_of_memory
from studio.core.files import describe_full_disk, is_disk_full


def to_failure(error: BaseException, title: str, folder: Path | None = None) -> Failure:
    """Return the failure for an exception; `title` is that of the tool that raised it, `folder` where it writes."""
    details = "".join(traceback.format_exception(error))
    if is_out_of_memory(error) and not isinstance(error, StudioError):
        sentence = f"{title} needs more memory than there is. Try a smaller size, or fewer at once."
        return Failure(FailureKind.OUT_OF_MEMORY, sentence, details)
    if isinstance(error, BadInput):
        return Failure(error.kind, str(error))
    if isinstance(error, StudioError):
        return Failure(error.kind, str(error), details)
    if is_disk_full(error):
        full = describe_full_disk(f"what {title} writes", folder or Path())
        return Failure(full.kind, str(full), details)
    if isinstance(error, SystemExit):
        return Failure(FailureKind.FAILED, f"{title} tried to end the program, and was stopped.", details)
    return Failure(FailureKind.FAILED, f"{title} stopped with an error: {describe_exception(error)}", details)


def validate_params(tool: type[api.Tool], values: Mapping[str, Any]) -> api.Params:
    """Return the tool's parameters, checked by the rules of the form and then by the tool's own validators.

    Raises BadInput with one sentence for the first value that does not fit.
    """
    schema = tool.Params.model_json_schema()
    checked = params_schema.check_values(ToolDescriptor(id=tool.id, title=tool.title, plugin="", schema=schema), values)
    try:
        return tool.Params.model_validate(checked)
    except pydantic.ValidationError as error:
        titles = {field.name: field.title for field in params_schema.read_fields(schema)}
        raise BadInput(_describe_validation_error(error, titles)) from error


def _describe_validation_error(error: pydantic.ValidationError, titles: Mapping[str, str]) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "value_error":  # raised by a validator of the tool, in its own words
        sentence = str(first["ctx"]["error"])
    else:
        sentence = first["msg"][:1].lower() + first["msg"][1:]
    sentence = sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
    return f"{titles[name]}: {sentence}" if name in titles else sentence
