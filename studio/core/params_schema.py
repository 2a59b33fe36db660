"""A tool's JSON schema as fields, and the one set of rules that values are checked by.

The form, the engine and the worker all call `check_values` or `find_errors`; pydantic has the last word in the worker,
where a tool may have validators of its own.

Follows JSON Schema 2020-12 as pydantic writes it, for the flat schemas of tools.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from studio.core.descriptor import Field, ToolDescriptor, Widget
from studio.core.errors import BadInput, did_you_mean

_WIDGET_OF_TYPE = {"integer": Widget.WHOLE, "number": Widget.NUMBER, "boolean": Widget.SWITCH, "string": Widget.TEXT}


def read_fields(schema: Mapping[str, Any]) -> list[Field]:
    """Return the fields of a schema, in the order of the class that it was made from."""
    required = set(schema.get("required", ()))
    return [
        _build_field(name, _resolve_references(part, schema), name in required)
        for name, part in schema.get("properties", {}).items()
    ]


def check_values(tool: ToolDescriptor, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with defaults filled in, each of its field's type.

    Text is read as the field's type, so that the command line can hand over what was typed.
    Raises BadInput with one sentence for the first value that does not fit.
    """
    known = {field.name: field for field in read_fields(tool.schema)}
    for name in values:
        if name not in known:
            hint = did_you_mean(name, known) or f"It has: {', '.join(known) or 'none'}."
            raise BadInput(f"{tool.title} has no parameter {name}.", hint)
    return {name: _check_field(field, values) for name, field in known.items()}


def find_errors(tool: ToolDescriptor, values: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each field whose value `check_values` would refuse."""
    errors = {}
    for field in read_fields(tool.schema):
        try:
            _check_field(field, values)
        except BadInput as error:
            errors[field.name] = str(error.args[0])
    return errors


def find_model_choices(tool: ToolDescriptor, params: Mapping[str, Any]) -> list[str]:
    """Return the choices of the fields that ask for a model, each once."""
    choices: list[str] = []
    for field in read_fields(tool.schema):
        value = params.get(field.name) if field.widget is Widget.MODEL else None
        choices += map(str, value) if isinstance(value, list) else [str(value)] if value else []
    return list(dict.fromkeys(choices))


def _resolve_references(part: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(part)
    if reference := merged.pop("$ref", None):
        merged = {**schema["$defs"][reference.rsplit("/", 1)[-1]], **merged}
    for key in ("anyOf", "allOf"):
        if options := merged.pop(key, None):
            real = [_resolve_references(option, schema) for option in options if option.get("type") != "null"]
            merged["optional"] = len(real) < len(options)
            merged = {**(real[0] if real else {}), **merged}
    if isinstance(merged.get("items"), Mapping):
        merged["items"] = _resolve_references(merged["items"], schema)
    return merged


def _build_field(name: str, part: Mapping[str, Any], required: bool) -> Field:
    many = part.get("type") == "array"
    item: Mapping[str, Any] = part.get("items", {}) if many else part
    hints = {
        **item.get("studio", {}),
        **part.get("studio", {}),
        **item.get("studio_more", {}),
        **part.get("studio_more", {}),
    }
    choices = tuple(item["enum"]) if "enum" in item else ((item["const"],) if "const" in item else ())
    if choices:
        widget = Widget.CHOICE
    elif "widget" in hints:
        widget = Widget(hints["widget"])
    else:
        widget = _WIDGET_OF_TYPE.get(item.get("type", "string"), Widget.TEXT)
    return Field(
        name=name,
        title=_build_title(name, part.get("title", "")),
        help=" ".join(part.get("description", "").split()),
        widget=widget,
        default=part.get("default"),
        required=required,
        optional=bool(part.get("optional")),
        many=many,
        min_items=part.get("minItems", 0),
        max_items=part.get("maxItems"),
        minimum=hints.get("ge", item.get("minimum")),
        maximum=hints.get("le", item.get("maximum")),
        above=item.get("exclusiveMinimum"),
        below=item.get("exclusiveMaximum"),
        multiple_of=item.get("multipleOf"),
        max_length=item.get("maxLength"),
        pattern=item.get("pattern", ""),
        step=hints.get("step") or item.get("multipleOf"),
        unit=hints.get("unit", ""),
        choices=choices,
        labels=tuple(hints.get("labels", ()))
        or tuple(str(choice).replace("_", " ").capitalize() for choice in choices),
        model=hints.get("model", ""),
        tiles=bool(hints.get("tiles")),
        accepts=tuple(hints.get("accepts", ())),
        pad=hints.get("pad", ""),
        advanced=bool(hints.get("advanced")),
        group=hints.get("group", ""),
        format=item.get("format", ""),
    )


def _build_title(name: str, title: str) -> str:
    """Return the title of a field. A name becomes "Negative prompt", since pydantic would capitalise every word."""
    if title and title != name.replace("_", " ").title():
        return title
    return name.replace("_", " ").capitalize()


def _check_field(field: Field, values: Mapping[str, Any]) -> Any:
    if field.name in values:
        return _check_value(field, values[field.name])
    if field.required:
        raise BadInput(f"{field.title} is missing.", f"Give it a value ({field.name}).")
    return field.default


def _check_value(field: Field, value: object) -> Any:
    if value is None or (value == "" and field.optional):
        if field.optional:
            return None
        raise BadInput(f"{field.title} is missing.", f"Give it a value ({field.name}).")
    if not field.many:
        if isinstance(value, list | tuple):
            raise BadInput(f"{field.title} takes one value, but {len(value)} were given.")
        return _check_item(field, value)
    items = list(value) if isinstance(value, list | tuple) else [value]
    if len(items) < field.min_items:
        raise BadInput(
            f"{field.title}: at least {field.min_items} {_are(field.min_items)} needed, "
            f"but {len(items) or 'none'} {_were(len(items))} given."
        )
    if field.max_items is not None and len(items) > field.max_items:
        raise BadInput(f"{field.title}: at most {field.max_items} can be used, but {len(items)} were given.")
    return [_check_item(field, item) for item in items]


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _were(count: int) -> str:
    return "was" if count <= 1 else "were"


def _check_item(field: Field, value: object) -> Any:
    match field.widget:
        case Widget.CHOICE:
            return _check_choice(field, value)
        case Widget.SWITCH:
            return _check_switch(field, value)
        case Widget.WHOLE | Widget.NUMBER | Widget.UNIT:
            return _check_number(field, value)
        case _:
            return _check_text(field, str(value))


def _check_choice(field: Field, value: object) -> str | int | float:
    for choice, label in zip(field.choices, field.labels, strict=False):
        if str(value) in (str(choice), label):
            return choice
    words = [str(choice) for choice in field.choices]
    raise BadInput(
        f"{field.title} cannot be {value!r}.", did_you_mean(str(value), words) or f"Choose one of: {', '.join(words)}."
    )


def _check_switch(field: Field, value: object) -> bool:
    match str(value).strip().lower():
        case "true" | "yes" | "on" | "1":
            return True
        case "false" | "no" | "off" | "0":
            return False
        case _:
            raise BadInput(f"{field.title} must be yes or no, not {value!r}.")


def _check_text(field: Field, text: str) -> str:
    if field.max_length is not None and len(text) > field.max_length:
        raise BadInput(f"{field.title} has {len(text):,} characters; the maximum is {field.max_length:,}.")
    if field.pattern and not _matches(field.pattern, text):
        hint = "Write it as #rrggbb." if field.widget is Widget.COLOUR else ""
        raise BadInput(f"{field.title} cannot be {text!r}.", hint)
    return text


def _matches(pattern: str, text: str) -> bool:
    """Check a text against a pattern; one that only pydantic understands is left to it."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True


def _check_number(field: Field, value: Any) -> float | int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise BadInput(f"{field.title} must be a number, not {value!r}.") from None
    if not math.isfinite(number):
        raise BadInput(f"{field.title} must be a finite number.")
    if field.widget is Widget.WHOLE:
        if number != int(number):
            raise BadInput(f"{field.title} must be a whole number, not {value}.")
        number = int(number)
    if not _is_in_range(field, number):
        raise BadInput(f"{field.title} must be {_describe_range(field)}, not {number:g}.")
    if field.multiple_of and not math.isclose(number, round(number / field.multiple_of) * field.multiple_of):
        raise BadInput(f"{field.title} must be a multiple of {field.multiple_of:g}, not {number:g}.")
    return number


def _is_in_range(field: Field, number: float) -> bool:
    return (
        (field.minimum is None or number >= field.minimum)
        and (field.maximum is None or number <= field.maximum)
        and (field.above is None or number > field.above)
        and (field.below is None or number < field.below)
    )


def _describe_range(field: Field) -> str:
    if field.minimum is not None and field.maximum is not None:
        return f"between {field.minimum:g} and {field.maximum:g}"
    bounds = {"at least": field.minimum, "more than": field.above, "at most": field.maximum, "less than": field.below}
    return " and ".join(f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None)
