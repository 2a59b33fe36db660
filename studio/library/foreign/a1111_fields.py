"""Fields from the settings of AUTOMATIC1111, Forge and the many tools that write like them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from studio.library.foreign import a1111
from studio.library.foreign.lenient_values import to_float
from studio.library.foreign.lora_values import ForeignLora, find_tags, make_lora, parse_hashes
from studio.library.foreign.parsed_fields import Fields, Texts, parse_json, to_fields

_PLACES = ("UserComment", "parameters", "xmp", "comment", "©cmt", "ImageDescription")
"""Names of texts that may hold parameters; the first wins."""
_SETTINGS = {
    "seed": "Seed",
    "steps": "Steps",
    "guidance": "CFG scale",
    "sampler": "Sampler",
    "scheduler": "Schedule type",
    "strength": "Denoising strength",
    "clip_skip": "Clip skip",
    "model": "Model",
    "model_hash": "Model hash",
    "vae": "VAE",
    "vae_hash": "VAE hash",
}
_OTHER_NAMES = {"CFG scale": "Guidance Scale", "Denoising strength": "Strength", "Model hash": "Model Hash"}
"""Names of settings in tools that write like the web UI, by its names."""
_SIZE = re.compile(r"(\d{1,6})\s*[x×]\s*(\d{1,6})")
_DISTILLED = "Distilled CFG Scale"
_ADDED_LORA = re.compile(r"AddNet Model (\d{1,2})")


def read_a1111(texts: Texts) -> Fields:
    """Read parameters. A text without settings counts where it stands under ``parameters`` or has a negative prompt."""
    for name in _PLACES:
        text = texts.get(name, "")
        if not text.strip() or parse_json(text) is not None:
            continue
        found = a1111.parse(text)
        if found.settings or name == "parameters" or "Negative prompt:" in text:
            return _read_parameters(found)
    return {}


def _read_parameters(found: a1111.Parameters) -> Fields:
    settings = dict(found.settings)
    for name, other in _OTHER_NAMES.items():
        if name not in settings and other in settings:
            settings[name] = settings.pop(other)
    size = _SIZE.fullmatch(settings.get("Size", ""))
    hashes = _parse_all_hashes(settings)
    done = {*_SETTINGS.values(), "Hashes", "Lora hashes", *(("Size",) if size else ())}
    values: dict[str, Any] = {
        "prompt": found.prompt,
        "negative_prompt": found.negative_prompt,
        "width": size[1] if size else None,
        "height": size[2] if size else None,
        **{ours: settings.get(theirs) for ours, theirs in _SETTINGS.items()},
    }
    values["model_hash"] = values["model_hash"] or hashes.get("model")
    values["vae_hash"] = values["vae_hash"] or hashes.get("vae")
    more = {name: value for name, value in settings.items() if name not in done}
    if to_float(settings.get("CFG scale")) == 1 and to_float(settings.get(_DISTILLED)) is not None:
        values["guidance"] = more.pop(_DISTILLED)
        more["CFG scale"] = settings["CFG scale"]
    loras = [*find_tags(found.prompt, hashes), *_read_added_loras(settings)]
    return to_fields(values, loras=loras, more=more)


def _parse_all_hashes(settings: Mapping[str, str]) -> dict[str, str]:
    """Return hashes by LoRA name, and those of ``model`` and ``vae``."""
    found = parse_hashes(settings.get("Lora hashes", ""))
    table = parse_json(settings.get("Hashes"))
    for name, value in table.items() if isinstance(table, dict) else ():
        if isinstance(value, str):
            found.setdefault(name.removeprefix("lora:"), value)
    return found


def _read_added_loras(settings: Mapping[str, str]) -> Iterator[ForeignLora]:
    """Yield the LoRAs of the extension Additional Networks: ``AddNet Model 1: name(hash), AddNet Weight A 1: 0.8``."""
    for key, value in settings.items():
        if match := _ADDED_LORA.fullmatch(key):
            name, _, hash = value.partition("(")
            weight, encoder = (settings.get(f"AddNet Weight {letter} {match[1]}") for letter in "AB")
            yield from make_lora(name, weight, encoder, hash.rstrip(")"))
