"""What InvokeAI writes: JSON since version 2, before that the command line of a dream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from studio.library.foreign.lenient_values import to_float, to_int, to_text
from studio.library.foreign.lora_values import ForeignLora, make_lora
from studio.library.foreign.parsed_fields import Fields, Texts, get_object, parse_object, to_fields

_NEGATIVE = re.compile(r"\[([^\[\]]*)\]")
"""A part of the negative prompt in a prompt of versions 1 and 2, which had one field for both."""
_SPACES = re.compile(r" {2,}")
_DREAM = re.compile(r'\s*"((?:[^"\\]|\\.)*)"(.*)', re.DOTALL)
_FLAG = re.compile(r"(?<!\S)-([sSWHCAf]) ?([\w.]+)")
_FLAGS = {"s": "steps", "S": "seed", "W": "width", "H": "height", "C": "guidance", "A": "sampler", "f": "strength"}


def read_metadata(texts: Texts) -> Fields:
    """Read the metadata of versions 3 and later."""
    metadata = parse_object(texts, "invokeai_metadata")
    model, vae = get_object(metadata, "model"), get_object(metadata, "vae")
    skipped = to_int(metadata.get("clip_skip"))
    values = {
        **metadata,
        "model": _name_of(model) or metadata.get("model"),
        "model_hash": model.get("hash"),
        "vae": _name_of(vae) or metadata.get("vae"),
        "vae_hash": vae.get("hash"),
        "clip_skip": None if skipped is None else skipped + 1,
    }
    guidance = "cfg_scale"
    if "cfg_scale" not in metadata or (to_float(metadata["cfg_scale"]) == 1 and "guidance" in metadata):
        guidance = "guidance"
    return to_fields(
        values,
        loras=_read_loras(metadata.get("loras")),
        done=("loras",),
        prompt="positive_prompt",
        negative_prompt="negative_prompt",
        guidance=guidance,
        sampler="scheduler",
        scheduler="",
    )


def read_old_metadata(texts: Texts) -> Fields:
    """Read the metadata of version 2."""
    outer = parse_object(texts, "sd-metadata")
    metadata = get_object(outer, "image")
    prompt = metadata.get("prompt")
    if isinstance(prompt, list):
        prompt = ", ".join(to_text(part.get("prompt")) for part in prompt[:100] if isinstance(part, dict))
    positive, negative = split_prompt(to_text(prompt))
    rest = {key: value for key, value in outer.items() if key not in ("image", "model_weights", "model_hash")}
    values = {
        **rest,
        **metadata,
        "prompt": positive,
        "negative_prompt": negative,
        "model": outer.get("model_weights"),
        "model_hash": outer.get("model_hash"),
    }
    return to_fields(values, guidance="cfg_scale") if metadata else {}


def read_dream(texts: Texts) -> Fields:
    """Read the command line of version 1: ``"a fox [blurry]" -s 50 -S 42 -W 512``."""
    match = _DREAM.match(texts.get("Dream", "")[:100_000])
    if not match:
        return {}
    positive, negative = split_prompt(re.sub(r"\\(.)", r"\1", match[1]))
    flags = {_FLAGS[flag]: value for flag, value in _FLAG.findall(match[2])}
    return to_fields({"prompt": positive, "negative_prompt": negative, **flags})


def split_prompt(prompt: str) -> tuple[str, str]:
    """Split a prompt of version 1 or 2 into prompt and negative prompt, which stands in square brackets."""
    negative = " ".join(_NEGATIVE.findall(prompt))
    return (_SPACES.sub(" ", _NEGATIVE.sub(" ", prompt)).strip(), negative.strip()) if negative else (prompt, "")


def _read_loras(values: Any) -> Iterator[ForeignLora]:
    for value in values[:200] if isinstance(values, list) else ():
        if isinstance(value, dict):
            lora = get_object(value, "model") or get_object(value, "lora")
            name = _name_of(lora) or value.get("model_name") or value.get("lora")
            yield from make_lora(name, value.get("weight"), hash=lora.get("hash"))


def _name_of(model: dict[str, Any]) -> str:
    return to_text(model.get("name")) or to_text(model.get("model_name"))
