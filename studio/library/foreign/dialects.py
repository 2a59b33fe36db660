"""Readers for the dialects in which image tools write their parameters, one for each tool.

Each reader takes texts by their name in the file and returns fields of `ForeignMetadata`. Values of an
unexpected type are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from studio.core.untrusted_files import read_or_else
from studio.library.foreign import a1111, comfy_graph
from studio.library.foreign.lenient_values import to_float, to_int, to_text

Fields = dict[str, Any]
Texts = Mapping[str, str]

MAX_JSON = 4 * 2**20
_AIRUNNER = ("prompt", "seed", "scale", "steps")


def read(texts: Texts) -> Iterator[tuple[str, Fields]]:
    """Yield the tools that may have written these texts, most likely first, with the fields that they wrote."""
    for source, reader in _READERS:
        metadata = reader(texts)
        if metadata:
            yield source, metadata


def parse_json(text: str | None) -> Any:
    """Parse untrusted JSON, which may contain NaN. Return None if it is invalid, too long or too deep."""
    if not text or len(text) > MAX_JSON or text.lstrip()[:1] not in ("{", "["):
        return None
    return read_or_else(None, json.loads, text)


def parse_stealth_text(text: str) -> dict[str, str]:
    """Split a text from the alpha channel: NovelAI's is a JSON object of texts; other tools store parameters."""
    content = parse_json(text)
    if not isinstance(content, dict):
        return {"parameters": text}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in content.items()}


def _read_invokeai(texts: Texts) -> Fields:
    metadata = _parse_object(texts, "invokeai_metadata")
    model = metadata.get("model")
    model = model if isinstance(model, dict) else {}
    return _to_fields(
        metadata,
        prompt="positive_prompt",
        negative_prompt="negative_prompt",
        guidance="cfg_scale",
        sampler="scheduler",
        model=to_text(model.get("name") or model.get("model_name")),
    )


def _read_invokeai_2(texts: Texts) -> Fields:
    outer = _parse_object(texts, "sd-metadata")
    metadata = outer.get("image")
    if not isinstance(metadata, dict):
        return {}
    prompt = metadata.get("prompt")
    if isinstance(prompt, list):
        prompt = ", ".join(to_text(part.get("prompt")) for part in prompt[:100] if isinstance(part, dict))
    return _to_fields({**metadata, "prompt": prompt}, guidance="cfg_scale", model=to_text(outer.get("model_weights")))


def _read_invokeai_1(texts: Texts) -> Fields:
    match = re.match(r'\s*"((?:[^"\\]|\\.)*)"(.*)', texts.get("Dream", "")[:100_000], re.DOTALL)
    if not match:
        return {}
    flags = dict(re.findall(r"-([sSWHCA])\s*([\w.]+)", match[2]))
    names = {"s": "steps", "S": "seed", "W": "width", "H": "height", "C": "guidance", "A": "sampler"}
    return _to_fields({"prompt": match[1], **{names[flag]: value for flag, value in flags.items()}})


def _read_swarmui(texts: Texts) -> Fields:
    metadata = _parse_parameters_json(texts).get("sui_image_params")
    if not isinstance(metadata, dict):
        return {}
    return _to_fields(metadata, negative_prompt="negativeprompt", guidance="cfgscale", strength="initimagecreativity")


def _read_fooocus(texts: Texts) -> Fields:
    metadata = _parse_parameters_json(texts)
    scheme = texts.get("fooocus_scheme") or texts.get("MakerNote", "")
    if not metadata or ("base_model" not in metadata and scheme != "fooocus"):
        return {}
    size = re.fullmatch(r"\D*(\d{1,6})\D+(\d{1,6})\D*", to_text(metadata.get("resolution"))[:40])
    width, height = size.groups() if size else (None, None)
    return _to_fields(
        {"width": width, "height": height, **metadata},
        guidance="guidance_scale",
        model=to_text(metadata.get("base_model")),
    )


def _read_novelai(texts: Texts) -> Fields:
    metadata = _parse_object(texts, "Comment")
    if "uc" not in metadata and not texts.get("Software", "").startswith("NovelAI"):
        return {}
    if not to_text(metadata.get("prompt")):
        metadata = {**metadata, "prompt": texts.get("Description", "")}
    return _to_fields(metadata, negative_prompt="uc", guidance="scale", model=to_text(texts.get("Source")))


def _read_comfyui(texts: Texts) -> Fields:
    outer = _parse_object(texts, "comment") or _parse_object(texts, "©cmt") or _parse_object(texts, "COMMENT")
    for source in (texts, {key: value for key, value in outer.items() if isinstance(value, str)}):
        for name in ("prompt", "PROMPT", "Model", "Make", "UserComment", "ImageDescription"):
            graph = parse_json(source.get(name, "").removeprefix("Prompt:").removeprefix("prompt:").strip())
            if isinstance(graph, dict) and (metadata := comfy_graph.read_sampler(graph)):
                return _to_fields(metadata)
    graph = outer.get("prompt")
    return _to_fields(comfy_graph.read_sampler(graph)) if isinstance(graph, dict) else {}


def _read_a1111(texts: Texts) -> Fields:
    for name in ("UserComment", "parameters", "xmp", "comment", "©cmt", "ImageDescription"):
        text = texts.get(name, "")
        if not text or parse_json(text) is not None:
            continue
        parameters = a1111.parse(text)
        if not parameters.settings and not (name == "parameters" or "Negative prompt:" in text):
            continue
        settings = parameters.settings
        width, _, height = settings.get("Size", "").partition("x")
        return _to_fields(
            {
                "prompt": parameters.prompt,
                "negative_prompt": parameters.negative_prompt,
                "seed": settings.get("Seed"),
                "steps": settings.get("Steps"),
                "guidance": settings.get("CFG scale"),
                "sampler": settings.get("Sampler"),
                "strength": settings.get("Denoising strength"),
                "width": width,
                "height": height,
            },
            model=settings.get("Model", ""),
        )
    return {}


def _read_airunner(texts: Texts) -> Fields:
    if sum(name in texts for name in _AIRUNNER) < 3 or parse_json(texts.get("prompt")) is not None:
        return {}
    return _to_fields(dict(texts), guidance="scale", sampler="scheduler")


_READERS: tuple[tuple[str, Callable[[Texts], Fields]], ...] = (
    ("InvokeAI", _read_invokeai),
    ("InvokeAI", _read_invokeai_2),
    ("InvokeAI", _read_invokeai_1),
    ("SwarmUI", _read_swarmui),
    ("Fooocus", _read_fooocus),
    ("NovelAI", _read_novelai),
    ("AUTOMATIC1111", _read_a1111),
    ("ComfyUI", _read_comfyui),
    ("airunner", _read_airunner),
)


def _parse_object(texts: Texts, name: str) -> dict[str, Any]:
    value = parse_json(texts.get(name))
    return value if isinstance(value, dict) else {}


def _parse_parameters_json(texts: Texts) -> dict[str, Any]:
    return _parse_object(texts, "UserComment") or _parse_object(texts, "parameters")


def _to_fields(metadata: Mapping[str, Any], *, model: str = "", **names: str) -> Fields:
    """Convert `metadata` to fields, each from the key of its name or the key in `names`. Return {} if all are empty."""

    def value(name: str) -> Any:
        return metadata.get(names.get(name, name))

    fields: Fields = {
        "prompt": to_text(value("prompt")),
        "negative_prompt": to_text(value("negative_prompt")),
        "seed": to_int(value("seed")),
        "steps": to_int(value("steps")),
        "guidance": to_float(value("guidance")),
        "width": to_int(value("width")),
        "height": to_int(value("height")),
        "sampler": to_text(value("sampler")),
        "model": model or to_text(value("model")),
        "strength": to_float(value("strength")),
    }
    return fields if any(item not in (None, "") for item in fields.values()) else {}
