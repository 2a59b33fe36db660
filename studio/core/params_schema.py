"""From a tool's JSON schema to fields, and from what the artist gave to checked values.

Follows JSON Schema 2020-12 as pydantic writes it, for the flat schemas of tools.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from studio.core.descriptor import Field, ToolDescriptor, Widget
from studio.core.errors import BadInput, did_you_mean

_WIDGET_OF_TYPE = {"integer": Widget.WHOLE, "number": Widget.NUMBER, "boolean": Widget.SWITCH, "string": Widget.TEXT}
_ARTISTS = {"image": "picture", "images": "pictures"}


def fields(schema: Mapping[str, Any]) -> list[Field]:
    """The fields of a schema, in the order of the class that it was made from."""
    required = set(schema.get("required", ()))
    return [
        _field(name, _resolved(part, schema), name in required) for name, part in schema.get("properties", {}).items()
    ]


def check(tool: ToolDescriptor, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with defaults filled in, each of its field's type.

    Text is read as the field's type, so that the command line can hand over what was typed.
    Raises BadInput with one sentence for the first value that does not fit.
    """
    known = {field.name: field for field in fields(tool.schema)}
    for name in values:
        if name not in known:
            hint = did_you_mean(name, known) or f"It has: {', '.join(known) or 'none'}."
            raise BadInput(f"{tool.title} has no parameter {name}.", hint)
    return {name: _checked(field, values[name]) if name in values else _default(field) for name, field in known.items()}


def models(tool: ToolDescriptor, params: Mapping[str, Any]) -> list[str]:
    """What was chosen for the fields that ask for a model, without repetition."""
    chosen: list[str] = []
    for field in fields(tool.schema):
        value = params.get(field.name) if field.widget is Widget.MODEL else None
        chosen += map(str, value) if isinstance(value, list) else [str(value)] if value else []
    return list(dict.fromkeys(chosen))


def _resolved(part: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(part)
    if reference := merged.pop("$ref", None):
        merged = {**schema["$defs"][reference.rsplit("/", 1)[-1]], **merged}
    for key in ("anyOf", "allOf"):
        if options := merged.pop(key, None):
            real = [_resolved(option, schema) for option in options if option.get("type") != "null"]
            merged["optional"] = len(real) < len(options)
            merged = {**(real[0] if real else {}), **merged}
    if isinstance(merged.get("items"), Mapping):
        merged["items"] = _resolved(merged["items"], schema)
    return merged


def _field(name: str, part: Mapping[str, Any], required: bool) -> Field:
    many = part.get("type") == "array"
    item: Mapping[str, Any] = part.get("items", {}) if many else part
    shown = {
        **item.get("studio", {}),
        **part.get("studio", {}),
        **item.get("studio_more", {}),
        **part.get("studio_more", {}),
    }
    choices = tuple(item["enum"]) if "enum" in item else ((item["const"],) if "const" in item else ())
    if choices:
        widget = Widget.CHOICE
    elif "widget" in shown:
        widget = Widget(shown["widget"])
    else:
        widget = _WIDGET_OF_TYPE.get(item.get("type", "string"), Widget.TEXT)
    return Field(
        name=name,
        title=_title(name, part.get("title", "")),
        help=" ".join(part.get("description", "").split()),
        widget=widget,
        default=part.get("default"),
        required=required,
        optional=bool(part.get("optional")),
        many=many,
        min_items=part.get("minItems", 0),
        max_items=part.get("maxItems"),
        minimum=shown.get("ge", item.get("minimum")),
        maximum=shown.get("le", item.get("maximum")),
        step=shown.get("step") or item.get("multipleOf"),
        unit=shown.get("unit", ""),
        choices=choices,
        labels=tuple(shown.get("labels", ()))
        or tuple(str(choice).replace("_", " ").capitalize() for choice in choices),
        model=shown.get("model", ""),
        tiles=bool(shown.get("tiles")),
        accepts=tuple(shown.get("accepts", ())),
        advanced=bool(shown.get("advanced")),
        group=shown.get("group", ""),
    )


def _title(name: str, title: str) -> str:
    """Pydantic's own titles capitalise every word; artists read "Negative prompt", and say picture for image."""
    if title and title != name.replace("_", " ").title():
        return title
    return " ".join(_ARTISTS.get(word, word) for word in name.split("_")).capitalize()


def _default(field: Field) -> Any:
    if field.required:
        raise BadInput(f"{field.title} is missing.", f"Give it a value ({field.name}).")
    return field.default


def _checked(field: Field, value: Any) -> Any:
    if value is None or (value == "" and field.optional):
        if field.optional:
            return None
        raise BadInput(f"{field.title} is missing.", f"Give it a value ({field.name}).")
    if not field.many:
        if isinstance(value, list | tuple):
            raise BadInput(f"{field.title} takes one value, and {len(value)} were given.")
        return _item(field, value)
    items = list(value) if isinstance(value, list | tuple) else [value]
    if len(items) < field.min_items:
        raise BadInput(
            f"{field.title}: at least {field.min_items} {_are(field.min_items)} needed, "
            f"and {len(items) or 'none'} {_were(len(items))} given."
        )
    if field.max_items is not None and len(items) > field.max_items:
        raise BadInput(f"{field.title}: at most {field.max_items} can be used, and {len(items)} were given.")
    return [_item(field, item) for item in items]


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _were(count: int) -> str:
    return "was" if count <= 1 else "were"


def _item(field: Field, value: Any) -> Any:
    match field.widget:
        case Widget.CHOICE:
            return _choice(field, value)
        case Widget.SWITCH:
            return _switch(field, value)
        case Widget.WHOLE | Widget.NUMBER | Widget.UNIT:
            return _number(field, value)
        case _:
            return str(value)


def _choice(field: Field, value: Any) -> Any:
    for choice, label in zip(field.choices, field.labels, strict=False):
        if str(value) in (str(choice), label):
            return choice
    words = [str(choice) for choice in field.choices]
    raise BadInput(
        f"{field.title} cannot be {value!r}.", did_you_mean(str(value), words) or f"Choose one of: {', '.join(words)}."
    )


def _switch(field: Field, value: Any) -> bool:
    match str(value).strip().lower():
        case "true" | "yes" | "on" | "1":
            return True
        case "false" | "no" | "off" | "0":
            return False
        case _:
            raise BadInput(f"{field.title} is a switch, and {value!r} is neither yes nor no.")


def _number(field: Field, value: Any) -> float | int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise BadInput(f"{field.title} is a number, and {value!r} is none.") from None
    if not math.isfinite(number):
        raise BadInput(f"{field.title} must be a finite number.")
    if field.widget is Widget.WHOLE:
        if number != int(number):
            raise BadInput(f"{field.title} is a whole number, and {value} is not.")
        number = int(number)
    low, high = field.minimum, field.maximum
    if (low is not None and number < low) or (high is not None and number > high):
        raise BadInput(f"{field.title} is {number:g}, and must be {_bounds(low, high)}.")
    return number


def _bounds(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"between {low:g} and {high:g}"
    return f"at least {low:g}" if low is not None else f"at most {high:g}"
