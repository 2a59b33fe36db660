"""Readers for the dialects in which image tools write their parameters, one for each tool.

Each reader takes texts by their name in the file and returns fields of `ForeignMetadata`. Values of an
unexpected type are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from studio.library.foreign import comfy_reader, invokeai
from studio.library.foreign.a1111_fields import read_a1111
from studio.library.foreign.lenient_values import to_int, to_text
from studio.library.foreign.lora_values import ForeignLora, find_tags, make_lora, zip_loras
from studio.library.foreign.parsed_fields import Fields, Texts, get_object, parse_json, parse_object, to_fields

_AIRUNNER = ("prompt", "seed", "scale", "steps")


def read(texts: Texts) -> Iterator[tuple[str, Fields]]:
    """Yield the tools that may have written these texts, most likely first, with the fields that they wrote."""
    for source, reader in _READERS:
        metadata = reader(texts)
        if metadata:
            yield source, metadata


def parse_stealth_text(text: str) -> dict[str, str]:
    """Split a text from the alpha channel: NovelAI's is a JSON object of texts; other tools store parameters."""
    content = parse_json(text)
    if not isinstance(content, dict):
        return {"parameters": text}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in content.items()}


def _read_swarmui(texts: Texts) -> Fields:
    outer = _parse_parameters_json(texts)
    metadata = get_object(outer, "sui_image_params")
    models = outer.get("sui_models")
    hashes = {
        to_text(model.get("name")): to_text(model.get("hash"))
        for model in (models[:200] if isinstance(models, list) else ())
        if isinstance(model, dict)
    }
    last_layer = to_int(metadata.get("clipstopatlayer"))
    values = {
        **metadata,
        "clip_skip": -last_layer if last_layer is not None and last_layer < 0 else None,
        "model_hash": hashes.get(to_text(metadata.get("model"))),
    }
    loras = zip_loras(metadata.get("loras"), metadata.get("loraweights"))
    return to_fields(
        values,
        loras=loras or find_tags(to_text(metadata.get("prompt"))),
        done=("loras", "loraweights", "clipstopatlayer"),
        negative_prompt="negativeprompt",
        guidance="cfgscale",
        strength="initimagecreativity",
    )


def _read_fooocus(texts: Texts) -> Fields:
    written = _parse_parameters_json(texts)
    metadata = {name.lower().replace(" ", "_"): value for name, value in written.items()}
    scheme = texts.get("fooocus_scheme") or texts.get("MakerNote", "")
    if not metadata or ("base_model" not in metadata and scheme != "fooocus"):
        return {}
    size = re.fullmatch(r"\D*(\d{1,6})\D+(\d{1,6})\D*", to_text(metadata.get("resolution"))[:40])
    width, height = size.groups() if size else (None, None)
    numbered = [name for name in metadata if re.fullmatch(r"lora(_combined)?_\d{1,2}", name)]
    return to_fields(
        {"width": width, "height": height, **metadata},
        loras=list(_read_fooocus_loras(metadata.get("loras"), [metadata[name] for name in numbered])),
        done=(*numbered, "loras", *(("resolution",) if size else ())),
        guidance="guidance_scale",
        model="base_model",
        model_hash="base_model_hash",
    )


def _read_fooocus_loras(listed: Any, numbered: list[Any]) -> Iterator[ForeignLora]:
    """Yield LoRAs from ``["name", weight, "hash"]`` or, without such a list, from ``name : weight``."""
    for value in listed[:200] if isinstance(listed, list) else ():
        if isinstance(value, list) and len(value) > 1:
            yield from make_lora(value[0], value[1], hash=value[2] if len(value) > 2 else None)
    for value in numbered if not listed else ():
        name, _, weight = to_text(value).rpartition(" : ")
        yield from make_lora(name, weight)


def _read_novelai(texts: Texts) -> Fields:
    metadata = parse_object(texts, "Comment")
    if "uc" not in metadata and not texts.get("Software", "").startswith("NovelAI"):
        return {}
    prompt = to_text(metadata.get("prompt")) or texts.get("Description", "")
    captions = get_object(get_object(metadata, "v4_prompt"), "caption").get("char_captions")
    characters = {
        f"Character {number}": caption.get("char_caption")
        for number, caption in enumerate(captions[:20] if isinstance(captions, list) else (), 1)
        if isinstance(caption, dict)
    }
    values = {**metadata, "prompt": prompt, "model": texts.get("Source"), **characters}
    return to_fields(
        values,
        done=("v4_prompt",) if characters else (),
        negative_prompt="uc",
        guidance="scale",
        scheduler="noise_schedule",
    )


def _read_draw_things(texts: Texts) -> Fields:
    metadata = parse_object(texts, "xmp") or parse_object(texts, "UserComment")
    if not isinstance(metadata.get("c"), str) or "sampler" not in metadata:
        return {}
    size = re.fullmatch(r"(\d{1,6})x(\d{1,6})", to_text(metadata.get("size"))[:20])
    width, height = size.groups() if size else (None, None)
    loras = metadata.get("lora")
    found = [
        lora
        for value in (loras[:200] if isinstance(loras, list) else ())
        if isinstance(value, dict)
        for lora in make_lora(value.get("model"), value.get("weight"))
    ]
    return to_fields(
        {**metadata, "width": width, "height": height},
        loras=found,
        done=("lora", *(("size",) if size else ())),
        prompt="c",
        negative_prompt="uc",
        guidance="scale",
    )


def _read_airunner(texts: Texts) -> Fields:
    if sum(name in texts for name in _AIRUNNER) < 3 or parse_json(texts.get("prompt")) is not None:
        return {}
    return to_fields(dict(texts), guidance="scale", sampler="scheduler", scheduler="")


_READERS: tuple[tuple[str, Callable[[Texts], Fields]], ...] = (
    ("InvokeAI", invokeai.read_metadata),
    ("InvokeAI", invokeai.read_old_metadata),
    ("InvokeAI", invokeai.read_dream),
    ("SwarmUI", _read_swarmui),
    ("Fooocus", _read_fooocus),
    ("NovelAI", _read_novelai),
    ("Draw Things", _read_draw_things),
    ("AUTOMATIC1111", read_a1111),
    ("ComfyUI", comfy_reader.read_comfyui),
    ("airunner", _read_airunner),
)


def _parse_parameters_json(texts: Mapping[str, str]) -> dict[str, Any]:
    return parse_object(texts, "UserComment") or parse_object(texts, "parameters")
