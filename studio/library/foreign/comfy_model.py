"""Models and LoRAs behind a sampler of ComfyUI."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from studio.library.foreign.comfy_graph import Graph, Link, Node
from studio.library.foreign.comfy_text import Prompts
from studio.library.foreign.lenient_values import to_int
from studio.library.foreign.lora_values import ForeignLora, make_lora

_NAMES = ("ckpt_name", "unet_name", "base_ckpt_name", "gguf_name", "model_name", "model", "model_path")
_FILE = re.compile(r"\.(?:safetensors|sft|ckpt|gguf|pth?|bin)$", re.I)
_NO_MODEL = re.compile(r"lora|vae|clip|control|upscale|embed|text_encoder", re.I)
_MODEL_LINK = re.compile(r"(?:model|unet|base_model)_?(?:1|a)?", re.I)
_PIPE_LINK = re.compile(r"(?:\w{1,20}_)?pipe\w{0,10}|context|guider", re.I)
_STACK_LINK = re.compile(r"(?:optional_|prev_)?loras?(?:_stack)?", re.I)
_NUMBERED = re.compile(r"(lora|lora_name)_(\d{1,3})")
_MAX_LORAS = 200
_MAX_STACKS = 50


@dataclass
class Models:
    model: Any = None
    clip_skip: int | None = None
    vae: Any = None
    loras: list[ForeignLora] = field(default_factory=list)


def find_models(graph: Graph, prompts: Prompts, sampler: Node) -> Models:
    """Follow the model of a sampler to its loader, and collect LoRAs in the order in which they are applied."""
    found = Models()
    seen = set[str]()
    node: Node | None = sampler
    while node and node.id not in seen:
        seen.add(node.id)
        if len(found.loras) < _MAX_LORAS:
            found.loras = [*_read_loras(graph, prompts, node, {node.id}), *found.loras]
        if node is not sampler and found.model is None:
            found.model = _read_name(prompts, node)
        if (skip := to_int(node.inputs.get("clip_skip"))) is not None and skip < 0:
            found.clip_skip = -skip
        found.vae = found.vae or _read_vae(node)
        node = None if found.model is not None else _find_next(graph, node)
    return found


def find_clip_skip(graph: Graph, prompts: Prompts, link: Any) -> int | None:
    """Return the number of the last layer of the text encoder that is used, counted from the end."""
    waiting, seen = [link], set[str]()
    while waiting:
        found = graph.find(waiting.pop())
        if found is None or found[0].id in seen:
            continue
        node = found[0]
        seen.add(node.id)
        if "stop_at_clip_layer" in node.inputs:
            layer = to_int(prompts.find_value(node.inputs["stop_at_clip_layer"], "stop_at_clip_layer"))
            return -layer if layer is not None and layer < 0 else None
        names = ("negative", "clip", "conditioning", "cond1", "conditioning_1", "conditioning_to", "positive")
        waiting += [value for name in names if isinstance(value := node.inputs.get(name), Link)]
    return None


def _find_next(graph: Graph, node: Node) -> Node | None:
    links = dict(node.links())
    for shape in (_MODEL_LINK, _PIPE_LINK):
        for name, link in links.items():
            if shape.fullmatch(name) and (found := graph.find(link)):
                return found[0]
    return None


def _read_name(prompts: Prompts, node: Node) -> str | None:
    """Return the file name of the model that a node loads; None if it loads none."""
    for name in _NAMES:
        value = prompts.find_value(node.inputs[name], name) if name in node.inputs else None
        if isinstance(value, str) and value and (name != "model" or not isinstance(node.inputs[name], Link)):
            return value
    for name, value in node.inputs.items():
        if isinstance(value, str) and _FILE.search(value[-12:]) and not _NO_MODEL.search(name):
            return value
    return None


def _read_vae(node: Node) -> str | None:
    value = node.inputs.get("vae_name")
    return value if isinstance(value, str) and "baked" not in value.lower() else None


def _read_loras(graph: Graph, prompts: Prompts, node: Node, seen: set[str]) -> Iterator[ForeignLora]:
    """Yield the LoRAs of a node, after those of the stacks that it takes."""
    for name, link in node.links():
        found = graph.find(link) if _STACK_LINK.fullmatch(name) else None
        if found and found[0].id not in seen and len(seen) < _MAX_STACKS:
            seen.add(found[0].id)
            yield from _read_loras(graph, prompts, found[0], seen)
    inputs = node.inputs

    def get(name: str) -> Any:
        return prompts.find_value(inputs[name], name) if name in inputs else None

    if "lora_name" in inputs:
        weight = _first([get(name) for name in ("strength_model", "strength", "lora_model_strength")])
        yield from _drop_unused(make_lora(get("lora_name"), weight, get("strength_clip")))
    elif isinstance(inputs.get("lora"), str):
        yield from _drop_unused(make_lora(inputs["lora"], get("strength")))
    count = to_int(inputs.get("lora_count"))
    for name, value in inputs.items():
        match = _NUMBERED.fullmatch(name)
        number = match[2] if match else ""
        if not match:
            continue
        if isinstance(value, dict):  # of rgthree's Power Lora Loader
            found_here = make_lora(value.get("lora"), value.get("strength"), value.get("strengthTwo"))
            yield from _drop_unused(found_here if value.get("on") else [])
        elif match[1] == "lora_name" and inputs.get(f"switch_{number}") != "Off" and int(number) <= (count or 1_000):
            weights = [get(f"{start}_{number}") for start in ("model_weight", "model_str", "lora_wt", "lora_weight")]
            encoders = [get(f"{start}_{number}") for start in ("clip_weight", "clip_str")]
            yield from _drop_unused(make_lora(get(name), _first(weights), _first(encoders)))


def _first(values: list[Any]) -> Any:
    return next((value for value in values if value is not None), None)


def _drop_unused(loras: list[ForeignLora]) -> list[ForeignLora]:
    return [lora for lora in loras if lora.weight or lora.text_encoder_weight]
