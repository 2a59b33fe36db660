"""The dialects in which image tools write their parameters, each turned into the fields of `Foreign`.

Every reader takes texts by their name in the file, and leaves out what is not of the kind that
it should be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from studio.library.foreign import a1111, comfy_graph
from studio.library.foreign.lenient_values import number, whole, words

Said = dict[str, Any]
Texts = Mapping[str, str]

MAX_JSON = 16 * 2**20
_AIRUNNER = ("prompt", "seed", "scale", "steps")


def read(texts: Texts) -> Iterator[tuple[str, Said]]:
    """The tools that may have written these texts and what they say, the likeliest first."""
    for source, reader in _READERS:
        said = reader(texts)
        if said:
            yield source, said


def loads(text: str | None) -> Any:
    """JSON of a stranger, which may hold NaN; None where it is none, too long or too deep."""
    if not text or len(text) > MAX_JSON or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def stealth_texts(text: str) -> dict[str, str]:
    """The texts that NovelAI packs into one JSON object in the alpha channel; others hide parameters there."""
    content = loads(text)
    if not isinstance(content, dict):
        return {"parameters": text}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in content.items()}


def _invoke(texts: Texts) -> Said:
    said = _object(texts, "invokeai_metadata")
    model = said.get("model")
    model = model if isinstance(model, dict) else {}
    return _fields(
        said,
        prompt="positive_prompt",
        negative_prompt="negative_prompt",
        guidance="cfg_scale",
        sampler="scheduler",
        model=words(model.get("name") or model.get("model_name")),
    )


def _old_invoke(texts: Texts) -> Said:
    whole_text = _object(texts, "sd-metadata")
    said = whole_text.get("image")
    if not isinstance(said, dict):
        return {}
    prompt = said.get("prompt")
    if isinstance(prompt, list):
        prompt = ", ".join(words(part.get("prompt")) for part in prompt[:100] if isinstance(part, dict))
    return _fields({**said, "prompt": prompt}, guidance="cfg_scale", model=words(whole_text.get("model_weights")))


def _dream(texts: Texts) -> Said:
    found = re.match(r'\s*"((?:[^"\\]|\\.)*)"(.*)', texts.get("Dream", "")[:100_000], re.DOTALL)
    if not found:
        return {}
    flags = dict(re.findall(r"-([sSWHCA])\s*([\w.]+)", found[2]))
    names = {"s": "steps", "S": "seed", "W": "width", "H": "height", "C": "guidance", "A": "sampler"}
    return _fields({"prompt": found[1], **{names[flag]: value for flag, value in flags.items()}})


def _swarm(texts: Texts) -> Said:
    said = _parameters_json(texts).get("sui_image_params")
    if not isinstance(said, dict):
        return {}
    return _fields(said, negative_prompt="negativeprompt", guidance="cfgscale", strength="initimagecreativity")


def _fooocus(texts: Texts) -> Said:
    said = _parameters_json(texts)
    scheme = texts.get("fooocus_scheme") or texts.get("MakerNote", "")
    if not said or ("base_model" not in said and scheme != "fooocus"):
        return {}
    size = re.fullmatch(r"\D*(\d{1,6})\D+(\d{1,6})\D*", words(said.get("resolution"))[:40])
    width, height = size.groups() if size else (None, None)
    return _fields(
        {"width": width, "height": height, **said}, guidance="guidance_scale", model=words(said.get("base_model"))
    )


def _novel(texts: Texts) -> Said:
    said = _object(texts, "Comment")
    if "uc" not in said and not texts.get("Software", "").startswith("NovelAI"):
        return {}
    if not words(said.get("prompt")):
        said = {**said, "prompt": texts.get("Description", "")}
    return _fields(said, negative_prompt="uc", guidance="scale", model=words(texts.get("Source")))


def _comfy(texts: Texts) -> Said:
    outer = _object(texts, "comment") or _object(texts, "©cmt") or _object(texts, "COMMENT")
    for source in (texts, {key: value for key, value in outer.items() if isinstance(value, str)}):
        for name in ("prompt", "PROMPT", "Model", "Make", "UserComment", "ImageDescription"):
            graph = loads(source.get(name, "").removeprefix("Prompt:").removeprefix("prompt:").strip())
            if isinstance(graph, dict) and (said := comfy_graph.read(graph)):
                return _fields(said)
    graph = outer.get("prompt")
    return _fields(comfy_graph.read(graph)) if isinstance(graph, dict) else {}


def _a1111(texts: Texts) -> Said:
    for name in ("UserComment", "parameters", "xmp", "comment", "©cmt", "ImageDescription"):
        text = texts.get(name, "")
        if not text or loads(text) is not None:
            continue
        found = a1111.read(text)
        if not found.settings and not (name == "parameters" or "Negative prompt:" in text):
            continue
        settings = found.settings
        width, _, height = settings.get("Size", "").partition("x")
        return _fields(
            {
                "prompt": found.prompt,
                "negative_prompt": found.negative_prompt,
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


def _airunner(texts: Texts) -> Said:
    if sum(name in texts for name in _AIRUNNER) < 3 or loads(texts.get("prompt")) is not None:
        return {}
    return _fields(dict(texts), guidance="scale", sampler="scheduler")


_READERS: tuple[tuple[str, Callable[[Texts], Said]], ...] = (
    ("InvokeAI", _invoke),
    ("InvokeAI", _old_invoke),
    ("InvokeAI", _dream),
    ("SwarmUI", _swarm),
    ("Fooocus", _fooocus),
    ("NovelAI", _novel),
    ("AUTOMATIC1111", _a1111),
    ("ComfyUI", _comfy),
    ("airunner", _airunner),
)


def _object(texts: Texts, name: str) -> dict[str, Any]:
    found = loads(texts.get(name))
    return found if isinstance(found, dict) else {}


def _parameters_json(texts: Texts) -> dict[str, Any]:
    return _object(texts, "UserComment") or _object(texts, "parameters")


def _fields(said: Mapping[str, Any], *, model: str = "", **names: str) -> Said:
    """Our fields, each from the key of its own name unless `names` gives another; empty where none is there."""

    def value(name: str) -> Any:
        return said.get(names.get(name, name))

    found: Said = {
        "prompt": words(value("prompt")),
        "negative_prompt": words(value("negative_prompt")),
        "seed": whole(value("seed")),
        "steps": whole(value("steps")),
        "guidance": number(value("guidance")),
        "width": whole(value("width")),
        "height": whole(value("height")),
        "sampler": words(value("sampler")),
        "model": model or words(value("model")),
        "strength": number(value("strength")),
    }
    return found if any(item not in (None, "") for item in found.values()) else {}
