"""LoRAs in the metadata of other tools, and the tags that name them in prompts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from studio.library.foreign.lenient_values import to_float, to_text

_TAG = re.compile(r"<(?:lora|lyco|lycoris|locon):([^<>\n]{1,300})>", re.IGNORECASE)
_MAX_LORAS = 200


class ForeignLora(Struct, frozen=True, kw_only=True):
    """A LoRA by its name in the other tool. `text_encoder_weight` is None where both networks have the same weight."""

    name: str
    weight: float = 1.0
    text_encoder_weight: float | None = None
    hash: str = ""
    in_prompt: bool = False
    """True if it is named by a tag in the prompt, such as ``<lora:name:0.8>``."""


def make_lora(
    name: object, weight: object = None, text_encoder_weight: object = None, hash: object = None
) -> list[ForeignLora]:
    """Return a list of one LoRA from untrusted values; an empty list without a name."""
    text, number, encoder = to_text(name), to_float(weight), to_float(text_encoder_weight)
    number = 1.0 if number is None else number
    if not text or text.lower() == "none":
        return []
    return [
        ForeignLora(
            name=text,
            weight=number,
            text_encoder_weight=None if encoder == number else encoder,
            hash=to_text(hash),
        )
    ]


def find_tags(prompt: str, hashes: Mapping[str, str] | None = None) -> list[ForeignLora]:
    """Find LoRA tags in a prompt.

    ``<lora:name:0.8>`` has one weight, ``<lora:name:0.5:0.8>`` that of the text encoder first, and
    ``<lora:name:te=0.5:unet=0.8>`` names them.
    """
    found: list[ForeignLora] = []
    for match in _TAG.finditer(prompt):
        name, *arguments = match[1].split(":")
        named = {key.strip(): value for key, equals, value in (part.partition("=") for part in arguments) if equals}
        plain = [part for part in arguments if "=" not in part]
        encoder = to_float(named.get("te", plain[0] if plain else "1"))
        encoder = 1.0 if encoder is None else encoder
        weight = to_float(named.get("unet", plain[1] if len(plain) > 1 else None))
        for lora in make_lora(name, encoder if weight is None else weight, encoder, (hashes or {}).get(name.strip())):
            found.append(replace(lora, in_prompt=True))
        if len(found) >= _MAX_LORAS:
            break
    return found


def parse_hashes(text: str) -> dict[str, str]:
    """Parse ``name: hash, name: hash``."""
    pairs = (part.rpartition(":") for part in text[:100_000].split(","))
    return {name.strip(): hash.strip() for name, _, hash in pairs if name.strip()}


def zip_loras(names: Any, weights: Any) -> list[ForeignLora]:
    """Return the LoRAs of a list of names, or names divided by commas, and a list of weights."""
    names, weights = (value.split(",") if isinstance(value, str) else value for value in (names, weights))
    if not isinstance(names, list):
        return []
    weights = weights if isinstance(weights, list) else []
    found: list[ForeignLora] = []
    for number, name in enumerate(names[:_MAX_LORAS]):
        found += make_lora(name, weights[number] if number < len(weights) else None)
    return found
