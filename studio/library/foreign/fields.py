"""What the metadata of another tool offers, as a list of named fields to choose from."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from studio.library.foreign.lora_values import ForeignLora
from studio.library.foreign.metadata import ForeignMetadata, read_metadata

FieldValue: TypeAlias = str | int | float | tuple[int, int] | tuple[ForeignLora, ...]
MORE = "more."
"""Prefix of the names of fields that have no meaning here and are only shown."""

_TITLES = {
    "prompt": "Prompt",
    "negative_prompt": "Negative prompt",
    "seed": "Seed",
    "size": "Size",
    "steps": "Steps",
    "guidance": "Guidance scale",
    "sampler": "Sampler",
    "scheduler": "Noise schedule",
    "strength": "Denoising strength",
    "clip_skip": "Clip skip",
    "model": "Model",
    "model_hash": "Model hash",
    "vae": "VAE",
    "vae_hash": "VAE hash",
    "loras": "LoRAs",
}


class ForeignField(Struct, frozen=True, kw_only=True):
    """One value that another tool wrote.

    `name` is unique and stable: one of the keys of `_TITLES`, or `MORE` and the other tool's name for the setting.
    `value` is an int for seed, steps and clip_skip, a float for guidance and strength, ``(width, height)`` for size,
    LoRAs for loras, and text for all others. `title` and `text` are for the screen; `text` may have several lines.
    """

    name: str
    title: str
    value: FieldValue
    text: str


def read_fields(path: Path) -> list[ForeignField]:
    """Read what another tool wrote into a file. Return an empty list if no known tool wrote anything. Never raises."""
    found = read_metadata(path)
    return list_fields(found) if found else []


def list_fields(found: ForeignMetadata) -> list[ForeignField]:
    """Return the present values in the order of a form, those of unknown meaning last."""
    values: dict[str, FieldValue | None] = {name: getattr(found, name, None) for name in _TITLES}
    values["size"] = (found.width, found.height) if found.width and found.height else None
    values["loras"] = tuple(found.loras)
    fields = [
        ForeignField(name=name, title=_TITLES[name], value=value, text=_format_value(value))
        for name, value in values.items()
        if value not in (None, "", ())
    ]
    return fields + [
        ForeignField(name=MORE + key, title=key, value=text, text=text) for key, text in found.more.items()
    ]


def _format_value(value: FieldValue) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if not isinstance(value, tuple):
        return str(value)
    if isinstance(value[0], int):
        return " × ".join(map(str, value))
    return "\n".join(_format_lora(lora) for lora in value if isinstance(lora, ForeignLora))


def _format_lora(lora: ForeignLora) -> str:
    weights = [lora.weight] if lora.text_encoder_weight is None else [lora.weight, lora.text_encoder_weight]
    return f"{lora.name} ({', '.join(f'{weight:g}' for weight in weights)})"
